//! The ring of a channel's last messages.
//!
//! The message of seq `s` stands at `s % capacity`, so the ring needs no position of its own: what is
//! in it is said by the channel's `first` and `next`. Growing writes a new ring and links it by one
//! store.

use crate::cell::{Link, Ref, UNIT, Word};
use crate::channel::Channel;
use crate::message::Head;
use crate::shard::Guard;

/// A ring's head; its entries follow, one word each.
///
/// Concurrency: under the shard's lock alone. Crash: an entry is stored before `next` covers it; where a
/// message has expired a hole is stored before the message is freed.
#[repr(C)]
pub struct Ring {
    link: Word,
    capacity: Word,
}

const HEAD: usize = size_of::<Ring>();
const _: () = assert!(HEAD == UNIT);

/// Entries that a channel's first ring has.
const SMALLEST: u32 = 2;

/// What stands where a message was whose own time is over is a small number, which is the place of no
/// message: so many seqs from this one on are holes. It may be fewer than there are. So a walk over a million
/// of them takes some hundred steps.
pub(crate) const LONGEST_HOLE: u32 = 4000;

impl<'z> Guard<'z> {
    fn entry(&self, ring: Ref<Ring>, seq: u64) -> Option<&'z Link<Head>> {
        let capacity = self.zone.at(ring)?.capacity.get().max(1);
        let index = (seq % u64::from(capacity)) as usize;
        let pair = self
            .zone
            .at::<[Link<Head>; 2]>(ring.forward(HEAD + index / 2 * UNIT))?;
        Some(&pair[index % 2])
    }

    /// What stands in the ring for that seq: a message or a hole.
    fn buffered(&self, channel: &Channel, seq: u64) -> Option<Ref<Head>> {
        self.entry(channel.ring.get()?, seq)?.get()
    }

    /// The buffered message of that seq, if it has not expired.
    pub(crate) fn message(&self, channel: &Channel, seq: u64) -> Option<Ref<Head>> {
        self.buffered(channel, seq)
            .filter(|place| place.units() > LONGEST_HOLE)
    }

    /// How many seqs from this one on are holes, at least; 0: there is a message.
    pub(crate) fn holes_from(&self, channel: &Channel, seq: u64) -> u64 {
        let found = self.buffered(channel, seq).map_or(0, Ref::units);
        if found > LONGEST_HOLE {
            0
        } else {
            found.into()
        }
    }

    /// The first seq from `from` on that is no hole; the channel's next, if there is none.
    pub(crate) fn skip_holes(&self, channel: &Channel, from: u64) -> u64 {
        let next = channel.next.get();
        let mut seq = from;
        let mut holes = self.holes_from(channel, seq);
        while seq < next && holes > 0 {
            let behind = seq + holes;
            let more = if behind < next {
                self.holes_from(channel, behind)
            } else {
                0
            };
            let all = (holes + more).min(LONGEST_HOLE.into());
            if all > holes {
                // The next walk takes fewer steps.
                self.note_holes(channel, seq, all);
            }
            (seq, holes) = (behind, more);
        }
        seq
    }

    fn note_holes(&self, channel: &Channel, seq: u64, holes: u64) {
        if let Some(entry) = channel.ring.get().and_then(|ring| self.entry(ring, seq)) {
            entry.set(Ref::new(holes as u32));
        }
    }

    /// The hole at a seq, with those that follow it.
    fn hole_before(&self, channel: &Channel, seq: u64) -> Option<Ref<Head>> {
        let follow = if seq + 1 < channel.next.get() {
            self.holes_from(channel, seq + 1) as u32
        } else {
            0
        };
        Ref::new((follow + 1).min(LONGEST_HOLE))
    }

    /// Whether the message of that seq, which is one of the buffered, has expired.
    pub(crate) fn is_hole(&self, channel: &Channel, seq: u64) -> bool {
        self.buffered(channel, seq)
            .is_some_and(|place| place.units() <= LONGEST_HOLE)
    }

    /// Lets a buffered message go whose own time is over; its seq stays in the ring. Of several the last one
    /// goes first, so that each knows those behind it.
    pub(crate) fn punch(&self, channel: &Channel, seq: u64) {
        let Some(message) = self.message(channel, seq) else {
            return;
        };
        if let Some(entry) = channel.ring.get().and_then(|ring| self.entry(ring, seq)) {
            entry.set(self.hole_before(channel, seq));
            self.drop_message(message);
        }
    }

    /// Makes room for one message more, of `limit` at most; `false` when there is no memory.
    pub(crate) fn make_room(&self, channel: &Channel, limit: u32) -> bool {
        let limit = limit.max(1);
        while channel.len() >= u64::from(limit) {
            self.drop_oldest(channel);
        }
        let len = channel.len() as u32;
        let old = channel.ring.get();
        let capacity = old
            .and_then(|ring| self.zone.at(ring))
            .map_or(0, |r| r.capacity.get());
        if len < capacity {
            return true;
        }
        let wanted = capacity
            .saturating_mul(2)
            .clamp(SMALLEST, limit.max(SMALLEST));
        let Some(new) = self.write_ring(wanted) else {
            return false;
        };
        for seq in channel.first.get()..channel.next.get() {
            if let Some(entry) = self.entry(new, seq) {
                entry.set(self.buffered(channel, seq));
            }
        }
        channel.ring.set(Some(new));
        if let Some(old) = old {
            self.free(old);
        }
        true
    }

    /// A ring for so many messages that nothing leads to yet; `None` when there is no memory.
    fn write_ring(&self, capacity: u32) -> Option<Ref<Ring>> {
        // Words come in pairs, as blocks do in units.
        let bytes = HEAD + (capacity as usize).next_multiple_of(2) * size_of::<Link<Head>>();
        let place = self.allocate(bytes)?.cast::<Ring>();
        self.zone.at(place)?.capacity.set(capacity);
        Some(place)
    }

    /// Gives a channel without messages a ring for so many; `false` when there is no memory.
    pub(crate) fn reserve(&self, channel: &Channel, count: u32) -> bool {
        if channel.ring.get().is_some() {
            return true;
        }
        let ring = self.write_ring(count.max(SMALLEST));
        channel.ring.set(ring);
        ring.is_some()
    }

    /// Links a message in before the oldest that is buffered, or a hole where one has expired; there is
    /// room for it.
    pub(crate) fn prepend(&self, channel: &Channel, message: Option<Ref<Head>>) {
        let seq = channel.first.get() - 1;
        if let Some(entry) = channel.ring.get().and_then(|ring| self.entry(ring, seq)) {
            entry.set(message.or_else(|| self.hole_before(channel, seq)));
            channel.first.set(seq);
            if message.is_some() {
                self.shard.messages.add(1);
            }
        }
    }

    /// Links a message in as the channel's next, for which there is room; gives its seq.
    pub(crate) fn append(&self, place: Ref<Channel>, channel: &Channel, message: Ref<Head>) -> u64 {
        let seq = channel.next.get();
        if let Some(entry) = channel.ring.get().and_then(|ring| self.entry(ring, seq)) {
            self.end_empty(place, channel);
            entry.set(Some(message));
            channel.next.set(seq + 1);
            self.shard.messages.add(1);
        }
        seq
    }

    /// Lets the oldest message go; whether it was there, and had not expired before.
    pub(crate) fn drop_oldest(&self, channel: &Channel) -> bool {
        let first = channel.first.get();
        if first >= channel.next.get() {
            return false;
        }
        let message = self.message(channel, first);
        channel.first.set(first + 1);
        if let Some(message) = message {
            self.drop_message(message);
        }
        message.is_some()
    }

    /// Lets all messages go; the seq goes on.
    pub(crate) fn drop_all(&self, channel: &Channel) {
        while channel.first.get() < channel.next.get() {
            self.drop_oldest(channel);
        }
    }
}
