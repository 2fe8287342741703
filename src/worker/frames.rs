//! Frames: a channel's new messages as the clients of each transport are sent them, built once.
//!
//! A [`Batch`] holds references into the zone, so it lives no longer than the [`Reading`] it came
//! from; a frame is a copy, and lives as long as somebody is being sent it.

use core::cell::OnceCell;
use std::rc::Rc;

use icomet_engine::{
    ChannelRef, Kind as EngineKind, Lost, MessageRef, Reading, Subscription, Window,
};
use icomet_protocol::callback::Callback;
use icomet_protocol::frame::{PollBatch, Transport, chunk, stream_frame};
use icomet_protocol::message::{Kind, Message};

use crate::ffi::output::Frame;

/// How many messages one frame joins at most; the rest follows in the next.
pub const MESSAGES: usize = 256;

/// Bytes after which a frame that all subscribers of a transport share takes no further message.
pub const SHARED: usize = 256 << 10;

/// Bytes after which a frame of one subscriber's own takes no further message: this much, and one
/// message, is what a reader that has stopped costs.
pub const OWN: usize = 16 << 10;

/// A channel's messages from a cursor on, as far as one frame takes them.
pub struct Batch {
    /// Messages before the first that the client will never see.
    pub lost: Option<Lost>,
    /// The seq of the first message.
    pub first: u64,
    /// The seq after the last message of this batch.
    pub next: u64,
    /// The channel's next seq; larger than `next` when there is more than this batch took.
    pub channel_next: u64,
    closed: bool,
    messages: Vec<MessageRef>,
}

impl Batch {
    /// Takes what the channel holds from `from` on, until it has `bytes` of content.
    pub fn read(reading: &Reading<'_>, channel: ChannelRef, from: u64, bytes: usize) -> Batch {
        let mut messages = Vec::new();
        let window = reading.window(channel, from, MESSAGES, &mut messages);
        let lost = (window.lost > 0).then_some(Lost {
            count: Some(window.lost),
            first: window.first,
        });
        let Window {
            first,
            next,
            closed,
            ..
        } = window;
        let batch = Batch {
            lost,
            first,
            next,
            channel_next: next,
            closed,
            messages,
        };
        batch.fit(reading, bytes)
    }

    /// Takes what a subscribe found buffered, until it has `bytes` of content.
    pub fn of_subscription(
        reading: &Reading<'_>,
        subscription: &Subscription,
        messages: Vec<MessageRef>,
        bytes: usize,
    ) -> Batch {
        let Subscription {
            lost, first, next, ..
        } = *subscription;
        let batch = Batch {
            lost,
            first,
            next,
            channel_next: next,
            closed: false,
            messages,
        };
        batch.fit(reading, bytes)
    }

    /// Leaves the messages out that are too many for a frame.
    fn fit(mut self, reading: &Reading<'_>, bytes: usize) -> Batch {
        let mut taken = 0;
        let fits = self.messages.iter().take(MESSAGES).take_while(|message| {
            let fits = taken < bytes;
            taken += reading.message(**message).content.len();
            fits
        });
        let count = fits.count();
        self.messages.truncate(count);
        if count > 0 {
            self.next = self.first + count as u64;
        }
        self
    }

    /// Leaves all messages for a later batch; what is said of lost ones stays.
    pub fn put_off(&mut self) {
        self.messages.clear();
        self.next = self.first;
    }

