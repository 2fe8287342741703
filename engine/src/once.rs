//! Publishing once: ids of publishes that were done, so that a publisher that heard no answer may send
//! the same again.
//!
//! Of an id nothing is kept but a keyed hash of channel and id, 128 bits wide, so an entry has one size
//! however long the id is, and nobody without the zone's key finds two ids of one hash. Entries of a
//! channel stand in the channel's shard, in hash chains of their own, and in a list by age: one for those of
//! back ends, one for those of clients.
//!
//! The limit is the zone's: one channel may have all of it. The oldest of the zone goes first, as found from
//! the oldest of each shard, by the time at which it would go anyhow. Clients have half as many of their own,
//! so what they do makes nobody forget a back end's.

use core::hash::Hasher;

use siphasher::sip::SipHasher13;
use siphasher::sip128::{Hasher128, SipHasher13 as SipHasher13Wide};

use crate::cell::{Link, Long, Ref, Word};
use crate::channel::{Address, Channel};
use crate::publication::Publication;
use crate::publish::{PublishError, Published};
use crate::shard::Guard;
use crate::wake::WakeSet;
use crate::zone::Zone;

/// Entries forgotten with one publish, at most: more than one publish makes.
const FORGET: usize = 4;

/// Whose entry it is: one of the shard's lists.
const BACK_END: usize = 0;
const CLIENT: usize = 1;

/// Where that stands among the subscribers of an entry, which are never so many.
const KIND_SHIFT: u32 = 31;

/// Entries of one kind in a shard, by age.
///
/// Concurrency: written under the shard's lock; `count` and `until` are read without it. Crash: made anew by
/// the repair.
#[repr(C)]
pub struct Ages {
    /// How many there are.
    count: Word,
    /// The one that was made first.
    oldest: Link<Done>,
    /// The one that was made last.
    newest: Link<Done>,
    reserved: Word,
    /// When the oldest is forgotten; 0: there is none.
    until: Long,
}

/// A publish that was done.
///
/// Concurrency: read and written under its shard's lock alone.
///
/// Crash: linked into its hash chain by one store after its words are set, unlinked by one store before
/// it is freed. It is linked before its message is, with the seq that the message gets, and with its
/// channel; when the message is there, `channel` is cleared. The repair looks whether the channel's
/// `next` has passed the seq: then the publish was done, else the entry goes. So an id is known exactly
/// when its message was appended. The list by age is made anew by the repair.
#[repr(C)]
pub struct Done {
    link: Word,
    /// The next in its hash chain.
    chain: Link<Done>,
    /// The one that was made after it.
    newer: Link<Done>,
    /// Its channel, as long as its message is not there.
    channel: Link<Channel>,
    /// What the publisher was told; in the highest bit whose entry it is, [`BACK_END`]'s or a [`CLIENT`]'s.
    subscribers: Word,
    /// Low half of the incarnation of its channel that the seq belongs to.
    incarnation: Word,
    /// When it is forgotten, in milliseconds of the clock that callers give.
    until: Long,
    key: [Long; 2],
    /// Hash of the content and its options.
    content: Long,
    seq: Long,
}

/// How a publish is made sure to be done once.
#[derive(Clone, Copy, Debug)]
pub struct Once<'a> {
    /// The publisher's name for this message on this channel.
    pub id: &'a [u8],
    /// How long it is remembered, in milliseconds.
    pub window: u64,
    /// How many of back ends are remembered in the zone, and half as many of clients; the oldest are
    /// forgotten for newer ones. Publishes at one moment may find a few more.
    pub most: u32,
    /// A client gave it, and no back end.
    pub client: bool,
}

/// An id as it is kept.
#[derive(Clone, Copy)]
pub(crate) struct Key {
    key: [u64; 2],
    content: u64,
    until: u64,
    kind: usize,
    /// Entries of its kind in the zone.
    most: u32,
}

impl Zone {
    pub(crate) fn key_of(
        &self,
        name: &[u8],
        publication: &Publication<'_>,
        once: &Once<'_>,
        now: u64,
    ) -> Key {
        let (low, high) = self.key();
        let mut hasher = SipHasher13Wide::new_with_keys(low, high);
        // Names are shorter than what a byte's length would leave ambiguous: the length stands first.
        hasher.write_usize(name.len());
        hasher.write(name);
        hasher.write(once.id);
        let key = hasher.finish128();
        let mut hasher = SipHasher13::new_with_keys(low, high);
        hasher.write(publication.content);
        if publication.has_options() {
            hasher.write(publication.event);
            hasher.write_usize(publication.event.len());
            hasher.write_u64(publication.exclude);
            hasher.write_u64(publication.ttl.unwrap_or(u64::MAX));
        }
        Key {
            key: [key.h1, key.h2],
            content: hasher.finish(),
            until: now.saturating_add(once.window),
            kind: if once.client { CLIENT } else { BACK_END },
            most: match once.client {
                true => once.most.div_ceil(2),
                false => once.most.max(1),
            },
        }
    }

    /// Ids that are remembered now.
    pub fn ids(&self) -> u64 {
        self.ids_of_kind(BACK_END) + self.ids_of_kind(CLIENT)
    }

