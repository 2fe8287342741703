//! A graceful exit: at a reload who can move moves to the newer workers ([`super::handover`]). All others
//! are ended politely, in batches with jitter, so that the other workers do not get them all back in one
//! moment; who takes nothing for too long is ended without a word.

use super::delivery::Step;
use super::handover::{moving, taking};
use super::{presence, with};
use crate::ffi::event;
use crate::ffi::request::code;

/// Subscribers ended in one step, at least.
const BATCH: usize = 64;

/// Steps in which all subscribers are ended, about; with [`pause`] some two seconds.
const STEPS: usize = 40;

/// Milliseconds after which who still has not taken what it was sent is ended as it is.
const LONGEST: u64 = 10_000;

/// How far the exit has come.
pub struct Drain {
    /// Index of the subscriber to look at next.
    next: u32,
    /// Subscribers ended in one step.
    batch: usize,
    /// When it began.
    began: u64,
}

/// Begins the exit.
pub fn begin() {
    let begun = with(|worker| {
        if worker.drain.is_some() {
            return false;
        }
        let batch = worker.subscribers.len().div_ceil(STEPS).max(BATCH);
        worker.drain = Some(Drain {
            next: 0,
            batch,
            began: event::now(),
        });
        worker.handover.begin();
        worker.moving.post_now();
        if worker.is_holding() {
            worker.tick.set_timer(pause());
        }
        true
    });
    if begun == Some(true) {
        taking::close();
    }
}

/// Milliseconds between two steps: 25 to 75.
pub fn pause() -> u64 {
    25 + nginx_sys::ngx_random().unsigned_abs() % 51
}

/// Ends the next batch, if the worker exits.
pub fn step() {
    let drain = with(|worker| {
        let drain = worker.drain.as_ref()?;
        Some((drain.batch, event::now() - drain.began > LONGEST))
    });
    let Some((batch, is_late)) = drain.flatten() else {
        return;
    };
    moving::give_up_hung();
    moving::look_again();
    moving::turn();
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
            let subscriber = worker.subscribers.get(index)?;
            if worker.handover.is_to_move(subscriber) {
                return Some((index, Step::Nothing));
            }
            Some((index, worker.end_politely(index)))
        });
        match step.flatten() {
            Some((index, Step::Nothing)) if is_late => end_as_it_is(index),
            Some((index, step)) => step.perform(index),
            None => return,
        }
    }
}

fn end_as_it_is(index: u32) {
    if let Some(leaving) = with(|worker| worker.remove_subscriber(index)).flatten() {
        leaving.end(code::ERROR);
    }
}
