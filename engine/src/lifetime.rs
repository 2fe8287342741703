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

use crate::cell::Ref;
use crate::channel::{Channel, EXPIRING, LOG};
use crate::limits::Limits;
use crate::message::Head;
use crate::shard::Guard;

/// Messages looked at in one channel for a time of their own, at most; a longer ring is looked at part by
/// part, in each second another.
const LOOKED_AT: u64 = 4096;

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
        for seq in channel.first.get()..channel.next.get() {
            let message = self.message(channel, seq).and_then(|at| self.zone.at(at));
            // A hole goes with what came after it.
            if let Some(message) = message {
                if message.age(now) < limits.message_ttl {
                    break;
                }
                keep = seq + 1;
            }
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
    /// the channel's next, if there is none.
    pub(crate) fn first_for(&self, channel: &Channel, from: u64, tag: u64, now: u64) -> u64 {
        let mut seqs = from..channel.next.get();
        let found = seqs.find(|seq| {
            self.living(channel, *seq, now)
                .is_some_and(|message| tag == 0 || self.zone.message_exclude(message) != tag)
        });
        found.unwrap_or(channel.next.get().max(from))
    }

    /// Lets all messages go that have ended.
    pub(crate) fn expire_messages(&self, channel: &Channel, limits: &Limits, now: u64) -> Expired {
        let gone = self.drop_outdated(channel, limits, now);
        let mut expired = Expired { gone, due: None };
        if limits.message_ttl > 0 {
            let mut seqs = channel.first.get()..channel.next.get();
            let oldest = seqs.find_map(|seq| self.zone.at(self.message(channel, seq)?));
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
        for seq in from..to {
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