    fn ids_of_kind(&self, kind: usize) -> u64 {
        (0..self.shard_count())
            .map(|index| u64::from(self.shard(index).ids[kind].count.get()))
            .sum()
    }

    /// After a publish with an id: as many as are too many of its kind are forgotten, the zone's oldest
    /// first; whether one went before its time.
    pub(crate) fn forget_surplus(&self, key: Key, now: u64, wake: &mut WakeSet) -> bool {
        let mut crowded = false;
        for _ in 0..FORGET {
            if self.ids_of_kind(key.kind) <= u64::from(key.most) {
                break;
            }
            let oldest = (0..self.shard_count())
                .map(|index| (self.shard(index).ids[key.kind].until.get(), index))
                .filter(|(until, _)| *until != 0)
                .min();
            let Some((until, index)) = oldest else { break };
            crowded |= until > now;
            let Some(guard) = self.lock(index, wake) else {
                break;
            };
            guard.forget_oldest(key.kind);
        }
        crowded
    }

    fn id_bucket(&self, shard: usize, key: [u64; 2]) -> &Link<Done> {
        self.id_bucket_at(shard, key[0] as usize)
    }

    fn id_bucket_at(&self, shard: usize, index: usize) -> &Link<Done> {
        let geometry = self.geometry();
        let buckets = geometry.address_buckets as usize;
        // SAFETY: the geometry has `address_buckets` buckets of ids for each shard; a link is one word.
        unsafe { self.element(geometry.ids_at, shard * buckets + index % buckets) }
    }
}

impl Done {
    fn key(&self) -> [u64; 2] {
        [self.key[0].get(), self.key[1].get()]
    }

    /// Whose entry it is: 0 or 1, whatever stands there.
    fn kind(&self) -> usize {
        (self.subscribers.get() >> KIND_SHIFT) as usize
    }

    /// How many subscribers its publisher was told.
    fn told(&self) -> u32 {
        self.subscribers.get() & !(1 << KIND_SHIFT)
    }

    fn tell(&self, subscribers: u32) {
        let kind = (self.kind() as u32) << KIND_SHIFT;
        self.subscribers
            .set(kind | subscribers & !(1 << KIND_SHIFT));
    }
}

impl<'z> Guard<'z> {
    fn ids_of(&self, head: &Link<Done>) -> impl Iterator<Item = (Ref<Done>, &'z Done)> + use<'z> {
        let zone = self.zone;
        let mut at = head.get();
        core::iter::from_fn(move || {
            let place = at?;
            let done = zone.at(place)?;
            at = done.chain.get();
            Some((place, done))
        })
    }

    /// What was told when that id was published, if it was.
    pub(crate) fn find_done(
        &self,
        key: Key,
        address: Address,
        name: &[u8],
        now: u64,
    ) -> Option<Result<Published, PublishError>> {
        let head = self.zone.id_bucket(self.index, key.key);
        let (_, done) = self
            .ids_of(head)
            .find(|(_, done)| done.key() == key.key && done.until.get() > now)?;
        if done.content.get() != key.content {
            return Some(Err(PublishError::IdReused));
        }
        let incarnation = self
            .find(address, name)
            .map(|(_, channel)| channel.incarnation.get())
            .filter(|incarnation| *incarnation as u32 == done.incarnation.get());
        Some(Ok(Published {
            seq: done.seq.get(),
            incarnation: incarnation.unwrap_or_default(),
            created: false,
            subscribers: done.told(),
            repeated: true,
            crowded: false,
        }))
    }

    /// An entry that nothing leads to yet; `None` when there is no memory.
    pub(crate) fn new_done(&self, key: Key) -> Option<Ref<Done>> {
        let place = self.allocate(size_of::<Done>())?.cast::<Done>();
        let done = self.zone.at(place)?;
        done.newer.set(None);
        done.until.set(key.until);
        done.subscribers.set((key.kind as u32) << KIND_SHIFT);
        done.key[0].set(key.key[0]);
        done.key[1].set(key.key[1]);
        done.content.set(key.content);
        Some(place)
    }

    /// Links an entry for the message that the channel gets next.
    pub(crate) fn promise(&self, at: Ref<Done>, place: Ref<Channel>, channel: &Channel) {
        let Some(done) = self.zone.at(at) else { return };
        done.channel.set(Some(place));
        done.seq.set(channel.next.get());
        done.incarnation.set(channel.incarnation.get() as u32);
        done.tell(channel.subscribers.get());
        let head = self.zone.id_bucket(self.index, done.key());
        done.chain.set(head.get());
        head.set(Some(at));
        self.ages(done).count.add(1);
    }

    /// The list that an entry is of.
    fn ages(&self, done: &Done) -> &'z Ages {
        &self.shard.ids[done.kind()]
    }

    /// The message of an entry is there. Older entries go as far as they are due.
    pub(crate) fn keep_promise(&self, at: Ref<Done>, now: u64) {
        if let Some(done) = self.zone.at(at) {
            done.channel.set(None);
            self.list_newest(at, done);
        }
        self.forget(now, FORGET);
    }

