//! Shards: each holds a part of the channels, under a lock of its own.

use crate::blocks::{Block, CLASSES};
use crate::broadcast::Body;
use crate::busy;
use crate::cell::{Link, Long, Word};
use crate::channel::Channel;
use crate::once::Ages;
use crate::robust::{Locked, RobustMutex};
use crate::wake::WakeSet;
use crate::zone::Zone;

/// Slots of a shard's wheel, one second each ([`crate::wheel`]).
pub const WHEEL: usize = 512;

/// A shard.
///
/// Concurrency: all of it is written under `lock`; the counts are read without it, for statistics.
/// One process holds one shard at a time, and then the commons, and then the pool of pages.
///
/// Crash: the truth is in the hash chains (of channels, client addresses and ids), the list of closed channels, the presence log and (in the
/// commons) the list of broadcasts; each is changed by one store. Everything else is made anew from
/// them by [`crate::repair`], which the next holder of the lock runs before anything else.
#[repr(C, align(64))]
pub struct Shard {
    lock: RobustMutex,
    /// A repair is due, or was begun and did not end.
    pub broken: Word,
    /// Channels in the hash chains.
    pub channels: Word,
    /// Channels that never had a message ([`crate::empty`]).
    pub empty: Word,
    /// The memory that they take, in units of 8 bytes.
    pub empty_units: Word,
    /// The number of the oldest of them without subscribers; 0: there is none.
    pub empty_since: Long,
    /// The oldest of them without subscribers.
    pub empty_oldest: Link<Channel>,
    /// The newest.
    pub empty_newest: Link<Channel>,
    /// Subscribers of all channels.
    pub subscribers: Word,
    /// Messages in all rings.
    pub messages: Word,
    /// Entries of client addresses.
    pub addresses: Word,
    /// Ids of publishes that were done, of back ends and of clients ([`crate::once`]).
    pub ids: [Ages; 2],
    /// Lists of pages with room, by class.
    pub partial: [Word; CLASSES],
    /// Blocks put into limbo since the last bag was sealed.
    pub limbo_open: Link<Block>,
    /// The sealed bag.
    pub limbo_sealed: Link<Block>,
    /// The sealed bag was found to be past all readers.
    pub limbo_safe: Word,
    /// The epoch that it was sealed with.
    pub limbo_epoch: Long,
    /// Closed channels that workers still have subscribers on, linked by their wheel's links.
    pub closed: Link<Channel>,
    /// The log of channels coming and going, once somebody listened.
    pub log: Link<Channel>,
    /// In the commons: broadcasts whose bodies live.
    pub broadcasts: Link<Body>,
    /// The second up to which the wheel was looked at.
    pub wheel_time: Long,
    /// Channels by the second in which they may expire.
    pub wheel: [Link<Channel>; WHEEL],
}

impl Shard {
    /// Makes the shard of a fresh zone. `Err`: an errno.
    pub fn init(&self) -> Result<(), i32> {
        self.lock.init()
    }
}

/// A shard that this process has locked.
pub struct Guard<'z> {
    /// The zone.
    pub zone: &'z Zone,
    /// The shard's number.
    pub index: usize,
    /// The shard.
    pub shard: &'z Shard,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        // Unwinding out of a critical section leaves it half done, as a death would.
        if std::thread::panicking() {
            self.shard.broken.set(1);
        }
        self.shard.lock.unlock();
    }
}

impl Zone {
    /// Locks a shard, and repairs it if its last holder died; then everybody is to be woken. `None`, and a
    /// note, when somebody holds it too long ([`crate::busy`]).
    pub(crate) fn lock(&self, index: usize, wake: &mut WakeSet) -> Option<Guard<'_>> {
        let what = match index == self.commons() {
            true => "what all channels share",
            false => "a part of the channels",
        };
        let locked = busy::lock(&self.shard(index).lock, what)?;
        if index != self.commons() {
            busy::begin();
        }
        self.locked(index, locked, wake)
    }

    /// The same, however long it takes: for who has the zone before others, or after them.
    pub(crate) fn lock_surely(&self, index: usize) -> Guard<'_> {
        self.surely(|wake| self.lock(index, wake))
    }

    /// The same, unless somebody holds it now.
    pub(crate) fn try_lock(&self, index: usize, wake: &mut WakeSet) -> Option<Guard<'_>> {
        let mutex = &self.shard(index).lock;
        let locked = mutex.try_lock().ok()?;
        busy::taken(mutex);
        self.locked(index, locked, wake)
    }

    fn locked(&self, index: usize, locked: Locked, wake: &mut WakeSet) -> Option<Guard<'_>> {
        let guard = Guard {
            zone: self,
            index,
            shard: self.shard(index),
        };
        if locked == Locked::OwnerDied {
            guard.shard.broken.set(1);
        }
        if guard.shard.broken.get() != 0 {
            if !guard.repair() {
                // The next one begins again.
                return None;
            }
            for (slot, entry) in self.slots() {
                if entry.incarnation.get() != 0 {
                    wake.insert(slot);
                }
            }
        }
        Some(guard)
    }

    /// The lock of the commons, for one who holds a shard.
    pub(crate) fn lock_commons(&self) -> Option<Guard<'_>> {
        self.lock(self.commons(), &mut WakeSet::default())
    }
}
