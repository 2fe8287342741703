//! Filling a fresh zone with what another one held.
//!
//! What is told comes as a [`crate::Snapshot`] shows it: broadcasts, then channels, then messages,
//! those of a channel from its newest to its oldest. So whatever does not fit, and wherever it ends,
//! a channel holds its last messages without a gap, and its readers are told of the others by the
//! ordinary `lost`.
//!
//! Concurrency: for the one process that has the zone before any other sees it. Crash: the zone goes
//! with that process.

use crate::broadcast::Body;
use crate::cell::Ref;
use crate::channel::{Channel, EMPTY, EXPIRING, SIGNED};
use crate::limits::ChannelLimits;
use crate::message::{self, Kind};
use crate::publication::{MAX_EVENT, Options};
use crate::shard::Guard;
use crate::snapshot::{Identity, StoredChannel, StoredContent, StoredMessage};
use crate::zone::Zone;

/// Longest name that a channel can hold, in bytes.
const LONGEST_NAME: usize = u16::MAX as usize;

/// What was taken, and what was left out and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Channels that are there.
    pub channels: u64,
    /// Messages that are there; a broadcast counts in each channel.
    pub messages: u64,
    /// Channels beyond max_channels.
    pub channels_over_limit: u64,
    /// Channels that the zone had no memory for.
    pub channels_without_memory: u64,
    /// Messages of channels that are left out.
    pub messages_of_no_channel: u64,
    /// Messages beyond channel_buffer_size.
    pub messages_over_limit: u64,
    /// Messages that the zone had no memory for.
    pub messages_without_memory: u64,
    /// Messages whose time was over, and which nobody misses.
    pub messages_expired: u64,
}

impl Restored {
    /// Whether nothing was left out.
    pub fn is_whole(&self) -> bool {
        self.channels_left() == 0 && self.messages_left() == 0
    }

    /// Channels that were left out.
    pub fn channels_left(&self) -> u64 {
        self.channels_over_limit + self.channels_without_memory
    }

    /// Messages that were left out.
    pub fn messages_left(&self) -> u64 {
        self.messages_of_no_channel + self.messages_over_limit + self.messages_without_memory
    }
}

/// A channel that was told of.
struct Entry {
    /// `None`: it was left out.
    place: Option<Ref<Channel>>,
    /// How many messages it takes yet.
    room: u32,
    /// A message did not fit, so no older one may follow.
    full: bool,
    /// Its `message_ttl` did not keep a message, so it keeps no older one.
    outdated: bool,
    /// That ttl, in milliseconds; 0: none.
    ttl: u64,
}

/// A zone that is being filled. [`Restore::finish`] gives it the epoch of the other zone; without it
/// the zone keeps its own, so that clients are told that messages are lost.
///
/// A channel that is made later may have the name of one that was left out, or that an earlier restore
/// has left out. It begins beyond that one's seqs, so that its old readers are told of their loss.
pub struct Restore<'z, L> {
    zone: &'z Zone,
    limits: &'z L,
    now: u64,
    /// Its `seq_floor` grows with each channel that is left out.
    identity: Identity,
    bodies: Vec<Option<Ref<Body>>>,
    channels: Vec<Entry>,
    restored: Restored,
}

impl Zone {
    /// Begins to fill a zone that holds no channel and that no other process has seen, with what
    /// another zone held. `None`: it holds channels.
    pub fn restore<'z, L: ChannelLimits>(
        &'z self,
        identity: Identity,
        limits: &'z L,
        now: u64,
    ) -> Option<Restore<'z, L>> {
        if self.channels() > 0 {
            return None;
        }
        self.set_key(identity.key);
        for index in 0..self.shard_count() {
            // Or each channel would be looked at when the wheel is turned first.
            self.shard(index).wheel_time.set(now / 1000);
        }
        Some(Restore {
            zone: self,
            limits,
            now,
            identity,
            bodies: Vec::new(),
            channels: Vec::new(),
            restored: Restored::default(),
        })
    }

    fn lock_to_fill(&self, shard: usize) -> Guard<'_> {
        self.lock_surely(shard)
    }
}

