//! The bytes of a state file; [the crate](crate) says in which order they come.

use serde::{Deserialize, Serialize};

/// What a file begins with.
pub const MAGIC: [u8; 8] = *b"ICOMETST";

/// The format that is written.
pub const VERSION: u32 = 3;

/// The oldest format that is read: it has no records behind `End` in [`Record`]. Format 2 has those up to
/// `Expired`, so its channels get new incarnations.
pub const OLDEST: u32 = 1;

/// Bytes before the first chunk.
pub const HEADER: usize = 16;

/// Where the status stands.
pub const STATUS_AT: u64 = 12;

/// Status of a file that is to be read.
pub const FULL: [u8; 4] = *b"FULL";

/// Status of a file that was read, or that an nginx holds that runs.
pub const USED: [u8; 4] = *b"USED";

/// Bytes before a chunk's payload.
pub const CHUNK_HEADER: usize = 8;

/// A chunk is written when its payload has so many bytes.
pub const CHUNK: usize = 64 << 10;

/// No payload is longer: the largest message (256m) and some.
pub const LONGEST_CHUNK: usize = 512 << 20;

/// Longest name of a channel in bytes.
pub const LONGEST_NAME: usize = u16::MAX as usize;

/// The header of a file of that status.
pub fn header(status: [u8; 4]) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[12..].copy_from_slice(&status);
    header
}

/// One record. A later version of the format may add kinds at the end, with another [`VERSION`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record<'a> {
    /// What is true of all that follows.
    Begin(Begin),
    /// The body of a broadcast; the first has number 0.
    Broadcast {
        /// Milliseconds since it was sent.
        age: u64,
        /// Its bytes, as they stand inside of a JSON string.
        #[serde(with = "serde_bytes")]
        content: &'a [u8],
    },
    /// A channel; the first has number 0.
    #[serde(borrow)]
    Channel(Channel<'a>),
    /// A message with bytes of its own: the one before those of its channel that have come.
    Message {
        /// The channel's number.
        channel: u32,
        /// Milliseconds since it was published.
        age: u64,
        /// Its bytes, as they stand inside of a JSON string.
        #[serde(with = "serde_bytes")]
        content: &'a [u8],
    },
    /// The same, with the bytes of a broadcast.
    Reference {
        /// The channel's number.
        channel: u32,
        /// The broadcast's number.
        broadcast: u32,
    },
    /// Nothing follows.
    End(Counts),
    /// A message with bytes of its own, and with options.
    Special {
        /// The channel's number.
        channel: u32,
        /// Milliseconds since it was published.
        age: u64,
        /// Its bytes, as they stand inside of a JSON string.
        #[serde(with = "serde_bytes")]
        content: &'a [u8],
        /// What its publisher said of it.
        #[serde(borrow)]
        options: Options<'a>,
    },
    /// The place of a message of which nothing is left, because its own time was over.
    Expired {
        /// The channel's number.
        channel: u32,
    },
    /// The last incarnation that the zone gave to a channel; behind `Begin`.
    Incarnations(u64),
    /// A channel, as [`Record::Channel`], and which life of its name it is.
    Living {
        /// The channel.
        #[serde(borrow)]
        channel: Channel<'a>,
        /// Its incarnation; 0: that is not known.
        incarnation: u64,
    },
}

/// What a publisher said of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options<'a> {
    /// The name of its event; empty when it has none.
    #[serde(with = "serde_bytes")]
    pub event: &'a [u8],
    /// The tag of the user who does not get it, by the key of the zone; 0: everybody gets it.
    pub exclude: u64,
    /// Milliseconds until it ends by its own time.
    pub remaining: Option<u64>,
}

/// What is true of a whole file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// The zone's epoch.
    pub epoch: u64,
    /// The key of the zone's hash.
    pub key: [u8; 16],
    /// The largest seq of channels that an earlier restart had to leave out.
    pub seq_floor: u64,
    /// When it was written, in milliseconds since 1970.
    pub written: u64,
}

/// A channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel<'a> {
    /// Its name.
    #[serde(with = "serde_bytes")]
    pub name: &'a [u8],
    /// The seq of its next message.
    pub next: u64,
    /// How many messages before that follow.
    pub messages: u64,
    /// Milliseconds until it may be freed without subscribers; 0 when they have passed.
    pub remaining: u64,
    /// What `sign` gave.
    pub token: Option<[u8; 16]>,
}

/// How many of each there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Broadcasts.
    pub broadcasts: u64,
    /// Channels.
    pub channels: u64,
    /// Messages, references to broadcasts and places of expired ones included.
    pub messages: u64,
}
