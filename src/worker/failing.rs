//! Failing fast: after an internal error this worker's own tables may be half written. What it serves it
//! could serve wrongly for ever, so it ends as at a reload, and nginx starts another in its place: its
//! clients come again and resume by seq. What is in the zone is repaired by whoever locks it next.

use core::cell::Cell;

use crate::ffi::event::{self, Event};
use crate::ffi::log;

/// Milliseconds after which it ends as it is: the way out goes through the same tables.
const LONGEST: u64 = 5000;

thread_local! {
    /// Runs [`icomet_on_last`]; there from the time on when this process is a worker. It is not kept in the
    /// worker, which may be in use when it is found to be wrong.
    static LAST: Cell<Option<Event>> = const { Cell::new(None) };
    static BEGUN: Cell<bool> = const { Cell::new(false) };
}

/// This process has become a worker: from now on it fails fast.
pub fn watch(last: Event) {
    LAST.set(Some(last));
}

/// Something has gone wrong that must never happen; the log has it already. Nothing but a worker ends for it.
pub fn begin() {
    let Some(last) = LAST.get() else { return };
    if BEGUN.replace(true) {
        return;
    }
    if event::quit() {
        log::alert("this worker ends after an internal error; nginx starts another");
        last.set_timer(LONGEST);
    } else {
        log::alert(
            "this process goes on after an internal error, because nobody would start another \
             (master_process off): restart nginx",
        );
    }
}

/// The worker's state was asked for from inside itself, at that place in the source.
#[cold]
pub fn entered_twice(place: &core::panic::Location<'_>) {
    log::alert(&format!(
        "internal error: the worker was entered twice, at {place}; please report this"
    ));
    begin();
}

/// nginx calls it when the worker has had its time.
pub unsafe extern "C" fn icomet_on_last(_event: *mut nginx_sys::ngx_event_t) {
    event::terminate();
}