    /// Nothing to send.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.lost.is_none() && !self.closes()
    }

    /// The channel was closed, and this batch ends with the last message.
    pub fn closes(&self) -> bool {
        self.closed && self.next >= self.channel_next
    }

    /// The messages, with what precedes and follows them on every transport: `lost` where some are
    /// gone, `close` where the channel was closed.
    pub fn each(&self, reading: &Reading<'_>, name: &str, mut take: impl FnMut(&Message<'_>)) {
        if let Some(Lost { count, first }) = self.lost {
            let count = count.map(|n| n.to_string()).unwrap_or_default();
            let content = count.as_bytes();
            take(&Message {
                kind: Kind::Lost,
                channel: name,
                seq: first,
                content,
            });
        }
        for (seq, message) in (self.first..).zip(&self.messages) {
            let message = reading.message(*message);
            let kind = match message.kind {
                EngineKind::Broadcast => Kind::Broadcast,
                _ => Kind::Data,
            };
            take(&Message {
                kind,
                channel: name,
                seq,
                content: message.content,
            });
        }
        if self.closes() {
            let seq = self.channel_next;
            take(&Message {
                kind: Kind::Close,
                channel: name,
                seq,
                content: b"",
            });
        }
    }

    /// As the clients of an endless transport are sent it.
    pub fn stream(
        &self,
        reading: &Reading<'_>,
        transport: Transport,
        epoch: u64,
        name: &str,
    ) -> Joined {
        let mut bytes = Vec::new();
        let mut starts = Vec::with_capacity(self.messages.len());
        self.each(reading, name, |message| {
            if matches!(message.kind, Kind::Data | Kind::Broadcast) {
                starts.push(bytes.len() as u32);
            }
            stream_frame(transport, epoch, message, &mut bytes);
        });
        starts.push(bytes.len() as u32);
        Joined {
            plain: Rc::new(bytes),
            starts,
            chunked: OnceCell::new(),
        }
    }

    /// As a long poll is answered. `replay`: these are old messages, which come as an array.
    pub fn poll(
        &self,
        reading: &Reading<'_>,
        name: &str,
        callback: Option<&Callback<'_>>,
        replay: bool,
    ) -> Vec<u8> {
        let parts =
            self.messages.len() + usize::from(self.lost.is_some()) + usize::from(self.closes());
        let lone = parts == 1 && (!replay || self.messages.is_empty());
        let mut body = Vec::new();
        let mut batch = PollBatch::new(&mut body, callback, !lone);
        self.each(reading, name, |message| batch.push(message));
        batch.finish();
        body
    }
}

/// Frames of several messages, joined: as they are, and in chunks, one for each message.
pub struct Joined {
    plain: Frame,
    /// Where each message begins, and last where they end; what was said before the first belongs to it.
    starts: Vec<u32>,
    chunked: OnceCell<(Frame, Vec<u32>)>,
}

impl Joined {
    /// All of them, and where the frames of messages number `index` and later begin.
    pub fn since(&self, index: usize, chunked: bool) -> (&Frame, usize) {
        let (frame, starts) = if chunked {
            let (frame, starts) = self.chunked.get_or_init(|| self.in_chunks());
            (frame, starts)
        } else {
            (&self.plain, &self.starts)
        };
        let start = match index {
            0 => 0,
            _ => starts.get(index).copied().unwrap_or_default() as usize,
        };
        (frame, start)
    }

    /// All of them.
    pub fn whole(&self, chunked: bool) -> Frame {
        Rc::clone(self.since(0, chunked).0)
    }

    fn in_chunks(&self) -> (Frame, Vec<u32>) {
        // A chunk adds two line ends and a length.
        let mut bytes = Vec::with_capacity(self.plain.len() + self.starts.len() * 12);
        let mut starts = Vec::with_capacity(self.starts.len());
        let mut from = 0;
        for end in self
            .starts
            .iter()
            .skip(1)
            .chain([&(self.plain.len() as u32)])
        {
            starts.push(bytes.len() as u32);
            chunk(
                self.plain.get(from..*end as usize).unwrap_or_default(),
                &mut bytes,
            );
            from = *end as usize;
        }
        (Rc::new(bytes), starts)
    }
}

/// A frame of one subscriber's own, in a chunk or not.
pub fn enveloped(bytes: Vec<u8>, chunked: bool) -> Frame {
    if !chunked {
        return Frame::new(bytes);
    }
    let mut framed = Vec::with_capacity(bytes.len() + 12);
    chunk(&bytes, &mut framed);
    Frame::new(framed)
}

/// One message of the server's own (`next_seq`, `noop`, an error), framed for a transport.
pub fn single(
    transport: Transport,
    epoch: u64,
    message: &Message<'_>,
    callback: Option<&Callback<'_>>,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    match transport {
        Transport::LongPoll => {
            let mut batch = PollBatch::new(&mut bytes, callback, false);
            batch.push(message);
            batch.finish();
        }
        _ => stream_frame(transport, epoch, message, &mut bytes),
    }
    bytes
}
