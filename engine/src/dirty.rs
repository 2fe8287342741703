//! What a worker is woken for: its list of dirty channels; and how its subscribers leave.

use crate::busy::{self, Later};
use crate::cell::Ref;
use crate::channel::{CLOSED, Channel, ChannelRef, EMPTY, LOG, Record};
use crate::limits::ChannelLimits;
use crate::registry::WorkerId;
use crate::shard::Guard;
use crate::wake::WakeSet;
use crate::zone::Zone;

/// A worker's list of dirty channels, taken from its slot whole. It may be walked over several turns
/// of the loop, and must be walked to its end.
#[derive(Debug)]
pub struct DirtyList {
    at: u32,
    slot: u16,
    /// Channels that could not be looked at before.
    again: Vec<ChannelRef>,
}

impl DirtyList {
    /// The next channel that got something. Whatever it gets from here on makes it dirty anew.
    pub fn next(&mut self, zone: &Zone) -> Option<ChannelRef> {
        if let Some(channel) = self.again.pop() {
            return Some(channel);
        }
        loop {
            let place = Ref::<Record>::new(self.at)?;
            let record = zone.at(place)?;
            self.at = record.next_dirty.get();
            let channel = record.channel.get()?;
            if record.count.get() > 0 {
                record.dirty.swap(0);
                return Some(ChannelRef(channel.units()));
            }
            // The last subscriber left while the record was in the list.
            zone.forget_record(channel, self.slot);
        }
    }
}

impl Zone {
    /// Takes a worker's record, which is in its list no longer, out of a channel if it is not used.
    pub(crate) fn forget_record(&self, place: Ref<Channel>, slot: u16) {
        let Some(known) = self.at(place) else { return };
        let Some(guard) = self.lock(known.shard(), &mut WakeSet::default()) else {
            return self.put_off(Later::Forget(place, slot));
        };
        let Some((_, record)) = guard.record(known, slot) else {
            return;
        };
        record.dirty.swap(0);
        if record.count.get() > 0 {
            // Somebody came meanwhile, and was not told of what there was.
            self.look_at(ChannelRef(place.units()));
        }
        guard.leave_record(place, known, slot);
    }
}

impl Guard<'_> {
    /// Takes a worker's record out if it has neither subscribers nor a place in a list, and a closed
    /// channel with its last record.
    pub(crate) fn leave_record(&self, place: Ref<Channel>, channel: &Channel, slot: u16) {
        let Some((at, record)) = self.record(channel, slot) else {
            return;
        };
        if record.count.get() == 0 && record.dirty.get() == 0 {
            self.remove_record(place, channel, at);
        }
        if channel.is(CLOSED) && channel.records.get().is_none() {
            self.free_closed(place, channel);
        }
    }

    /// The last `n` subscribers are about to go: the channel's grace time is set before their count
    /// is, so that a death between leaves it.
    fn grant_grace(&self, channel: &Channel, n: u32, until: u64) {
        // A worker may have no more than its record in a list: nobody leaves with that.
        if n > 0 && channel.subscribers.get() <= n && channel.expires.get() < until {
            channel.expires.set(until);
        }
    }

    /// Takes subscribers of a worker off the counts.
    pub(crate) fn take_subscribers(
        &self,
        place: Ref<Channel>,
        channel: &Channel,
        n: u32,
        until: u64,
    ) {
        channel.subscribers.take(n);
        if channel.is(LOG) {
            if channel.subscribers.get() == 0 {
                self.drop_all(channel);
            }
            return;
        }
        self.shard.subscribers.take(n);
        if channel.subscribers.get() == 0 {
            if n > 0 && channel.is(EMPTY) {
                self.list_empty(place, channel);
            }
            self.keep_until(place, channel, until);
            // It may be in a later slot, for a message that ends then.
            self.wheel_by(place, channel, channel.expires.get());
        }
    }

    /// Takes a worker that is gone off a channel, whatever its record says.
    pub(crate) fn remove_worker(
        &self,
        place: Ref<Channel>,
        channel: &Channel,
        slot: u16,
        limits: &impl ChannelLimits,
        now: u64,
    ) {
        let Some((at, record)) = self.record(channel, slot) else {
            return;
        };
        let until = now + limits.of(self.name(place)).channel_timeout;
        let count = record.count.get();
        self.grant_grace(channel, count, until);
        if count > 0 {
            self.remove_members_of(channel, slot);
        }
        record.count.set(0);
        record.dirty.set(0);
        if count > 0 {
            self.take_subscribers(place, channel, count, until);
        }
        self.remove_record(place, channel, at);
        if channel.is(CLOSED) && channel.records.get().is_none() {
            self.free_closed(place, channel);
        }
    }

    /// All channels of the shard: in the chains, closed ones, the log.
    pub(crate) fn all_channels(&self) -> Vec<Ref<Channel>> {
        let mut all = Vec::with_capacity(self.shard.channels.get() as usize + 1);
        for bucket in 0..self.zone.geometry().buckets as usize {
            all.extend(self.chain(bucket));
        }
        all.extend(self.closed_channels());
        all.extend(self.shard.log.get());
        all
    }

    /// The closed channels that workers still know.
    pub(crate) fn closed_channels(&self) -> Vec<Ref<Channel>> {
        let mut closed = Vec::new();
        let mut at = self.shard.closed.get();
        while let Some(place) = at {
            let Some(channel) = self.zone.at(place) else {
                break;
            };
            closed.push(place);
            at = channel.wheel_next.get();
        }
        closed
    }
}