impl<L: ChannelLimits> Restore<'_, L> {
    /// The next broadcast.
    pub fn broadcast(&mut self, time: u64, content: &[u8]) {
        let body = fits(content, &Options::default()).then(|| {
            self.zone
                .lock_surely(self.zone.commons())
                .write_body(content, time, |body| body.over.set(1))
        });
        self.bodies.push(body.flatten());
    }

    /// The next channel.
    pub fn channel(&mut self, channel: &StoredChannel<'_>) {
        let place = if self.restored.channels >= self.limits.of_hub().max_channels {
            self.restored.channels_over_limit += 1;
            None
        } else {
            let place = self.write(channel);
            match place {
                Some(_) => self.restored.channels += 1,
                None => self.restored.channels_without_memory += 1,
            }
            place
        };
        if place.is_none() {
            let floor = &mut self.identity.seq_floor;
            *floor = (*floor).max(channel.next.saturating_sub(1));
        }
        let limits = self.limits.of(channel.name);
        let limit = limits.channel_buffer_size.max(1);
        self.channels.push(Entry {
            place,
            room: u32::try_from(channel.messages).map_or(limit, |n| n.min(limit)),
            full: false,
            outdated: false,
            ttl: limits.message_ttl,
        });
    }

    fn write(&self, stored: &StoredChannel<'_>) -> Option<Ref<Channel>> {
        if stored.name.is_empty() || stored.name.len() > LONGEST_NAME || stored.next == 0 {
            return None;
        }
        let address = self.zone.address(stored.name);
        let guard = self.zone.lock_to_fill(address.shard);
        if guard.find(address, stored.name).is_some() {
            return None;
        }
        // One that never had a message, as far as is known, nor a token.
        let flags = match stored.token {
            Some(_) => SIGNED,
            None if stored.next == 1 => EMPTY,
            None => 0,
        };
        let life = match stored.incarnation {
            // It was not known, so none of its clients has it.
            0 => self.zone.next_incarnation(),
            known => {
                self.zone.pass_incarnation(known);
                known
            }
        };
        let (place, channel) =
            guard.write_channel(address.hash, stored.name, flags, life, stored.expires_at)?;
        if let Some(token) = stored.token {
            channel.set_token(token);
        }
        channel.next.set(stored.next);
        channel.first.set(stored.next);
        let head = self.zone.bucket(guard.index, address.bucket);
        channel.chain.set(head.get());
        head.set(Some(place));
        guard.shard.channels.add(1);
        if channel.is(EMPTY) {
            guard.begin_empty(place, channel);
        }
        guard.wheel_insert(place, channel);
        Some(place)
    }

    /// The message before the oldest that channel `number` has.
    pub fn message(&mut self, number: u32, message: &StoredMessage<'_>) {
        let Some(entry) = self.channels.get_mut(number as usize) else {
            return;
        };
        let Some(channel) = entry.place.and_then(|place| self.zone.at(place)) else {
            self.restored.messages_of_no_channel += 1;
            return;
        };
        if entry.room == 0 {
            self.restored.messages_over_limit += 1;
            return;
        }
        let guard = self.zone.lock_to_fill(channel.shard());
        let bodies = &self.bodies;
        if entry.ttl > 0 {
            let time = match message.content {
                StoredContent::Own(_) => Some(message.time),
                StoredContent::Broadcast(number) => bodies
                    .get(number as usize)
                    .copied()
                    .flatten()
                    .and_then(|body| self.zone.at(Body::message(body)))
                    .map(|head| head.time()),
                StoredContent::Expired => None,
            };
            entry.outdated |= time.is_some_and(|time| message::age(time, self.now) >= entry.ttl);
        }
        if entry.outdated {
            self.restored.messages_expired += 1;
            return;
        }
        let is_over = message.options.until.is_some_and(|until| until <= self.now);
        let message = StoredMessage {
            content: if is_over {
                StoredContent::Expired
            } else {
                message.content
            },
            ..*message
        };
        let taken = !entry.full && take(&guard, channel, entry.room, bodies, &message);
        if taken {
            entry.room -= 1;
            if message.content == StoredContent::Expired {
                self.restored.messages_expired += 1;
                return;
            }
            self.restored.messages += 1;
            let kept = (entry.ttl > 0).then(|| self.now + entry.ttl);
            let due = message.options.until.into_iter().chain(kept).min();
            if let (Some(due), Some(place)) = (due, entry.place) {
                // The oldest of them ends sooner: it is looked at when the channel is.
                let due = due.min(self.now + LOOK_AFTER);
                guard.wheel_by(place, channel, due);
            }
        } else if message.content == StoredContent::Expired {
            self.restored.messages_expired += 1;
        } else {
            entry.full = true;
            self.restored.messages_without_memory += 1;
        }
    }

    /// Ends it: what was told is all that the other zone held.
    pub fn finish(self) -> Restored {
        self.zone.set_epoch(self.identity.epoch);
        let floor = self.identity.seq_floor.min(u64::MAX / 2);
        self.zone.header().seq_floor.set(floor);
        self.zone.pass_incarnation(self.identity.incarnations);
        self.restored
    }
}

impl<L> Drop for Restore<'_, L> {
    fn drop(&mut self) {
        let commons = self.zone.lock_surely(self.zone.commons());
        for body in self.bodies.iter().flatten() {
            commons.retire_body(*body);
        }
    }
}

/// Milliseconds after which a channel is looked at whose messages end by time.
const LOOK_AFTER: u64 = 1000;

fn fits(content: &[u8], options: &Options<'_>) -> bool {
    options.event.len() <= MAX_EVENT && message::size(content.len(), options) <= u32::MAX as usize
}

/// Puts a message into a channel; whether there was memory for it.
fn take(
    guard: &Guard<'_>,
    channel: &Channel,
    room: u32,
    bodies: &[Option<Ref<Body>>],
    message: &StoredMessage<'_>,
) -> bool {
    if channel.first.get() <= 1 || !guard.reserve(channel, room) {
        return false;
    }
    let place = match message.content {
        StoredContent::Expired => {
            guard.prepend(channel, None);
            return true;
        }
        StoredContent::Own(content) if fits(content, &message.options) => {
            if message.options.until.is_some() {
                channel.flag(EXPIRING);
            }
            guard.new_message(Kind::Data, content, &message.options, message.time)
        }
        StoredContent::Own(_) => None,
        StoredContent::Broadcast(number) => {
            let body = bodies.get(number as usize).copied().flatten();
            let count = body.and_then(|body| guard.zone.at(body)?.counts.get(guard.index));
            count.inspect(|count| count.add(1));
            body.filter(|_| count.is_some()).map(Body::message)
        }
    };
    place
        .inspect(|place| guard.prepend(channel, Some(*place)))
        .is_some()
}
