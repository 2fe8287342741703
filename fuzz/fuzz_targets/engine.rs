//! Operations on a small zone, beside a model of what it must hold; every invariant checked on the way.
//!
//! Input: one operation after the other, a byte that says which and the bytes that it needs. Names,
//! workers and subscribers are few, so that operations meet; contents are large enough to fill the
//! zone. What cannot be foretold in a full zone (who is refused, what is evicted) is not: then the
//! model holds that messages go from the oldest on, that each loss is told, and nothing else changes.

#![no_main]

#[path = "../../engine/tests/common/mod.rs"]
mod common;
mod engine {
    pub mod input;
    pub mod model;
    pub mod play;
}

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    engine::play::Play::new().run(data);
});
