//! From a zone to the format.

use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use icomet_engine::{Snapshot, StoredContent, Zone};

use crate::format::{Begin, Channel, Options, Record};
use crate::write::Writer;

/// What time it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clocks {
    /// By the clock that the zone is used with, in milliseconds.
    pub zone: u64,
    /// By the wall clock, in milliseconds since 1970.
    pub wall: u64,
}

impl Clocks {
    /// Now by the wall clock.
    pub fn now(zone: u64) -> Clocks {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        Clocks {
            zone,
            wall: wall.map_or(0, |since| since.as_millis() as u64),
        }
    }
}

/// Changes of channels that a zone numbers in a millisecond, at most.
const CHANGES: u64 = 1024;

/// The number of the first change in a zone that is loaded at that time: higher than those in the zone
/// that was saved before. It stays below 2^53, to which all readers of JSON are exact.
pub(crate) fn first_change(wall: u64) -> u64 {
    wall.saturating_mul(CHANGES).min(1 << 52)
}

/// The time by the wall clock, or later if the clock was set back since the zone was loaded: later than that
/// of its changes.
fn written(zone: &Zone, wall: u64) -> u64 {
    wall.max(zone.next_change() / CHANGES + 1)
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saved {
    /// Channels.
    pub channels: u64,
    /// Messages; a broadcast counts in each channel.
    pub messages: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Writes what a zone holds; nobody can use the zone meanwhile.
pub fn save<W: Write>(zone: &Zone, clocks: Clocks, out: W) -> io::Result<(W, Saved)> {
    let mut snapshot = zone.snapshot();
    let identity = snapshot.identity();
    let mut writer = Writer::new(out)?;
    writer.put(&Record::Begin(Begin {
        epoch: identity.epoch,
        key: identity.key,
        seq_floor: identity.seq_floor,
        written: written(zone, clocks.wall),
    }))?;
    writer.put(&Record::Incarnations(identity.incarnations))?;
    // A time may be from before the clock began ([`icomet_engine::Message::time`]).
    let age = |time: u64| {
        let age = clocks.zone.wrapping_sub(time);
        if age > u64::MAX / 2 { 0 } else { age }
    };
    for body in snapshot.broadcasts() {
        writer.put(&Record::Broadcast {
            age: age(body.time),
            content: body.content,
        })?;
    }
    let mut buffered = Vec::new();
    for channel in snapshot.channels() {
        let stored = Channel {
            name: channel.name,
            next: channel.next,
            messages: channel.messages,
            remaining: channel.expires_at.saturating_sub(clocks.zone),
            token: channel.token,
        };
        writer.put(&Record::Living {
            channel: stored,
            incarnation: channel.incarnation,
        })?;
        buffered.push(channel.messages);
    }
    // Twice as far back with each round, so that a long buffer takes few rounds.
    let (mut from, mut to) = (0, 1);
    let longest = buffered.iter().copied().max().unwrap_or_default();
    while from < longest {
        for (number, messages) in buffered.iter().enumerate() {
            for back in from..to.min(*messages) {
                put_message(
                    &mut writer,
                    &snapshot,
                    number as u32,
                    back,
                    clocks.zone,
                    age,
                )?;
                snapshot.let_go();
            }
        }
        (from, to) = (to, to * 2);
    }
    let (out, counts, bytes) = writer.finish()?;
    let saved = Saved {
        channels: counts.channels,
        messages: counts.messages,
        bytes,
    };
    Ok((out, saved))
}

fn put_message<W: Write>(
    writer: &mut Writer<W>,
    snapshot: &Snapshot<'_>,
    channel: u32,
    back: u64,
    now: u64,
    age: impl Fn(u64) -> u64,
) -> io::Result<()> {
    let message = snapshot
        .message(channel, back)
        .ok_or_else(|| io::Error::other("a message of the zone is not there"))?;
    writer.put(&match message.content {
        StoredContent::Own(content) if message.options == Default::default() => Record::Message {
            channel,
            age: age(message.time),
            content,
        },
        StoredContent::Own(content) => Record::Special {
            channel,
            age: age(message.time),
            content,
            options: Options {
                event: message.options.event,
                exclude: message.options.exclude,
                remaining: message.options.until.map(|until| until.saturating_sub(now)),
            },
        },
        StoredContent::Expired => Record::Expired { channel },
        StoredContent::Broadcast(broadcast) => Record::Reference { channel, broadcast },
    })
}
