//! Frames: a channel's new messages as the clients of each transport are sent them, built once.
//!
//! A [`Batch`] holds references into the zone, so it lives no longer than the [`Reading`] it came
//! from; a frame is a copy, and lives as long as somebody is being sent it.

use core::cell::OnceCell;
use std::rc::Rc;

use icomet_engine::{
    ChannelLimits, ChannelRef, Kind as EngineKind, Lost, MessageRef, Reading, Subscription, Window,
};
use icomet_protocol::callback::Callback;
use icomet_protocol::frame::{PollBatch, Transport, chunk, stream_frame};
use icomet_protocol::message::{Kind, Message};
use icomet_protocol::resume::Epoch;

use crate::ffi::event;
use crate::ffi::output::Frame;
use crate::worker::told::Told;

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
    /// The cursor that it was read from.
    from: u64,
    /// The seq of the first message; before it there may be some that have expired.
    pub first: u64,
    /// The seq after the last message of this batch.
    pub next: u64,
    /// The channel's next seq; larger than `next` when there is more than this batch took.
    pub channel_next: u64,
    closed: bool,
    /// A worker holds the zone: it is not known what there is ([`Window::busy`]).
    pub busy: bool,
    stay_away: bool,
    messages: Vec<MessageRef>,
}

impl Batch {
    /// Takes what the channel holds from `from` on, until it has `bytes` of content.
    pub fn read(
        reading: &Reading<'_>,
        limits: &impl ChannelLimits,
        channel: ChannelRef,
        from: u64,
        bytes: usize,
    ) -> Batch {
        let mut messages = Vec::new();
        let now = event::now();
        let window = reading.window(channel, from, MESSAGES, limits, now, &mut messages);
        let lost = (window.lost > 0).then_some(Lost {
            count: Some(window.lost),
            first: window.first,
        });
        let Window {
            first,
            next,
            closed,
            busy,
            stay_away,
            ..
        } = window;
        let batch = Batch {
            lost,
            from,
            first,
            next,
            channel_next: next,
            closed,
            busy,
            stay_away,
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
            from: first,
            first,
            next,
            channel_next: next,
            closed: false,
            busy: false,
            stay_away: false,
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

    /// Nothing to send, and nothing that has expired to pass over.
    pub fn is_empty(&self) -> bool {
        self.next <= self.from && self.lost.is_none() && !self.closes()
    }

    /// It has no message, also none to be skipped.
    pub fn holds_nothing(&self) -> bool {
        self.messages.is_empty()
    }

    /// Whether there is something that the user of that tag (0: nobody) is shown.
    pub fn shows(&self, reading: &Reading<'_>, tag: u64) -> bool {
        let shown = |message: &MessageRef| is_for(&reading.message(*message), tag);
        self.lost.is_some() || self.closes() || self.messages.iter().any(shown)
    }

    /// The tags of users whom some of the messages are kept from.
    pub fn excluded(&self, reading: &Reading<'_>) -> Vec<u64> {
        let tags = self.messages.iter();
        let tags = tags.map(|message| reading.message(*message).options.exclude);
        tags.filter(|tag| *tag != 0).collect()
    }

    /// The channel was closed, and this batch ends with the last message.
    pub fn closes(&self) -> bool {
        self.closed && self.next >= self.channel_next
    }

    /// The messages, with what precedes and follows them on every transport: `lost` where some are
    /// gone, `close` where the channel was closed. What has expired, or is not for the user of that tag (0:
    /// nobody), is skipped.
    pub fn each(
        &self,
        reading: &Reading<'_>,
        name: &str,
        tag: u64,
        mut take: impl FnMut(&Message<'_>),
    ) {
        if let Some(Lost { count, first }) = self.lost {
            let count = count.map(|n| n.to_string()).unwrap_or_default();
            let content = count.as_bytes();
            take(&Message {
                kind: Kind::Lost,
                channel: name,
                seq: first,
                content,
                event: "",
            });
        }
        for (seq, message) in (self.first..).zip(&self.messages) {
            let message = reading.message(*message);
            if !is_for(&message, tag) {
                take(&Message::bare(Kind::Skipped, name, seq));
                continue;
            }
            let kind = match message.kind {
                EngineKind::Broadcast => Kind::Broadcast,
                _ => Kind::Data,
            };
            take(&Message {
                kind,
                channel: name,
                seq,
                content: message.content,
                event: core::str::from_utf8(message.options.event).unwrap_or_default(),
            });
        }
        if self.closes() {
            let seq = self.channel_next;
            take(&Message::close(name, seq, self.stay_away));
        }
    }

    /// As the clients of an endless transport are sent it, those of that tag or (0) all.
    pub fn stream(
        &self,
        reading: &Reading<'_>,
        transport: Transport,
        epoch: Epoch,
        name: &str,
        tag: u64,
    ) -> Joined {
        let mut bytes = Vec::new();
        let mut starts = Vec::with_capacity(self.messages.len());
        self.each(reading, name, tag, |message| {
            if matches!(message.kind, Kind::Data | Kind::Broadcast | Kind::Skipped) {
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

    /// As a long poll is answered. `replay`: these are old messages, which come as an array; so does what
    /// follows what the client is `told`.
    pub fn poll(
        &self,
        reading: &Reading<'_>,
        name: &str,
        callback: Option<&Callback<'_>>,
        replay: bool,
        tag: u64,
        told: Option<&Told>,
    ) -> Vec<u8> {
        let shown = |message: &&MessageRef| is_for(&reading.message(**message), tag);
        let shown = self.messages.iter().filter(shown).count();
        let parts = shown + usize::from(self.lost.is_some()) + usize::from(self.closes());
        let lone = parts == 1 && (!replay || shown == 0);
        let mut body = Vec::new();
        let mut batch = PollBatch::new(&mut body, callback, !lone || told.is_some());
        if let Some(told) = told {
            told.with(|message| batch.push(message));
        }
        self.each(reading, name, tag, |message| batch.push(message));
        batch.finish();
        body
    }
}

/// Whether a message is shown to the user of that tag.
fn is_for(message: &icomet_engine::Message<'_>, tag: u64) -> bool {
    message.kind != EngineKind::Expired && (tag == 0 || message.options.exclude != tag)
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
    epoch: Epoch,
    message: &Message<'_>,
    callback: Option<&Callback<'_>>,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    match transport {
        Transport::LongPoll => return answer(&[], message, callback),
        _ => stream_frame(transport, epoch, message, &mut bytes),
    }
    bytes
}

/// The same as the answer to a long poll, behind what its client is told.
pub fn answer<'t>(
    told: impl IntoIterator<Item = &'t Told>,
    message: &Message<'_>,
    callback: Option<&Callback<'_>>,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut told = told.into_iter().peekable();
    let mut batch = PollBatch::new(&mut bytes, callback, told.peek().is_some());
    for told in told {
        told.with(|message| batch.push(message));
    }
    batch.push(message);
    batch.finish();
    bytes
}
