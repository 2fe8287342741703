//! Messages that end by time.
//!
//! * What a channel's `message_ttl` no longer keeps goes as what its buffer has no room for: the oldest
//!   first, by `first`, and who wanted it is told that it is lost. The ttl is asked for at each operation,
//!   and takes no memory.
//! * A message's own time, if it has one, stands in the message. When it is over the message leaves a hole
//!   in the ring, and readers pass over its seq in silence.
//!
//! Whoever looks at a channel's messages sees none that is over. Memory is given back by the wheel
//! ([`crate::wheel`]), in which a channel stands by the time at which the first of its messages ends,
//! also while it has subscribers; or sooner, when somebody looks.

use core::ops::Range;

use crate::cell::Ref;
use crate::channel::{Channel, EXPIRING, LOG};
use crate::limits::Limits;
use crate::message::Head;
use crate::shard::Guard;

/// Messages looked at in one channel for a time of their own, at most; a longer ring is looked at part by
/// part, in each second another.
const LOOKED_AT: u64 = 4096;

/// Messages that have ended and are left to the wheel by one look for a living one.
const FEW: u64 = 256;

/// Those that it lets go, at most but for one part.
const ENDED: u64 = 1 << 16;

/// What was found in a channel.
pub(crate) struct Expired {
    /// Messages that went.
    pub gone: usize,
    /// When the next one ends, or is to be looked for, in milliseconds.
    pub due: Option<u64>,
}

impl Guard<'_> {
    /// Lets the messages go that the channel's `message_ttl` no longer keeps; how many.
    pub(crate) fn drop_outdated(&self, channel: &Channel, limits: &Limits, now: u64) -> usize {
        if limits.message_ttl == 0 || channel.is(LOG) {
            return 0;
        }
        let mut keep = channel.first.get();
        loop {
            // A hole goes with what came after it.
            let seq = self.skip_holes(channel, keep);
            let message = self.message(channel, seq).and_then(|at| self.zone.at(at));
            let outdated = message.is_some_and(|at| at.age(now) >= limits.message_ttl);
            if seq >= channel.next.get() || !outdated {
                break;
            }
            keep = seq + 1;
        }
        let mut gone = 0;
        while channel.first.get() < keep {
            gone += usize::from(self.drop_oldest(channel));
        }
        gone
    }

    /// The message of a buffered seq, if it has not ended.
    pub(crate) fn living(&self, channel: &Channel, seq: u64, now: u64) -> Option<Ref<Head>> {
        let message = self.message(channel, seq)?;
        let is_over = channel.is(EXPIRING)
            && self
                .zone
                .message_until(message)
                .is_some_and(|until| until <= now);
        (!is_over).then_some(message)
    }

    /// The first seq from `from` on whose message has not ended, and is not kept from the user of that tag;
    /// the channel's next, if there is none. What it finds to have ended goes, if it is more than a few, so that
    /// nobody walks over it again; after very many of these it stops at one.
    pub(crate) fn first_for(&self, channel: &Channel, from: u64, tag: u64, now: u64) -> u64 {
        let mut seq = from;
        let mut ended = 0;
        loop {
            seq = self.skip_holes(channel, seq);
            if seq >= channel.next.get() {
                return seq;
            }
            match self.living(channel, seq, now) {
                Some(message) if tag == 0 || self.zone.message_exclude(message) != tag => {
                    return seq;
                }
                Some(_) => seq += 1,
                None if ended >= ENDED => return seq,
                None if ended < FEW => (seq, ended) = (seq + 1, ended + 1),
                None => ended += self.punch_from(channel, seq, now),
            }
        }
    }

    /// Lets messages go that have ended, from that one on, as many as stand side by side; how many.
    fn punch_from(&self, channel: &Channel, from: u64, now: u64) -> u64 {
        let to = from.saturating_add(LOOKED_AT).min(channel.next.get());
        let ends = (from..to).take_while(|seq| self.living(channel, *seq, now).is_none());
        let count = ends.count() as u64;
        for seq in (from..from + count).rev() {
            self.punch(channel, seq);
        }
        count.max(1)
    }

    /// The messages of these seqs that have not ended, from the first on. It takes no more steps than there
    /// are such messages, and some for each thousand of the others.
    pub(crate) fn all_living(
        &self,
        channel: &Channel,
        wanted: Range<u64>,
        now: u64,
    ) -> impl Iterator<Item = (u64, Ref<Head>)> {
        let mut seq = wanted.start;
        core::iter::from_fn(move || {
            let found = self.first_for(channel, seq, 0, now);
            if found >= wanted.end {
                return None;
            }
            seq = found + 1;
            // None where too many have ended since somebody looked: who asks again comes further.
            Some((found, self.living(channel, found, now)?))
        })
    }

    /// Lets all messages go that have ended.
    pub(crate) fn expire_messages(&self, channel: &Channel, limits: &Limits, now: u64) -> Expired {
        let gone = self.drop_outdated(channel, limits, now);
        let mut expired = Expired { gone, due: None };
        if limits.message_ttl > 0 {
            let oldest = self.skip_holes(channel, channel.first.get());
            let oldest = (oldest < channel.next.get()).then(|| self.message(channel, oldest));
            let oldest = oldest.flatten().and_then(|oldest| self.zone.at(oldest));
            expired.due = oldest.map(|oldest| now + (limits.message_ttl - oldest.age(now)));
        }
        if channel.is(EXPIRING) {
            self.expire_by_own_time(channel, now, &mut expired);
        }
        expired
    }

    fn expire_by_own_time(&self, channel: &Channel, now: u64, expired: &mut Expired) {
        let (first, len) = (channel.first.get(), channel.len());
        let parts = len.div_ceil(LOOKED_AT).max(1);
        let from = first + now / 1000 % parts * LOOKED_AT;
        let to = from.saturating_add(LOOKED_AT).min(channel.next.get());
        // What is due now is looked at in the next second.
        let mut next: Option<u64> = (parts > 1).then_some(now);
        for seq in (from..to).rev() {
            let message = self.message(channel, seq);
            match message.and_then(|message| self.zone.message_until(message)) {
                None => {}
                Some(until) if until <= now => {
                    self.punch(channel, seq);
                    expired.gone += 1;
                }
                Some(until) => next = Some(next.map_or(until, |next| next.min(until))),
            }
        }
        if next.is_none() {
            channel.unflag(EXPIRING);
        }
        expired.due = match (expired.due, next) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }
}
