//! No panic crosses into C.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::log;
use crate::worker::failing;

/// Runs the body of an `extern "C"` entry; a panic in it is logged as an alert, and `fallback` is
/// returned in its place.
///
/// The state that such a panic may have left half-written is the worker's own (its table of
/// subscribers): a worker ends then ([`failing`]), and another begins anew. The shared zone marks a
/// shard whose lock was held for repair by itself.
pub fn guarded<T>(entry: &'static str, fallback: T, body: impl FnOnce() -> T) -> T {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(value) => value,
        Err(panic) => {
            let text = panic
                .downcast_ref::<&str>()
                .copied()
                .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
                .unwrap_or("no text");
            log::alert(&format!(
                "internal error in {entry}: {text}; the request was given up, please report this"
            ));
            failing::begin();
            fallback
        }
    }
}
