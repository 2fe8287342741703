//! Channels, and the records of the workers that have subscribers on them.

use core::hash::Hasher;
use core::mem::offset_of;

use siphasher::sip::SipHasher13;

use crate::cell::{Link, Long, Ref, Word};
use crate::members::Member;
use crate::ring::Ring;
use crate::shard::Guard;
use crate::slot::WorkerSlot;
use crate::wake::WakeSet;
use crate::zone::Zone;

/// An administrator closed it: it is in no hash chain.
pub const CLOSED: u32 = 1;
/// It is a shard's presence log.
pub const LOG: u32 = 2;
/// It has a token.
pub const SIGNED: u32 = 4;
/// Its ring may hold messages with a time of their own ([`crate::lifetime`]).
pub const EXPIRING: u32 = 8;
/// Of a closed channel: its subscribers are to stay away ([`crate::disconnect`]).
pub const AWAY: u32 = 32;

/// It never had a message, nor a token ([`crate::empty`]).
pub const EMPTY: u32 = 16;

/// In no slot of the wheel.
pub const NOT_IN_WHEEL: u32 = u32::MAX;

/// No worker.
pub const NO_SLOT: u32 = u32::MAX;

/// A channel; its name follows it in the same block.
///
/// Concurrency: read and written under its shard's lock alone. A worker may keep a reference to it
/// without the lock as long as it has a record in `records`.
///
/// Crash: it becomes reachable by one store, after all its words are set, and unreachable by one
/// store, before anything of it is freed. Its messages are those from `first` to before `next`; each
/// of both is one store, made after what it covers. `subscribers` and the wheel's links are made anew
/// by the repair.
#[repr(C)]
pub struct Channel {
    link: Word,
    /// The next in its hash chain.
    pub chain: Link<Channel>,
    /// Low half of its name's hash.
    pub hash: Word,
    /// The shard it is in, the length of its name, and flags.
    about: Word,
    /// The seq of the next message.
    pub next: Long,
    /// The smallest buffered seq; `next` when nothing is buffered.
    pub first: Long,
    /// The ring of its messages, once it had one.
    pub ring: Link<Ring>,
    /// Subscribers on all workers.
    pub subscribers: Word,
    /// When it may be freed without subscribers, in milliseconds of the clock that callers give.
    pub expires: Long,
    /// The next in its wheel slot, or in the list of closed channels.
    pub wheel_next: Link<Channel>,
    /// The one before it in its wheel slot.
    pub wheel_previous: Link<Channel>,
    /// Its wheel slot.
    pub wheel_slot: Word,
    /// The workers that have subscribers on it.
    pub records: Link<Record>,
    /// The record of the first of them.
    own: Record,
    /// What `sign` gave; in an empty channel its place in the list of these ([`crate::empty`]).
    pub token: [Long; 2],
    /// Which life of its name it is ([`crate::life`]).
    pub incarnation: Long,
}

/// What a channel knows of one worker.
///
/// Concurrency: written under the shard's lock; but `dirty` is cleared, and `next_dirty` read, by the
/// worker without it. Crash: linked by one store after its words are set. A record that is `dirty` is
/// freed by its worker alone, or by the reaper of its dead worker.
#[repr(C)]
pub struct Record {
    /// A block's link word; in the record that stands in a channel, the root of the channel's members.
    members: Link<Member>,
    /// The next worker of the channel.
    pub next: Link<Record>,
    /// The channel.
    pub channel: Link<Channel>,
    /// The worker's slot; [`NO_SLOT`] in a record that is not used.
    pub slot: Word,
    /// Its subscribers here.
    pub count: Word,
    /// It is in its worker's list of dirty channels.
    pub dirty: Word,
    /// The record pushed before it.
    pub next_dirty: Word,
    /// In the record that stands in a channel: users among the channel's subscribers.
    users: Word,
}

/// Where the name begins.
pub const NAME_AT: usize = size_of::<Channel>();

/// A channel that this worker is registered on; good until it unsubscribes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChannelRef(pub(crate) u32);

impl ChannelRef {
    /// The same as a number, for another worker of the zone; see [`Zone::pass_on`](crate::Zone::pass_on).
    pub fn number(self) -> u32 {
        self.0
    }
}

/// A name's place: its shard, bucket and hash.
#[derive(Clone, Copy)]
pub struct Address {
    /// The shard.
    pub shard: usize,
    /// The bucket in it.
    pub bucket: usize,
    /// What is compared before the name is.
    pub hash: u32,
}

