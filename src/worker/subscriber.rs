//! A subscriber: a cursor into its channel, and the connection it is held on.
//!
//! One of several channels ([`super::many`]) has no cursor itself: for each channel it has a
//! subscription, which stands among the subscribers too.

use icomet_protocol::frame::{Socket, Transport};
use icomet_websocket::rate::Bucket;

use super::wheel::{Place, tick};
use crate::sink::Sink;
use icomet_tables::NONE;

/// A subscriber of one channel, on this worker. There is no queue: what it has not been sent is in
/// the channel's ring, from `cursor` on. There may be a million of them: each byte counts.
pub struct Subscriber {
    /// Where its messages go.
    pub sink: Sink,
    /// The next seq it is sent.
    pub cursor: u64,
    /// Its noop counter; on a WebSocket whether a ping is unanswered, 0 or 1, and above that bit how much
    /// its client has sent ([`Subscriber::bucket`]).
    pub noop: u64,
    /// Index of its channel in its hub's table.
    pub channel: u32,
    /// When it gets a noop, in ticks ([`tick`]).
    pub deadline: u32,
    /// Idle time before a noop, in ticks.
    pub idle: u32,
    /// The subscriber before it in its channel.
    pub previous: u32,
    /// The subscriber after it in its channel.
    pub next: u32,
    /// Its place in the wheel.
    pub wheel: Place,
    /// Index of its hub on this worker.
    pub hub: u16,
    /// How its messages are framed.
    pub transport: Transport,
    /// Frames are sent to it in chunks; not so while nginx's filters make them.
    pub chunked: bool,
    /// It is being sent something, or has to catch up: it is in no channel's list. Changed by
    /// [`super::Worker::set_busy`] alone.
    pub busy: bool,
    /// Its request is to be given back.
    pub parking: bool,
    /// More of it stands in a table of the worker's: a long poll's JSONP callback, or what a WebSocket's
    /// client has sent of something incomplete.
    pub has_more: bool,
    /// What is so for few.
    pub marks: Marks,
}

/// What is so for few subscribers, as bits of one byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks(u8);

impl Marks {
    /// It has subscriptions to any number of channels, and is in none itself: its channel is NONE.
    pub const MANY: Marks = Marks(1);
    /// The client of a WebSocket may publish (`icomet_ws_publish`).
    pub const PUBLISHES: Marks = Marks(2);
    /// The client of a WebSocket has the channel that the configuration names, and may have no other
    /// (`icomet_channel`).
    pub const BOUND: Marks = Marks(4);
    /// It is of a user, or has a tag of its own; that stands in a table of the worker's.
    pub const USER: Marks = Marks(8);
    /// The client of a WebSocket may ask who else is there (`icomet_sub_presence`).
    pub const PRESENCE: Marks = Marks(16);
    /// The client of a WebSocket may ask for what is buffered (`icomet_sub_history`).
    pub const HISTORY: Marks = Marks(32);
    /// The answer to a long poll is to tell the channels' epochs.
    pub const TELLS: Marks = Marks(64);

    /// Whether it has that mark.
    pub fn has(self, mark: Marks) -> bool {
        self.0 & mark.0 != 0
    }

    /// With that mark as well, if it `is` so.
    pub fn with(self, mark: Marks, is: bool) -> Marks {
        if is { Marks(self.0 | mark.0) } else { self }
    }
}

impl Subscriber {
    /// Whether it has subscriptions to any number of channels, and is in none itself.
    pub fn is_many(&self) -> bool {
        self.marks.has(Marks::MANY)
    }

    /// Not in a channel's list.
    pub const UNLINKED: (u32, u32) = (NONE, NONE);

    /// Whether it is of a user, or has a tag of its own.
    pub fn has_user(&self) -> bool {
        self.marks.has(Marks::USER)
    }

    /// Whether it is a subscription of another subscriber's, and whose.
    pub fn owner(&self) -> Option<u32> {
        match self.sink {
            Sink::Of(owner) => Some(owner),
            _ => None,
        }
    }

    /// Whether it is sent frames that others of its transport are sent too. A subscriber of several
    /// channels is told in each answer or event where it stands in all of them; and a long poll that asks for
    /// epochs has an answer of its own.
    pub fn shares_frames(&self) -> bool {
        let has_position = matches!(self.transport, Transport::LongPoll | Transport::Sse);
        let has_own = self.owner().is_some() && has_position;
        !has_own && !self.marks.has(Marks::TELLS)
    }

    /// What was agreed on with its client, if it is a WebSocket.
    pub fn socket(&self) -> Option<Socket> {
        match self.transport {
            Transport::WebSocket(socket) => Some(socket),
            _ => None,
        }
    }

    /// How much the client of a WebSocket has sent (`ws_rate`). It goes with it to another worker.
    pub fn bucket(&self) -> Bucket {
        Bucket(self.noop >> 1)
    }

    /// The client of a WebSocket was heard, and has sent so much: no ping is unanswered.
    pub fn set_heard(&mut self, bucket: Bucket) {
        self.noop = bucket.0 << 1;
    }

    /// Whether a ping to a WebSocket's client is unanswered.
    pub fn is_asked(&self) -> bool {
        self.noop & 1 != 0
    }

    /// The client of a WebSocket is sent a ping.
    pub fn set_asked(&mut self) {
        self.noop |= 1;
    }

    /// Whether another worker can go on with it: on a WebSocket not while something is incomplete.
    pub fn can_move(&self) -> bool {
        self.socket()
            .is_none_or(|socket| !self.has_more && !socket.echoes())
    }

    /// It was sent something, at `now` milliseconds: its idle time starts anew.
    ///
    /// All subscribers of a channel are sent a message in one moment; so that their noops are not sent
    /// in one moment as well, each has its own, up to a fifth of the idle time earlier.
    pub fn touch(&mut self, index: u32, now: u64) {
        // Fibonacci hashing: neighbours are spread evenly.
        let spread = u64::from(index.wrapping_mul(0x9E37_79B9) >> 16);
        let early = u64::from(self.idle) * spread / (5 << 16);
        self.deadline = tick(now) + 1 + self.idle - early as u32;
    }
}

/// Measured in docs/performance.md; there is one for each subscriber.
const _: () = assert!(size_of::<Subscriber>() == 72);
