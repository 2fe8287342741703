//! A snapshot: all channels and messages of a zone, to be written elsewhere.
//!
//! It holds every lock of the zone, in the order of [`crate::shard`], so what it shows is of one
//! moment; and a lock whose holder died was repaired before. It is made for a process that is the
//! last one in the zone. Others would wait for it.

use std::collections::HashMap;

use crate::broadcast::Body;
use crate::cell::Ref;
use crate::channel::{CLOSED, Channel, SIGNED};
use crate::message::{Head, Message};
use crate::pieces::Joined;
use crate::publication::Options;
use crate::shard::Guard;
use crate::zone::Zone;

/// What makes a zone's seqs go on in another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The zone's epoch.
    pub epoch: u64,
    /// The key of its hash: with it a zone of the same size puts the same things into the same shards,
    /// so that they fit.
    pub key: [u8; 16],
    /// No channel that is made later begins with a seq as low as this ([`crate::Restore`]).
    pub seq_floor: u64,
    /// No channel that is made later gets an incarnation as low as this; 0: none was given.
    pub incarnations: u64,
}

/// A channel, without its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredChannel<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Which life of its name it is; 0: a new one.
    pub incarnation: u64,
    /// The seq of its next message.
    pub next: u64,
    /// How many messages before that are there, or the places of some that have expired.
    pub messages: u64,
    /// When it may be freed without subscribers, in milliseconds of the clock that callers give.
    pub expires_at: u64,
    /// What `sign` gave.
    pub token: Option<[u8; 16]>,
}

/// A message of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredMessage<'a> {
    /// When it was published, in milliseconds of the clock that callers give; wraps as [`Message::time`].
    pub time: u64,
    /// What it holds.
    pub content: StoredContent<'a>,
    /// What its publisher said of it.
    pub options: Options<'a>,
}

/// What a message holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredContent<'a> {
    /// Bytes of its own.
    Own(&'a [u8]),
    /// Those of the broadcast of this number, counted from 0 in the order of
    /// [`Snapshot::broadcasts`], or in which [`crate::Restore::broadcast`] was told of them.
    Broadcast(u32),
    /// Nothing: its own time was over.
    Expired,
}

/// What a zone holds; nothing changes in the zone while it lives.
pub struct Snapshot<'z> {
    zone: &'z Zone,
    guards: Vec<Guard<'z>>,
    channels: Vec<Ref<Channel>>,
    bodies: Vec<Ref<Body>>,
    numbers: HashMap<u32, u32>,
    joined: Joined,
}

impl Zone {
    /// Stops the zone, and shows what it holds.
    pub fn snapshot(&self) -> Snapshot<'_> {
        // The commons come last, as for everybody who holds a shard.
        let guards: Vec<_> = (0..=self.shard_count())
            .map(|index| self.lock_surely(index))
            .collect();
        let buckets = self.geometry().buckets as usize;
        let channels = guards
            .iter()
            .take(self.shard_count())
            .flat_map(|guard| (0..buckets).flat_map(|bucket| guard.chain(bucket)))
            .filter(|place| self.at(*place).is_some_and(|channel| !channel.is(CLOSED)))
            .collect();
        let bodies: Vec<_> = guards.last().map(Guard::bodies).unwrap_or_default();
        let numbers = bodies.iter().zip(0..).map(|(body, n)| (body.units(), n));
        Snapshot {
            zone: self,
            numbers: numbers.collect(),
            guards,
            channels,
            bodies,
            joined: Joined::default(),
        }
    }
}

impl Snapshot<'_> {
    /// Lets go what was joined of messages in pieces.
    pub fn let_go(&mut self) {
        self.joined = Joined::default();
    }

    /// What makes its seqs go on in another zone.
    pub fn identity(&self) -> Identity {
        let (low, high) = self.zone.key();
        let mut key = [0; 16];
        key[..8].copy_from_slice(&low.to_le_bytes());
        key[8..].copy_from_slice(&high.to_le_bytes());
        Identity {
            epoch: self.zone.epoch(),
            key,
            seq_floor: self.zone.header().seq_floor.get(),
            incarnations: self.zone.header().incarnations.get(),
        }
    }

    /// The bodies of broadcasts, in the order of their numbers; some may be in no channel any more.
    pub fn broadcasts(&self) -> impl Iterator<Item = Message<'_>> {
        self.bodies
            .iter()
            .map(|body| self.message_at(Body::message(*body)))
    }

    /// All channels, in the order of their numbers.
    pub fn channels(&self) -> impl Iterator<Item = StoredChannel<'_>> {
        self.channels.iter().filter_map(|place| {
            let (guard, channel) = self.channel(*place)?;
            // All are there, but in a zone that another program wrote into.
            let there = (channel.first.get()..channel.next.get())
                .rev()
                .take_while(|seq| {
                    guard.message(channel, *seq).is_some() || guard.is_hole(channel, *seq)
                });
            Some(StoredChannel {
                name: guard.name(*place),
                incarnation: channel.incarnation.get(),
                next: channel.next.get(),
                messages: there.count() as u64,
                expires_at: channel.expires.get(),
                token: channel.is(SIGNED).then(|| channel.token_bytes()),
            })
        })
    }

    /// The message of channel `number` that came `back` before its last one; `None` when that is not
    /// buffered.
    pub fn message(&self, number: u32, back: u64) -> Option<StoredMessage<'_>> {
        let (guard, channel) = self.channel(*self.channels.get(number as usize)?)?;
        let seq = channel.next.get().checked_sub(back.checked_add(1)?)?;
        if seq < channel.first.get() {
            return None;
        }
        if guard.is_hole(channel, seq) {
            return Some(StoredMessage {
                time: 0,
                content: StoredContent::Expired,
                options: Options::default(),
            });
        }
        let place = guard.message(channel, seq)?;
        let message = self.message_at(place);
        let content = if self.zone.at(place).is_some_and(Head::is_broadcast) {
            StoredContent::Broadcast(*self.numbers.get(&Body::of(place).units())?)
        } else {
            StoredContent::Own(message.content)
        };
        Some(StoredMessage {
            time: message.time,
            content,
            options: message.options,
        })
    }

    fn channel(&self, place: Ref<Channel>) -> Option<(&Guard<'_>, &Channel)> {
        let channel = self.zone.at(place)?;
        Some((self.guards.get(channel.shard())?, channel))
    }

    fn message_at(&self, place: Ref<Head>) -> Message<'_> {
        // SAFETY: a message is freed under its shard's lock alone, and this holds all of them; the
        // result does not outlive this.
        unsafe { self.zone.message_at(place, &self.joined, 0) }
    }
}