impl Zone {
    /// Where a channel of that name stands, if there is one.
    pub(crate) fn address(&self, name: &[u8]) -> Address {
        let (low, high) = self.key();
        let mut hasher = SipHasher13::new_with_keys(low, high);
        hasher.write(name);
        let hash = hasher.finish();
        let geometry = self.geometry();
        Address {
            shard: (hash >> 58) as usize & (geometry.shards as usize - 1),
            bucket: (hash >> 32) as usize & (geometry.buckets as usize - 1),
            hash: hash as u32,
        }
    }
}

impl Channel {
    /// Its shard.
    pub fn shard(&self) -> usize {
        (self.about.get() >> 8 & 0xff) as usize
    }

    fn name_len(&self) -> usize {
        (self.about.get() >> 16) as usize
    }

    /// Whether it has that flag.
    pub fn is(&self, flag: u32) -> bool {
        self.about.get() & flag != 0
    }

    /// Gives it a flag.
    pub fn flag(&self, flag: u32) {
        self.about.set(self.about.get() | flag);
    }

    /// Takes a flag from it.
    pub fn unflag(&self, flag: u32) {
        self.about.set(self.about.get() & !flag);
    }

    /// Buffered messages, and the places of those that have expired.
    pub fn len(&self) -> u64 {
        self.next.get().saturating_sub(self.first.get())
    }

    /// The users among its subscribers ([`crate::members`]).
    pub(crate) fn members(&self) -> &Link<Member> {
        &self.own.members
    }

    /// How many there are; counted anew by the repair.
    pub(crate) fn users(&self) -> &Word {
        &self.own.users
    }

    /// The record that stands in the channel itself.
    pub fn own_record(channel: Ref<Channel>) -> Ref<Record> {
        channel.forward(offset_of!(Channel, own))
    }
}