    fn list_newest(&self, at: Ref<Done>, done: &Done) {
        let ages = self.ages(done);
        match ages.newest.get().and_then(|at| self.zone.at(at)) {
            Some(newest) => newest.newer.set(Some(at)),
            None => {
                ages.oldest.set(Some(at));
                ages.until.set(done.until.get());
            }
        }
        ages.newest.set(Some(at));
    }

    /// Forgets entries whose time is over, at most `most` of each kind.
    pub(crate) fn forget(&self, now: u64, most: usize) {
        for kind in [BACK_END, CLIENT] {
            for _ in 0..most {
                let until = self.shard.ids[kind].until.get();
                if until == 0 || until > now {
                    break;
                }
                self.forget_oldest(kind);
            }
        }
    }

    fn forget_oldest(&self, kind: usize) {
        let ages = &self.shard.ids[kind];
        let Some(at) = ages.oldest.get() else { return };
        let Some(done) = self.zone.at(at) else { return };
        let newer = done.newer.get();
        ages.oldest.set(newer);
        if newer.is_none() {
            ages.newest.set(None);
        }
        let next = newer.and_then(|newer| self.zone.at(newer));
        ages.until.set(next.map_or(0, |next| next.until.get()));
        let head = self.zone.id_bucket(self.index, done.key());
        self.unlink_done(head, at, done);
        ages.count.take(1);
        self.free(at);
    }

    fn unlink_done(&self, head: &Link<Done>, at: Ref<Done>, done: &Done) {
        let next = done.chain.get();
        let before = self
            .ids_of(head)
            .find(|(_, other)| other.chain.get() == Some(at));
        match before {
            Some((_, before)) => before.chain.set(next),
            None => head.set(next),
        }
    }

    /// All entries of the shard.
    pub(crate) fn all_ids(&self) -> Vec<Ref<Done>> {
        // None, almost always: then the buckets need not be looked at but by a repair, which counts anew.
        let none = self.shard.ids.iter().all(|ages| ages.count.get() == 0);
        if none && self.shard.broken.get() == 0 {
            return Vec::new();
        }
        (0..self.zone.geometry().address_buckets as usize)
            .flat_map(|bucket| {
                self.ids_of(self.zone.id_bucket_at(self.index, bucket))
                    .map(|(place, _)| place)
            })
            .collect()
    }

    /// For the repair: entries without their message go, the others are kept, counted and listed.
    pub(crate) fn settle_ids(&self) {
        let mut kept = Vec::new();
        for at in self.all_ids() {
            let Some(done) = self.zone.at(at) else {
                continue;
            };
            if let Some(channel) = done.channel.get().and_then(|place| self.zone.at(place)) {
                if channel.next.get() <= done.seq.get() {
                    // It becomes garbage, which the repair collects.
                    self.unlink_done(self.zone.id_bucket(self.index, done.key()), at, done);
                    continue;
                }
                done.channel.set(None);
            }
            kept.push((done.until.get(), at));
        }
        kept.sort_by_key(|(until, _)| *until);
        for ages in &self.shard.ids {
            ages.count.set(0);
            ages.oldest.set(None);
            ages.newest.set(None);
            ages.until.set(0);
        }
        for (_, at) in kept {
            if let Some(done) = self.zone.at(at) {
                done.newer.set(None);
                self.list_newest(at, done);
                self.ages(done).count.add(1);
            }
        }
    }

    /// Checks the entries; how many there are.
    pub(crate) fn verify_ids(&self, faults: &mut Vec<String>) -> u64 {
        let buckets = self.zone.geometry().address_buckets as usize;
        let mut found = 0u64;
        for bucket in 0..buckets {
            for (_, done) in self.ids_of(self.zone.id_bucket_at(self.index, bucket)) {
                found += 1;
                if done.key()[0] as usize % buckets != bucket {
                    faults.push(format!("shard {}: an id in a wrong bucket", self.index));
                }
                if done.channel.get().is_some() {
                    faults.push(format!("shard {}: an id without its message", self.index));
                }
            }
        }
        let (mut listed, mut told) = (0, 0);
        for ages in &self.shard.ids {
            let mut last = None;
            let mut at = ages.oldest.get();
            let oldest = at.and_then(|at| self.zone.at(at));
            let mut right = ages.until.get() == oldest.map_or(0, |oldest| oldest.until.get());
            while let Some(done) = at.and_then(|at| self.zone.at(at)) {
                (last, at) = (at, done.newer.get());
                right &= core::ptr::eq(self.ages(done), ages);
                listed += 1;
                if listed > found {
                    break;
                }
            }
            told += u64::from(ages.count.get());
            if !right || last != ages.newest.get() {
                faults.push(format!("shard {}: a bad list of ids", self.index));
            }
        }
        if found != told || found != listed {
            faults.push(format!(
                "shard {}: {found} ids, {listed} listed by age, {told} told",
                self.index
            ));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_takes_one_block_of_64_bytes() {
        assert_eq!(size_of::<Done>(), 64);
    }
}
