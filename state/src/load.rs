//! From the format to a zone.

use std::fmt;
use std::io::{Read, Seek};

use icomet_engine::{
    ChannelLimits, Identity, Restore, Restored, StoredChannel, StoredContent, StoredMessage, Zone,
};

use crate::format::{Begin, Channel, Options};
use crate::read::{Nothing, ReadError, Sink, Summary, read};
use crate::save::{Clocks, first_change};

/// Milliseconds that every channel lives at least after a load, if its channel_timeout is not longer:
/// time for its clients to come back.
pub const GRACE: u64 = 30_000;

/// What came of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// What the zone took.
    pub restored: Restored,
    /// What was in the file.
    pub summary: Summary,
    /// Milliseconds since it was written, by the wall clock; 0 when that was set back.
    pub age: u64,
}

/// Why nothing was loaded.
#[derive(Debug)]
pub enum LoadError {
    /// The file is not to be read.
    Read(ReadError),
    /// The zone holds channels.
    ZoneInUse,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Read(error) => error.fmt(f),
            LoadError::ZoneInUse => f.write_str("the zone holds channels"),
        }
    }
}

impl std::error::Error for LoadError {}

impl From<ReadError> for LoadError {
    fn from(error: ReadError) -> Self {
        LoadError::Read(error)
    }
}

/// Fills a zone that nobody has used yet. The input is read twice: nothing of it comes into the zone
/// before all of it was found to be whole.
pub fn load<L: ChannelLimits>(
    mut input: impl Read + Seek,
    zone: &Zone,
    limits: &L,
    clocks: Clocks,
) -> Result<Loaded, LoadError> {
    let start = input.stream_position().map_err(ReadError::Io)?;
    let summary = read(&mut input, &mut Nothing)?;
    input
        .seek(std::io::SeekFrom::Start(start))
        .map_err(ReadError::Io)?;
    let age = clocks.wall.saturating_sub(summary.begin.written);
    let begin = &summary.begin;
    let identity = Identity {
        epoch: begin.epoch,
        key: begin.key,
        seq_floor: begin.seq_floor,
        incarnations: summary.incarnations,
    };
    let restore = zone
        .restore(identity, limits, clocks.zone)
        .ok_or(LoadError::ZoneInUse)?;
    let mut filling = Filling {
        restore,
        now: clocks.zone,
        age,
        limits,
    };
    // Should this fail, which a file that is ours alone does not, the zone has a part of it, and an
    // epoch of its own that says so.
    read(input, &mut filling)?;
    let time = clocks.wall.max(summary.begin.written);
    zone.number_changes_from(first_change(time));
    Ok(Loaded {
        restored: filling.restore.finish(),
        summary,
        age,
    })
}

struct Filling<'z, L> {
    restore: Restore<'z, L>,
    limits: &'z L,
    now: u64,
    /// Milliseconds that nginx was away.
    age: u64,
}

/// No message is taken for older, in milliseconds: some 30,000 years.
const LONGEST_AGE: u64 = 1 << 50;

impl<L> Filling<'_, L> {
    /// What was published so long ago by the file; it may be from before the clock began, and wraps then.
    fn time(&self, age: u64) -> u64 {
        let age = age.saturating_add(self.age).min(LONGEST_AGE);
        self.now.wrapping_sub(age)
    }
}

impl<L: ChannelLimits> Sink for Filling<'_, L> {
    fn begin(&mut self, _: &Begin) {}

    fn broadcast(&mut self, age: u64, content: &[u8]) {
        self.restore.broadcast(self.time(age), content);
    }

    fn channel(&mut self, channel: &Channel<'_>, incarnation: u64) {
        let grace = self.limits.of(channel.name).channel_timeout.max(GRACE);
        let remaining = channel.remaining.saturating_sub(self.age).max(grace);
        self.restore.channel(&StoredChannel {
            name: channel.name,
            incarnation,
            next: channel.next,
            messages: channel.messages,
            expires_at: self.now.saturating_add(remaining),
            token: channel.token,
        });
    }

    fn message(&mut self, number: u32, age: u64, content: &[u8], options: &Options<'_>) {
        let until = |remaining: u64| self.now + remaining.saturating_sub(self.age).min(LONGEST_AGE);
        let message = StoredMessage {
            time: self.time(age),
            content: StoredContent::Own(content),
            options: icomet_engine::Options {
                event: options.event,
                exclude: options.exclude,
                until: options.remaining.map(until),
            },
        };
        self.restore.message(number, &message);
    }

    fn reference(&mut self, number: u32, broadcast: u32) {
        let message = StoredMessage {
            time: 0,
            content: StoredContent::Broadcast(broadcast),
            options: icomet_engine::Options::default(),
        };
        self.restore.message(number, &message);
    }

    fn expired(&mut self, number: u32) {
        let message = StoredMessage {
            time: 0,
            content: StoredContent::Expired,
            options: icomet_engine::Options::default(),
        };
        self.restore.message(number, &message);
    }
}
