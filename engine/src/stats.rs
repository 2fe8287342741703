//! Numbers to tell, and names to list.

use crate::channel::CLOSED;
use crate::geometry::PAGE;
use crate::reading::Lost;
use crate::registry::WorkerId;
use crate::shard::Shard;
use crate::wake::WakeSet;
use crate::zone::Zone;

/// What a zone holds; taken without a lock, so the numbers are of about one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ZoneStats {
    /// Channels.
    pub channels: u64,
    /// Those among them that never had a message.
    pub empty_channels: u64,
    /// Empty channels that were let go to make room, since the zone was made.
    pub empty_evictions: u64,
    /// Subscribers.
    pub subscribers: u64,
    /// Buffered messages; a broadcast counts in each channel.
    pub messages: u64,
    /// Pages of 4096 bytes.
    pub pages: u64,
    /// Pages that nothing uses.
    pub pages_free: u64,
    /// Messages that were let go to make room, since the zone was made.
    pub evictions: u64,
    /// Repairs after a worker died inside, since the zone was made.
    pub repairs: u64,
    /// Publishes that were refused for want of memory, or of a channel, since the zone was made.
    pub refused_publishes: u64,
    /// Subscribers that were refused because of a limit, or for want of memory, since then.
    pub refused_subscribers: u64,
    /// How often a subscriber was told that messages are lost, since then.
    pub lost_notices: u64,
    /// How many messages these were; those of an unknown number are not in it.
    pub lost_messages: u64,
    /// What became of events for back ends, since then.
    pub hooks: HookCounts,
    /// Events that wait for back ends now, in all workers.
    pub hooks_queued: u64,
}

/// What became of events for back ends. A worker that is killed takes what waited in it along, uncounted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HookCounts {
    /// Events that a back end took.
    pub sent: u64,
    /// POSTs that failed; most of them are tried again.
    pub failed: u64,
    /// Events that no back end will get.
    pub dropped: u64,
}

impl ZoneStats {
    /// Bytes that nothing uses. Pages that are in use have more room, for what fits into it.
    pub fn bytes_free(&self) -> u64 {
        self.pages_free * PAGE as u64
    }
}

/// A worker that is attached to a zone. One that died is there until it is taken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerStats {
    /// Its slot.
    pub slot: u16,
    /// The process.
    pub pid: u32,
    /// Its subscribers.
    pub subscribers: u32,
}

/// Where a list of names goes on.
#[derive(Clone, Copy, Debug, Default)]
pub struct ScanCursor {
    shard: usize,
    bucket: usize,
}

impl Zone {
    /// What the zone holds.
    pub fn stats(&self) -> ZoneStats {
        let header = self.header();
        let sum = |of: fn(&Shard) -> u32| {
            (0..self.shard_count())
                .map(|index| u64::from(of(self.shard(index))))
                .sum()
        };
        ZoneStats {
            channels: sum(|shard| shard.channels.get()),
            empty_channels: self.empty_channels(),
            empty_evictions: header.empty_evictions.get(),
            subscribers: sum(|shard| shard.subscribers.get()),
            messages: sum(|shard| shard.messages.get()),
            pages: u64::from(self.geometry().pages),
            pages_free: u64::from(header.pool.free.get()),
            evictions: header.evictions.get(),
            repairs: header.repairs.get(),
            refused_publishes: header.refused_publishes.get(),
            refused_subscribers: header.refused_subscribers.get(),
            lost_notices: header.lost_notices.get(),
            lost_messages: header.lost_messages.get(),
            hooks: HookCounts {
                sent: header.hooks_sent.get(),
                failed: header.hooks_failed.get(),
                dropped: header.hooks_dropped.get(),
            },
            hooks_queued: self
                .slots()
                .map(|(_, worker)| u64::from(worker.hooks_queued.get()))
                .sum(),
        }
    }

    /// Bytes of the zone.
    pub fn size(&self) -> u64 {
        self.geometry().size
    }

    /// The workers that are attached, by slot.
    pub fn workers(&self) -> Vec<WorkerStats> {
        self.slots()
            .filter(|(_, worker)| worker.incarnation.get() != 0)
            .map(|(slot, worker)| WorkerStats {
                slot,
                pid: worker.pid.get(),
                subscribers: worker.subscribers.get(),
            })
            .collect()
    }

    /// Counts that a subscriber is told that messages are lost, if they are.
    pub fn tell_lost(&self, lost: Option<Lost>) {
        if let Some(Lost { count, .. }) = lost {
            self.header().lost_notices.plus(1);
            self.header().lost_messages.plus(count.unwrap_or_default());
        }
    }

    /// Adds to what is told of events for back ends; `queued` wait now in this worker, which is attached.
    pub fn count_hooks(&self, worker: WorkerId, more: HookCounts, queued: u32) {
        let header = self.header();
        for (counter, more) in [
            (&header.hooks_sent, more.sent),
            (&header.hooks_failed, more.failed),
            (&header.hooks_dropped, more.dropped),
        ] {
            if more > 0 {
                counter.plus(more);
            }
        }
        let slot = self.slot(worker.slot);
        if slot.incarnation.get() == worker.incarnation {
            slot.hooks_queued.set(queued);
        }
    }

    /// Names about `budget` channels more; whether it came to the end. A channel that lives all the
    /// while is named once. No lock is held while `each` runs.
    pub fn scan(
        &self,
        cursor: &mut ScanCursor,
        budget: usize,
        each: &mut dyn FnMut(&[u8]),
    ) -> bool {
        let buckets = self.geometry().buckets as usize;
        let mut left = budget.max(1) * 8;
        while cursor.shard < self.shard_count() {
            let mut names: Vec<Vec<u8>> = Vec::new();
            let Some(guard) = self.lock(cursor.shard, &mut WakeSet::default()) else {
                return false;
            };
            while cursor.bucket < buckets && left > 0 {
                left -= 1;
                for place in guard.chain(cursor.bucket) {
                    left = left.saturating_sub(8);
                    if self.at(place).is_some_and(|channel| !channel.is(CLOSED)) {
                        names.push(guard.name(place).to_vec());
                    }
                }
                cursor.bucket += 1;
            }
            drop(guard);
            names.iter().for_each(|name| each(name));
            if cursor.bucket < buckets {
                return false;
            }
            *cursor = ScanCursor {
                shard: cursor.shard + 1,
                bucket: 0,
            };
        }
        true
    }
}