impl Zone {
    /// Takes `count` subscribers of this worker off a channel; with the last one the reference ends.
    pub fn unsubscribe(
        &self,
        worker: WorkerId,
        channel: ChannelRef,
        count: u32,
        limits: &impl ChannelLimits,
        now: u64,
    ) {
        let Some(place) = Ref::<Channel>::new(channel.0) else {
            return;
        };
        let Some(known) = self.at(place) else { return };
        let Some(guard) = self.lock(known.shard(), &mut WakeSet::default()) else {
            return self.put_off(Later::Unsubscribe(worker, channel, count, None));
        };
        let Some((_, record)) = guard.record(known, worker.slot) else {
            return;
        };
        let count = count.min(record.count.get());
        let until = now + limits.of(guard.name(place)).channel_timeout;
        guard.grant_grace(known, count, until);
        record.count.take(count);
        guard.take_subscribers(place, known, count, until);
        if !known.is(LOG) {
            self.slot(worker.slot).subscribers.take(count);
        }
        if record.count.get() == 0 {
            guard.leave_record(place, known, worker.slot);
        }
    }

    /// Whether channels of this worker got something, or it must look at all of them.
    pub fn has_dirty(&self, worker: WorkerId) -> bool {
        let slot = self.slot(worker.slot);
        // What goes through all shards waits while one is held.
        let resync = slot.resync.get() != 0 && !busy::is_any_late();
        slot.dirty.get() != 0 || resync || self.has_to_look_at()
    }

    /// Takes the worker's list; an earlier one must have been walked to its end.
    pub fn take_dirty(&self, worker: WorkerId) -> DirtyList {
        DirtyList {
            at: self.slot(worker.slot).dirty.swap(0),
            slot: worker.slot,
            again: self.take_to_look_at(),
        }
    }

    /// Whether a shard was repaired, so that the worker must look at all its channels; its list must
    /// have been walked to its end. After this the list is whole again.
    pub fn take_resync(&self, worker: WorkerId) -> bool {
        let slot = self.slot(worker.slot);
        if slot.resync.get() == 0 {
            return false;
        }
        slot.resync.swap(0);
        for index in 0..self.shard_count() {
            let Some(guard) = self.lock(index, &mut WakeSet::default()) else {
                slot.resync.set(1);
                return false;
            };
            // Nobody pushes a record of this shard now. What is in the list is taken out; a record
            // that says it is in the list, and is not, was being pushed by a worker that died.
            let mut at = slot.dirty.swap(0);
            while let Some(record) = Ref::<Record>::new(at).and_then(|place| self.at(place)) {
                at = record.next_dirty.get();
                record.dirty.swap(0);
            }
            for place in guard.all_channels() {
                let Some(channel) = self.at(place) else {
                    continue;
                };
                if let Some((_, record)) = guard.record(channel, worker.slot) {
                    record.dirty.swap(0);
                    guard.leave_record(place, channel, worker.slot);
                }
            }
        }
        true
    }
}
