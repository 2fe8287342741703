//! Publishing once: ids of publishes that were done, so that a publisher that heard no answer may send
//! the same again.
//!
//! Of an id nothing is kept but a keyed hash of channel and id, 128 bits wide, so an entry has one size
//! however long the id is, and nobody without the zone's key finds two ids of one hash. Entries of a
//! channel stand in the channel's shard, in hash chains of their own, and in a list by age.

use core::hash::Hasher;

use siphasher::sip::SipHasher13;
use siphasher::sip128::{Hasher128, SipHasher13 as SipHasher13Wide};

use crate::cell::{Link, Long, Ref, Word};
use crate::channel::{Address, Channel};
use crate::publication::Publication;
use crate::publish::{PublishError, Published};
use crate::shard::Guard;
use crate::zone::Zone;

/// Entries forgotten with one publish, at most: more than one publish makes.
const FORGET: usize = 4;

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
    /// What the publisher was told.
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
    /// How many are remembered in the whole zone, about; the oldest are forgotten for newer ones.
    pub most: u32,
}

/// An id as it is kept.
#[derive(Clone, Copy)]
pub(crate) struct Key {
    key: [u64; 2],
    content: u64,
    until: u64,
    /// Entries of one shard.
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
            most: once.most.div_ceil(self.geometry().shards).max(1),
        }
    }

    /// Ids that are remembered now.
    pub fn ids(&self) -> u64 {
        (0..self.shard_count())
            .map(|index| u64::from(self.shard(index).ids.get()))
            .sum()
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
            subscribers: done.subscribers.get(),
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
        done.subscribers.set(channel.subscribers.get());
        let head = self.zone.id_bucket(self.index, done.key());
        done.chain.set(head.get());
        head.set(Some(at));
        self.shard.ids.add(1);
    }

    /// The message of an entry is there. Older entries go as far as they are due or too many; whether
    /// one went before its time.
    pub(crate) fn keep_promise(&self, at: Ref<Done>, most: Key, now: u64) -> bool {
        if let Some(done) = self.zone.at(at) {
            done.channel.set(None);
            self.list_newest(at);
        }
        self.forget(now, FORGET);
        let mut crowded = false;
        for _ in 0..FORGET {
            if self.shard.ids.get() <= most.most {
                break;
            }
            crowded = true;
            self.forget_oldest();
        }
        crowded
    }

    fn list_newest(&self, at: Ref<Done>) {
        let newest = self.shard.ids_newest.get().and_then(|at| self.zone.at(at));
        match newest {
            Some(newest) => newest.newer.set(Some(at)),
            None => self.shard.ids_oldest.set(Some(at)),
        }
        self.shard.ids_newest.set(Some(at));
    }

    /// Forgets entries whose time is over, at most `most`.
    pub(crate) fn forget(&self, now: u64, most: usize) {
        for _ in 0..most {
            let oldest = self.shard.ids_oldest.get().and_then(|at| self.zone.at(at));
            if oldest.is_none_or(|oldest| oldest.until.get() > now) {
                return;
            }
            self.forget_oldest();
        }
    }

    fn forget_oldest(&self) {
        let Some(at) = self.shard.ids_oldest.get() else {
            return;
        };
        let Some(done) = self.zone.at(at) else { return };
        let newer = done.newer.get();
        self.shard.ids_oldest.set(newer);
        if newer.is_none() {
            self.shard.ids_newest.set(None);
        }
        let head = self.zone.id_bucket(self.index, done.key());
        self.unlink_done(head, at, done);
        self.shard.ids.take(1);
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
        if self.shard.ids.get() == 0 && self.shard.broken.get() == 0 {
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
        self.shard.ids.set(kept.len() as u32);
        self.shard.ids_oldest.set(None);
        self.shard.ids_newest.set(None);
        for (_, at) in kept {
            if let Some(done) = self.zone.at(at) {
                done.newer.set(None);
            }
            self.list_newest(at);
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
        let mut listed = 0;
        let mut last = None;
        let mut at = self.shard.ids_oldest.get();
        while let Some(done) = at.and_then(|at| self.zone.at(at)) {
            (last, at) = (at, done.newer.get());
            listed += 1;
            if listed > found {
                break;
            }
        }
        let told = u64::from(self.shard.ids.get());
        if found != told || found != listed || last != self.shard.ids_newest.get() {
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
