//! Workers come and go: attach, detach, and taking off those that died.

use crate::busy;
use crate::limits::ChannelLimits;
use crate::registry::{Registry, WorkerId};
use crate::wake::WakeSet;
use crate::zone::Zone;

/// The header's `reaping` lock, held. Crash: what it protects is done again by the next.
struct Reaping<'z>(&'z Zone);

impl Drop for Reaping<'_> {
    fn drop(&mut self) {
        self.0.header().reaping.unlock();
    }
}

impl Zone {
    fn lock_reaping(&self) -> Option<Reaping<'_>> {
        busy::lock(&self.header().reaping, "who is attached")?;
        Some(Reaping(self))
    }

    /// Attaches a worker; what an earlier one of its slot left is cleaned up first, however long another
    /// worker holds a lock for that: before it this one can do nothing.
    pub fn attach(&self, worker: WorkerId, limits: &impl ChannelLimits, now: u64) {
        let _reaping = self.surely(|_| self.lock_reaping());
        let slot = self.slot(worker.slot);
        if slot.incarnation.get() != 0 {
            self.surely(|wake| self.take_off(worker.slot, limits, now, wake));
        }
        // An earlier one's, whose reaper was killed before it came to them.
        self.surely(|_| self.lock_commons())
            .drop_orders_of(worker.slot);
        let header = self.header();
        let limit = u32::from(worker.slot) + 1;
        if header.slot_limit.get() < limit {
            header.slot_limit.set(limit);
        }
        slot.pid.set(std::process::id());
        slot.incarnation.set(worker.incarnation);
    }

    /// Takes this worker off, with all its subscribers. Where it cannot, others do when it has died.
    pub fn detach(&self, worker: WorkerId, limits: &impl ChannelLimits, now: u64) {
        let Some(_reaping) = self.lock_reaping() else {
            return;
        };
        if self.slot(worker.slot).incarnation.get() == worker.incarnation {
            _ = self.take_off(worker.slot, limits, now, &mut WakeSet::default());
        }
    }

    /// Takes workers off that have died; how many. Harmless when several workers do it at once.
    pub fn reap_dead(
        &self,
        registry: &Registry,
        limits: &impl ChannelLimits,
        now: u64,
        wake: &mut WakeSet,
    ) -> usize {
        let is_dead = |slot: u16| {
            let incarnation = self.slot(slot).incarnation.get();
            incarnation != 0 && !registry.is_alive(WorkerId { slot, incarnation })
        };
        let mut reaped = 0;
        for (slot, _) in self.slots() {
            // Another may have been quicker, so it is asked again under the lock.
            if is_dead(slot) {
                let Some(_reaping) = self.lock_reaping() else {
                    continue;
                };
                if is_dead(slot) && self.take_off(slot, limits, now, wake).is_some() {
                    reaped += 1;
                }
            }
        }
        reaped
    }

    /// Takes a slot's worker off every channel and client address, ends its broadcasts, and clears the slot.
    /// `None`: a lock is held too long, and it is to be done again.
    fn take_off(
        &self,
        number: u16,
        limits: &impl ChannelLimits,
        now: u64,
        wake: &mut WakeSet,
    ) -> Option<()> {
        let slot = self.slot(number);
        slot.reading.publish(0);
        for index in 0..self.shard_count() {
            let guard = self.lock(index, wake)?;
            for place in guard.all_channels() {
                if let Some(channel) = self.at(place) {
                    guard.remove_worker(place, channel, number, limits, now);
                }
            }
            guard.remove_entries_of(number);
        }
        let commons = self.lock_commons()?;
        let incarnation = slot.incarnation.get();
        for place in commons.bodies() {
            let Some(body) = self.at(place) else { continue };
            let same = body.slot.get() == u32::from(number);
            if same && body.incarnation.get() == incarnation {
                body.over.set(1);
                commons.retire_body(place);
            }
        }
        drop(commons);
        slot.dirty.swap(0);
        slot.resync.set(0);
        slot.subscribers.set(0);
        slot.hooks_queued.set(0);
        slot.incarnation.set(0);
        // Last: from here on it is given none. What is left goes when the slot is attached again.
        if let Some(commons) = self.lock_commons() {
            commons.drop_orders_of(number);
        }
        Some(())
    }
}
