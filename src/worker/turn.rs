//! How long one turn of the loop lets in subscribers of several channels.
//!
//! Who asks for thirty channels takes thirty times as long as others, and nginx serves all requests that a
//! client has sent ahead in one turn. So they share a budget of time: where it is used up their requests
//! are put off until the next turn, behind what others have sent meanwhile. Nobody is refused.

use std::time::{Duration, Instant};

use nginx_sys::ngx_event_t;

use super::{Worker, with};
use crate::ffi::guard::guarded;

/// How long they are let in before nginx looks for other I/O; the last of them may take longer.
const TURN: Duration = Duration::from_micros(250);

/// What this turn has spent on them.
#[derive(Default)]
pub struct Spent(Duration);

/// nginx calls it when another turn has begun.
pub unsafe extern "C" fn icomet_on_turn(_event: *mut ngx_event_t) {
    guarded("turn", (), || {
        with(|worker| worker.spent = Spent::default());
    });
}

/// Whether the turn's time is used up.
pub fn is_over() -> bool {
    with(|worker| worker.spent.0 >= TURN) == Some(true)
}

impl Worker {
    /// Somebody who asked for several channels was let in, or refused; that has taken since then.
    pub fn spend(&mut self, since: Instant) {
        if self.spent.0.is_zero() {
            // Before the requests that are put off, which are posted behind it.
            self.turn.post();
        }
        self.spent.0 += since.elapsed().max(Duration::from_nanos(1));
    }
}
