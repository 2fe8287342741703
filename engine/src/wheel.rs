//! Expiry: channels in a wheel of seconds.
//!
//! A channel that gets a later expiry stays where it is; it is moved when its slot comes due. One that
//! has subscribers is taken off then, unless a message of it ends by time ([`crate::lifetime`]), and put
//! on again when the last one leaves. So a publish and a subscribe cost nothing here, and a second costs
//! what is due in it.
//!
//! A channel is in no later slot than that of its expiry, if it has no subscribers, and than those of its
//! messages' ends.

use crate::cell::Ref;
use crate::channel::{CLOSED, Channel, NOT_IN_WHEEL};
use crate::limits::ChannelLimits;
use crate::message::Kind;
use crate::shard::{Guard, WHEEL};
use crate::wake::WakeSet;
use crate::zone::Zone;

impl Guard<'_> {
    /// Puts a channel in, by its expiry.
    pub(crate) fn wheel_insert(&self, place: Ref<Channel>, channel: &Channel) {
        self.wheel_insert_at(place, channel, channel.expires.get());
    }

    /// Puts a channel in, so that it is looked at soon after that millisecond.
    pub(crate) fn wheel_insert_at(&self, place: Ref<Channel>, channel: &Channel, due: u64) {
        // The second after it, so that it is never early; what lies beyond the wheel is looked at again.
        let due = due / 1000 + 1;
        let from = self.shard.wheel_time.get();
        let due = due.clamp(from + 1, from + WHEEL as u64 - 1);
        let slot = (due % WHEEL as u64) as usize;
        let head = &self.shard.wheel[slot];
        let next = head.get();
        channel.wheel_previous.set(None);
        channel.wheel_next.set(next);
        channel.wheel_slot.set(slot as u32);
        if let Some(next) = next.and_then(|next| self.zone.at(next)) {
            next.wheel_previous.set(Some(place));
        }
        head.set(Some(place));
    }

    /// Has a channel looked at soon after that millisecond, if it is not looked at before.
    pub(crate) fn wheel_by(&self, place: Ref<Channel>, channel: &Channel, due: u64) {
        let slot = channel.wheel_slot.get();
        if channel.is(CLOSED) {
            return;
        }
        if slot != NOT_IN_WHEEL {
            let next = self.shard.wheel_time.get() + 1;
            let ahead = (u64::from(slot) + WHEEL as u64 - next % WHEEL as u64) % WHEEL as u64;
            if next + ahead <= due / 1000 + 1 {
                return;
            }
            self.wheel_remove(channel);
        }
        self.wheel_insert_at(place, channel, due);
    }

    /// Takes a channel out, if it is in.
    pub(crate) fn wheel_remove(&self, channel: &Channel) {
        let slot = channel.wheel_slot.get();
        if slot == NOT_IN_WHEEL {
            return;
        }
        let (previous, next) = (channel.wheel_previous.get(), channel.wheel_next.get());
        match previous.and_then(|previous| self.zone.at(previous)) {
            Some(previous) => previous.wheel_next.set(next),
            None => self.shard.wheel[slot as usize % WHEEL].set(next),
        }
        if let Some(next) = next.and_then(|next| self.zone.at(next)) {
            next.wheel_previous.set(previous);
        }
        channel.wheel_slot.set(NOT_IN_WHEEL);
        channel.wheel_next.set(None);
        channel.wheel_previous.set(None);
    }

    /// A channel without subscribers lives until `until` at least.
    pub(crate) fn keep_until(&self, place: Ref<Channel>, channel: &Channel, until: u64) {
        if channel.expires.get() < until {
            channel.expires.set(until);
        }
        if channel.wheel_slot.get() == NOT_IN_WHEEL && !channel.is(CLOSED) {
            self.wheel_insert(place, channel);
        }
    }

    /// Looks at what is due up to `now`; how many channels it freed or took messages from, about `most`
    /// at most.
    fn turn_wheel(
        &self,
        limits: &impl ChannelLimits,
        now_ms: u64,
        most: usize,
        wake: &mut WakeSet,
    ) -> usize {
        let now = now_ms / 1000;
        let mut done = 0;
        let shard = self.shard;
        // After a long pause each slot is looked at once.
        if shard.wheel_time.get() + (WHEEL as u64) < now {
            shard.wheel_time.set(now - WHEEL as u64);
        }
        while shard.wheel_time.get() < now {
            let second = shard.wheel_time.get() + 1;
            let head = &shard.wheel[(second % WHEEL as u64) as usize];
            // Those that stay are moved out of this slot, so the time advances first for them.
            let mut kept = Vec::new();
            while let Some(place) = head.get() {
                let Some(channel) = self.zone.at(place) else {
                    head.set(None);
                    break;
                };
                self.wheel_remove(channel);
                let expires = channel.expires.get();
                let stays = channel.subscribers.get() > 0 || {
                    self.sweep_records(place, channel);
                    expires / 1000 >= second || channel.records.get().is_some()
                };
                if stays {
                    let limits = limits.of(self.name(place));
                    let expired = self.expire_messages(channel, limits, now_ms);
                    done += usize::from(expired.gone > 0);
                    let alone = (channel.subscribers.get() == 0).then_some(expires);
                    if let Some(due) = expired.due.into_iter().chain(alone).min() {
                        kept.push((place, due));
                    }
                } else {
                    self.free_channel(place, channel, wake);
                    done += 1;
                }
                if done >= most {
                    break;
                }
            }
            let through = head.get().is_none();
            if through {
                shard.wheel_time.set(second);
            }
            for (place, due) in kept {
                if let Some(channel) = self.zone.at(place) {
                    self.wheel_insert_at(place, channel, due);
                }
            }
            if !through {
                break;
            }
        }
        done
    }

    /// Takes out records that nobody uses and no list holds.
    pub(crate) fn sweep_records(&self, place: Ref<Channel>, channel: &Channel) {
        while let Some((at, _)) = self
            .records(channel)
            .find(|(_, record)| record.count.get() == 0 && record.dirty.get() == 0)
        {
            self.remove_record(place, channel, at);
        }
    }

    /// Frees a channel that is in no wheel and that no worker knows: unlinks it by one store, tells
    /// the presence log, frees what it holds.
    pub(crate) fn free_channel(&self, place: Ref<Channel>, channel: &Channel, wake: &mut WakeSet) {
        self.unchain(place, channel);
        self.tell(Kind::Offline, self.name(place), wake);
        self.free_parts(place, channel);
    }

    /// Frees what a channel holds, and the channel, to which nothing leads any more.
    pub(crate) fn free_parts(&self, place: Ref<Channel>, channel: &Channel) {
        self.drop_all(channel);
        // None, unless somebody left a member behind.
        for member in self.member_places(channel) {
            self.free(member);
        }
        if let Some(ring) = channel.ring.get() {
            channel.ring.set(None);
            self.free(ring);
        }
        self.free(place);
    }

    /// Takes a channel out of its hash chain.
    pub(crate) fn unchain(&self, place: Ref<Channel>, channel: &Channel) {
        self.end_empty(place, channel);
        let bucket = self.zone.address(self.name(place)).bucket;
        let next = channel.chain.get();
        let before = self
            .chain(bucket)
            .filter_map(|other| self.zone.at(other))
            .find(|other| other.chain.get() == Some(place));
        let head = self.zone.bucket(self.index, bucket);
        match before {
            Some(before) => before.chain.set(next),
            None if head.get() == Some(place) => head.set(next),
            None => return,
        }
        self.shard.channels.take(1);
    }
}

impl Zone {
    /// Frees channels and messages whose time has come, those of `budget` channels at most in this call;
    /// how many channels were freed, or gave messages back. Costs what is due: a shard that another worker
    /// has looked at in this second, or holds, is passed by.
    pub fn expire(
        &self,
        limits: &impl ChannelLimits,
        now: u64,
        budget: usize,
        wake: &mut WakeSet,
    ) -> usize {
        let second = now / 1000;
        let mut done = 0;
        self.retire_late_bodies(wake);
        for index in 0..self.shard_count() {
            if self.shard(index).wheel_time.get() >= second {
                continue;
            }
            let Some(guard) = self.try_lock(index, wake) else {
                continue;
            };
            done += guard.turn_wheel(limits, now, budget - done, wake);
            guard.forget(now, 4096);
            guard.reclaim(4096);
            guard.give_back_empty();
            if done >= budget {
                break;
            }
        }
        done
    }
}