impl<'z> Guard<'z> {
    /// A channel's name.
    pub(crate) fn name(&self, place: Ref<Channel>) -> &'z [u8] {
        let len = self.zone.at(place).map_or(0, Channel::name_len);
        // SAFETY: the name is written before the channel is linked, and never after; the caller
        // holds the lock under which channels are freed, and lets the name go before it.
        unsafe { self.zone.bytes_at(place.offset() + NAME_AT, len) }
    }

    /// The channels of a bucket.
    pub(crate) fn chain(&self, bucket: usize) -> impl Iterator<Item = Ref<Channel>> + use<'z> {
        let zone = self.zone;
        let mut at = zone.bucket::<Channel>(self.index, bucket).get();
        core::iter::from_fn(move || {
            let place = at?;
            at = zone.at(place)?.chain.get();
            Some(place)
        })
    }

    /// The channel of that name.
    pub(crate) fn find(
        &self,
        address: Address,
        name: &[u8],
    ) -> Option<(Ref<Channel>, &'z Channel)> {
        self.chain(address.bucket).find_map(|place| {
            let channel = self.zone.at(place)?;
            let same = channel.hash.get() == address.hash && self.name(place) == name;
            same.then_some((place, channel))
        })
    }

    /// Writes a channel that nothing leads to yet; `None` when there is no memory.
    pub(crate) fn write_channel(
        &self,
        hash: u32,
        name: &[u8],
        flags: u32,
        incarnation: u64,
        expires: u64,
    ) -> Option<(Ref<Channel>, &'z Channel)> {
        let place = self.allocate(NAME_AT + name.len())?.cast::<Channel>();
        let channel = self.zone.at(place)?;
        let len = name.len() as u32;
        channel.chain.set(None);
        channel.hash.set(hash);
        channel
            .about
            .set(len << 16 | (self.index as u32) << 8 | flags);
        let first = self.zone.header().seq_floor.get() + 1;
        channel.next.set(first);
        channel.first.set(first);
        channel.ring.set(None);
        channel.subscribers.set(0);
        channel.expires.set(expires);
        channel.wheel_next.set(None);
        channel.wheel_previous.set(None);
        channel.wheel_slot.set(NOT_IN_WHEEL);
        channel.records.set(None);
        channel.own.slot.set(NO_SLOT);
        channel.own.dirty.set(0);
        channel.own.members.set(None);
        channel.own.users.set(0);
        channel.token[0].set(0);
        channel.token[1].set(0);
        channel.incarnation.set(incarnation);
        // SAFETY: the block was just allocated and holds NAME_AT + name.len() bytes.
        unsafe { self.zone.write_at(place.offset() + NAME_AT, name) };
        Some((place, channel))
    }

    /// The records of a channel.
    pub(crate) fn records(
        &self,
        channel: &Channel,
    ) -> impl Iterator<Item = (Ref<Record>, &'z Record)> + use<'z> {
        let zone = self.zone;
        let mut at = channel.records.get();
        core::iter::from_fn(move || {
            let place = at?;
            let record = zone.at(place)?;
            at = record.next.get();
            Some((place, record))
        })
    }

    /// A worker's record of a channel.
    pub(crate) fn record(&self, channel: &Channel, slot: u16) -> Option<(Ref<Record>, &'z Record)> {
        self.records(channel)
            .find(|(_, record)| record.slot.get() == u32::from(slot))
    }

    /// Adds a subscriber of that worker; `false` when there is no memory.
    pub(crate) fn register(&self, place: Ref<Channel>, channel: &Channel, slot: u16) -> bool {
        let record = match self.record(channel, slot) {
            Some((_, record)) => record,
            None => match self.write_record(place, channel, slot) {
                Some(record) => record,
                None => return false,
            },
        };
        if channel.is(EMPTY) && channel.subscribers.get() == 0 {
            self.unlist_empty(channel);
        }
        record.count.add(1);
        channel.subscribers.add(1);
        if !channel.is(LOG) {
            self.shard.subscribers.add(1);
            self.zone.slot(slot).subscribers.add(1);
        }
        true
    }

    /// Adds a subscriber of that worker, which may be a user; `false` when there is no memory.
    pub(crate) fn register_as(
        &self,
        place: Ref<Channel>,
        channel: &'z Channel,
        slot: u16,
        user: Option<&[u8]>,
    ) -> bool {
        let Some(user) = user else {
            return self.register(place, channel, slot);
        };
        let key = self.zone.member_key(user, slot);
        let Ok(ready) = self.ready_member(channel, key) else {
            return false;
        };
        if !self.register(place, channel, slot) {
            if let Some(ready) = ready {
                self.free(ready);
            }
            return false;
        }
        self.enter_member(channel, key, ready);
        true
    }

    fn write_record(
        &self,
        place: Ref<Channel>,
        channel: &Channel,
        slot: u16,
    ) -> Option<&'z Record> {
        let at = if channel.own.slot.get() == NO_SLOT {
            Channel::own_record(place)
        } else {
            self.allocate(size_of::<Record>())?.cast()
        };
        let record = self.zone.at(at)?;
        record.channel.set(Some(place));
        record.slot.set(u32::from(slot));
        record.count.set(0);
        record.dirty.set(0);
        record.next_dirty.set(0);
        record.next.set(channel.records.get());
        channel.records.set(Some(at));
        Some(record)
    }

    /// Takes a record out that has no subscribers and is in no list.
    pub(crate) fn remove_record(&self, place: Ref<Channel>, channel: &Channel, at: Ref<Record>) {
        let Some(record) = self.zone.at(at) else {
            return;
        };
        let before = self
            .records(channel)
            .find(|(_, other)| other.next.get() == Some(at));
        match before {
            Some((_, before)) => before.next.set(record.next.get()),
            None => channel.records.set(record.next.get()),
        }
        if at == Channel::own_record(place) {
            record.slot.set(NO_SLOT);
        } else {
            self.free(at);
        }
    }

    /// Puts the channel on the list of each worker with subscribers on it.
    pub(crate) fn mark_dirty(&self, channel: &Channel, wake: &mut WakeSet) {
        for (place, record) in self.records(channel) {
            if record.count.get() == 0 || record.dirty.swap(1) != 0 {
                continue;
            }
            let slot = record.slot.get() as u16;
            if push(self.zone.slot(slot), place, record) {
                wake.insert(slot);
            }
        }
    }
}

/// Pushes a record on its worker's list; whether the list was empty.
fn push(slot: &WorkerSlot, place: Ref<Record>, record: &Record) -> bool {
    let mut head = slot.dirty.get();
    loop {
        record.next_dirty.set(head);
        match slot.dirty.replace(head, place.units()) {
            Ok(()) => return head == 0,
            Err(found) => head = found,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_channel_is_small() {
        // The layout page of the crate says so.
        assert_eq!(size_of::<Record>(), 32);
        assert_eq!(NAME_AT, 120);
        assert!((2200..2400).contains(&size_of::<crate::shard::Shard>()));
        assert!(
            crate::blocks::class_of(NAME_AT + 16)
                .is_some_and(|class| { crate::blocks::SIZES[class] == 144 })
        );
    }
}
