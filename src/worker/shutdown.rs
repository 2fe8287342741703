//! A graceful exit: those who are held here are ended politely, in batches with jitter, so that the
//! other workers do not get them all back in one moment.

use super::{presence, with};

/// Subscribers ended in one step, at least.
const BATCH: usize = 64;

/// Steps in which all subscribers are ended, about; with [`pause`] some two seconds.
const STEPS: usize = 40;

/// How far the exit has come.
pub struct Drain {
    /// Index of the subscriber to look at next.
    next: u32,
    /// Subscribers ended in one step.
    batch: usize,
}

/// Begins the exit.
pub fn begin() {
    with(|worker| {
        if worker.drain.is_none() {
            let batch = worker.subscribers.len().div_ceil(STEPS).max(BATCH);
            worker.drain = Some(Drain { next: 0, batch });
            if worker.is_holding() {
                worker.tick.set_timer(pause());
            }
        }
    });
}

/// Milliseconds between two steps: 25 to 75.
pub fn pause() -> u64 {
    25 + nginx_sys::ngx_random().unsigned_abs() % 51
}

/// Ends the next batch, if the worker exits.
pub fn step() {
    let Some(batch) = with(|worker| worker.drain.as_ref().map(|drain| drain.batch)).flatten()
    else {
        return;
    };
    presence::end_all();
    for _ in 0..batch {
        let step = with(|worker| {
            let end = worker.subscribers.capacity();
            let drain = worker.drain.as_mut()?;
            let mut index = drain.next;
            while index < end && worker.subscribers.get(index).is_none() {
                index += 1;
            }
            // Who came meanwhile, or was being sent something, is met in the next round.
            drain.next = if index < end { index + 1 } else { 0 };
            (index < end).then(|| (index, worker.end_politely(index, false)))
        });
        match step.flatten() {
            Some((index, step)) => step.perform(index),
            None => return,
        }
    }
}
