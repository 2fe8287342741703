//! Locks that somebody does not give back: a worker that was stopped inside, or is swapped out.
//!
//! Nobody waits for long. An operation waits once for a lock, [`PATIENCE`] at most; then it is refused, and
//! while that lock is late others are refused at once, but for a short look now and then. What was
//! refused is noted for the caller ([`take_stuck`]). What must be done nevertheless is done later
//! ([`Zone::settle`]): a subscriber that has left, a channel to be looked at.

use core::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::address::Admission;
use crate::cell::Ref;
use crate::channel::{Channel, ChannelRef};
use crate::limits::ChannelLimits;
use crate::registry::WorkerId;
use crate::robust::{LockError, Locked, RobustMutex};
use crate::wake::WakeSet;
use crate::zone::Zone;

/// How long an operation waits for a lock that was not late before.
pub const PATIENCE: Duration = Duration::from_millis(200);

/// How long nobody waits at all for a lock that is late.
const PAUSE: Duration = Duration::from_millis(100);

/// How long one waits for it after that.
const LOOK: Duration = Duration::from_millis(1);

/// A lock that was not got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// What it protects.
    pub what: &'static str,
    /// The process that holds it, if that can be told; 0: it is not known.
    pub pid: u32,
    /// An error of the lock itself: its errno; 0: it is held.
    pub errno: i32,
}

/// What could not be done.
pub(crate) enum Later {
    Unsubscribe(WorkerId, ChannelRef, u32, Option<Box<[u8]>>),
    Leave(Admission),
    Forget(Ref<Channel>, u16),
    Look(ChannelRef),
}

#[derive(Default)]
struct Waiting {
    /// Since when, and the lock's error.
    late: HashMap<usize, (Instant, i32)>,
    later: Vec<(Zone, Later)>,
    to_look_at: Vec<(Zone, ChannelRef)>,
}

thread_local! {
    static NOTED: Cell<bool> = const { Cell::new(false) };
    static SEEN: Cell<Option<Stuck>> = const { Cell::new(None) };
    static ANY_LATE: Cell<bool> = const { Cell::new(false) };
    static WAITING: RefCell<Waiting> = RefCell::default();
}

/// The lock because of which an operation of this thread was refused since the last call, for the log.
pub fn take_stuck() -> Option<Stuck> {
    SEEN.take()
}

/// Whether this thread's last operation was refused for a lock: then what it found is nothing.
pub fn was_refused() -> bool {
    NOTED.get()
}

/// An operation begins, or has got its first lock.
pub fn begin() {
    NOTED.set(false);
}

/// Takes a lock; `None`, and a note, when it is held too long or broken.
pub(crate) fn lock(mutex: &RobustMutex, what: &'static str) -> Option<Locked> {
    let mut tried = mutex.try_lock();
    let key = core::ptr::from_ref(mutex) as usize;
    let mut looked = false;
    let mut known = 0;
    if tried == Err(LockError::Held) {
        let late = WAITING.with_borrow(|waiting| waiting.late.get(&key).copied());
        let wait = match late {
            None => Some(PATIENCE),
            Some((since, _)) if since.elapsed() < PAUSE => None,
            Some(_) => Some(LOOK),
        };
        known = late.map_or(0, |(_, errno)| errno);
        if let Some(wait) = wait {
            tried = mutex.lock_within(wait);
            looked = true;
        }
    }
    let errno = match tried {
        Ok(locked) => {
            taken(mutex);
            return Some(locked);
        }
        Err(LockError::Held) => known,
        Err(LockError::Broken(errno)) => errno,
    };
    NOTED.set(true);
    SEEN.set(Some(Stuck {
        what,
        pid: mutex.holder(),
        errno,
    }));
    if looked || errno != known {
        ANY_LATE.set(true);
        WAITING.with_borrow_mut(|waiting| waiting.late.insert(key, (Instant::now(), errno)));
    }
    None
}

/// A lock was got: it is not late.
pub(crate) fn taken(mutex: &RobustMutex) {
    if ANY_LATE.get() {
        WAITING.with_borrow_mut(|waiting| {
            waiting.late.remove(&(core::ptr::from_ref(mutex) as usize));
            ANY_LATE.set(!waiting.late.is_empty());
        });
    }
}

/// Whether a lock is late: what goes through all of them waits for another second.
pub(crate) fn is_any_late() -> bool {
    ANY_LATE.get()
}

impl Zone {
    /// Puts something off.
    pub(crate) fn put_off(&self, later: Later) {
        WAITING.with_borrow_mut(|waiting| waiting.later.push((*self, later)));
    }

    /// Does what was put off, as far as it can be done now. Each worker calls it once a second.
    pub fn settle(&self, limits: &impl ChannelLimits, now: u64) {
        let mine = WAITING.with_borrow_mut(|waiting| {
            // So that a lock which nobody asks for is not taken for late for ever.
            let young = |since: &Instant| since.elapsed() < PAUSE * 30;
            waiting.late.retain(|_, (since, _)| young(since));
            ANY_LATE.set(!waiting.late.is_empty());
            let all = core::mem::take(&mut waiting.later);
            let (mine, others) = all.into_iter().partition(|(zone, _)| zone.is_same(self));
            waiting.later = others;
            mine
        });
        let mine: Vec<(Zone, Later)> = mine;
        for (_, later) in mine {
            // What cannot be done is put off again.
            match later {
                Later::Unsubscribe(worker, channel, count, None) => {
                    self.unsubscribe(worker, channel, count, limits, now);
                }
                Later::Unsubscribe(worker, channel, _, Some(user)) => {
                    self.unsubscribe_user(worker, channel, &user, limits, now);
                }
                Later::Leave(admission) => self.leave(admission),
                Later::Forget(place, slot) => self.forget_record(place, slot),
                Later::Look(channel) => self.look_at(channel),
            }
        }
    }

    /// The channel comes to its worker as one that got something.
    pub(crate) fn look_at(&self, channel: ChannelRef) {
        WAITING.with_borrow_mut(|waiting| waiting.to_look_at.push((*self, channel)));
    }

    /// Whether there are such channels.
    pub(crate) fn has_to_look_at(&self) -> bool {
        WAITING.with_borrow(|waiting| {
            let mut all = waiting.to_look_at.iter();
            all.any(|(zone, _)| zone.is_same(self))
        })
    }

    /// Takes them.
    pub(crate) fn take_to_look_at(&self) -> Vec<ChannelRef> {
        WAITING.with_borrow_mut(|waiting| {
            let all = core::mem::take(&mut waiting.to_look_at);
            let (mine, others): (Vec<_>, Vec<_>) =
                all.into_iter().partition(|(zone, _)| zone.is_same(self));
            waiting.to_look_at = others;
            mine.into_iter().map(|(_, channel)| channel).collect()
        })
    }

    /// Repeats what is refused while a lock is late, for a caller that can do nothing without it.
    pub(crate) fn surely<T>(&self, mut work: impl FnMut(&mut WakeSet) -> Option<T>) -> T {
        loop {
            if let Some(done) = work(&mut WakeSet::default()) {
                return done;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
