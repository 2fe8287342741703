//! The tick: finds those who heard nothing for polling_timeout (the fan-out sends them their noops,
//! in slices like everything), and makes the steps of a graceful exit. It runs only while somebody is held, and keeps an exiting worker alive until nobody is.

use super::{presence, shutdown, wheel, with};
use crate::ffi::event;
use crate::ffi::guard::guarded;

/// nginx calls it when the tick's timer has run out.
pub unsafe extern "C" fn icomet_on_tick(_event: *mut nginx_sys::ngx_event_t) {
    guarded("tick", (), tick);
}

/// How many milliseconds what was sent on an endless answer may stay unacknowledged, so that a client
/// that has vanished is gone within twice polling_timeout: its next noop is sent within one, some ticks
/// late at worst, and starts the kernel's clock. A long poll is answered within one.
pub fn longest_silence(polling_timeout: u64) -> u64 {
    polling_timeout - (polling_timeout / 8).min(5 * wheel::SLOT)
}

fn tick() {
    // First, so that no error in what follows keeps this from being done again.
    with(|worker| {
        if worker.is_holding() {
            let delay = if worker.drain.is_some() {
                shutdown::pause()
            } else {
                wheel::SLOT
            };
            worker.tick.set_timer(delay);
        }
    });
    let now = event::now();
    let due = with(|worker| worker.wheel.due(&mut worker.subscribers, now)).unwrap_or_default();
    with(|worker| {
        worker.overdue.extend(due);
        if !worker.overdue.is_empty() {
            worker.fanout.post();
        }
    });
    presence::repeat(now);
    shutdown::step();
}
