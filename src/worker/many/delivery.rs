//! Messages of several channels for one subscriber.

use std::rc::Rc;

use icomet_engine::{ChannelRef, Lost, Reading, Rules};
use icomet_protocol::callback::Callback;
use icomet_protocol::frame::{PollBatch, Transport, socket_text, sse_event, stream_frame};
use icomet_protocol::message::{Kind, Message};
use icomet_protocol::resume::{self, Epoch, Position};

use super::etag;
use crate::ffi::event;
use crate::ffi::output::Frame;
use crate::worker::Worker;
use crate::worker::delivery::{Step, callback_of, poll_answer_at, room};
use crate::worker::frames::{Batch, enveloped};
use crate::worker::told::Told;

/// Puts messages of several channels in the framing of one subscriber's transport.
pub struct Writer<'a> {
    /// The zone's epoch.
    zone: u64,
    /// Where the client stands once it has read what was written so far.
    positions: Vec<Option<Position>>,
    out: Out<'a>,
}

enum Out<'a> {
    Poll(PollBatch<'a>),
    Frames(Transport, &'a mut Vec<u8>),
}

impl<'a> Writer<'a> {
    /// Writes behind what stands in `out`.
    pub fn new(
        transport: Transport,
        zone: u64,
        positions: Vec<Option<Position>>,
        callback: Option<&Callback<'_>>,
        out: &'a mut Vec<u8>,
    ) -> Writer<'a> {
        let out = match transport {
            // Always an array: who asks for several channels knows that.
            Transport::LongPoll => Out::Poll(PollBatch::new(out, callback, true)),
            _ => Out::Frames(transport, out),
        };
        Writer {
            zone,
            positions,
            out,
        }
    }

    /// The client stands there in the channel at that place.
    pub fn stand(&mut self, place: usize, position: Position) {
        if let Some(known) = self.positions.get_mut(place) {
            *known = Some(position);
        }
    }

    /// Writes what a client is told of the channel at that place.
    pub fn tell(&mut self, place: usize, told: &Told) {
        told.with(|message| self.push(place, told.epoch.incarnation, message));
    }

    /// Writes a message of the channel at that place, which is in that incarnation. What ends one channel does not end the others, so
    /// no frame that closes a WebSocket follows.
    pub fn push(&mut self, place: usize, incarnation: u64, message: &Message<'_>) {
        let last = message.kind.last_seq(message.seq);
        if message.kind == Kind::Skipped && !self.tells_ids() {
            return;
        }
        if let Some(seq) = last {
            self.stand(place, Position { incarnation, seq });
        }
        match &mut self.out {
            Out::Poll(batch) => batch.push(message),
            Out::Frames(Transport::Sse, out) => {
                let mut id = Vec::new();
                if last.is_some() {
                    let positions = self.positions.iter().copied();
                    resume::format_positions(self.zone, positions, &mut id);
                }
                sse_event(&id, message, out);
            }
            Out::Frames(Transport::WebSocket(socket), out) => {
                let mut push = |message: &Message<'_>| {
                    let mut json = Vec::new();
                    message.write_json(&mut json);
                    socket_text(*socket, &json, out);
                };
                push(message);
                if let Some(next_seq) = message.after_broadcast() {
                    push(&next_seq);
                }
            }
            // Only ids have an epoch.
            Out::Frames(transport, out) => stream_frame(*transport, Epoch::NONE, message, out),
        }
    }

    /// Whether the client is told where it stands in each frame, also of what it is not shown.
    fn tells_ids(&self) -> bool {
        matches!(self.out, Out::Frames(Transport::Sse, _))
    }

    /// Ends it; where the client stands then.
    pub fn finish(self) -> Vec<Option<Position>> {
        if let Out::Poll(batch) = self.out {
            batch.finish();
        }
        self.positions
    }
}

/// A channel of a subscriber that may have something for it.
pub struct Pending<'a> {
    /// Its place among the channels that the client named.
    pub place: usize,
    /// Its name.
    pub name: &'a Rc<str>,
    /// The channel.
    pub reference: ChannelRef,
    /// Its incarnation.
    pub incarnation: u64,
    /// The next seq that the subscriber is sent; moved on by what was written or passed over.
    pub cursor: u64,
    /// The tag of the subscriber's user; 0: it is nobody's.
    pub tag: u64,
}

/// What [`compose`] found of one channel.
pub struct Found {
    /// The channel has more than was written.
    pub more: bool,
    /// Something was written.
    pub wrote: bool,
    /// It was closed, and that was written.
    pub closes: bool,
    /// What the client was told it has lost.
    pub lost: Option<Lost>,
    /// A worker holds the zone: it is not known what there is.
    pub busy: bool,
}

/// Writes what a channel has for a subscriber, as far as there is `room`, which it takes from; `None`:
/// nothing, once what is not for it was passed over.
pub fn compose(
    reading: &Reading<'_>,
    limits: &Rules,
    pending: &mut Pending<'_>,
    room: &mut usize,
    writer: &mut Writer<'_>,
) -> Option<Found> {
    // Without room its turn is the next one's: a batch takes one message in any case.
    if *room == 0 {
        return Some(Found {
            more: true,
            wrote: false,
            closes: false,
            lost: None,
            busy: false,
        });
    }
    let batch = loop {
        let batch = Batch::read(reading, limits, pending.reference, pending.cursor, *room);
        if batch.busy {
            return Some(Found {
                more: false,
                wrote: false,
                closes: false,
                lost: None,
                busy: true,
            });
        }
        if batch.is_empty() {
            return None;
        }
        let tells_ids = writer.tells_ids() && !batch.holds_nothing();
        if tells_ids || batch.shows(reading, pending.tag) {
            break batch;
        }
        pending.cursor = batch.next;
    };
    batch.each(reading, pending.name, pending.tag, |message| {
        *room = room.saturating_sub(message.content.len().max(1));
        writer.push(pending.place, pending.incarnation, message);
    });
    pending.cursor = batch.next;
    Some(Found {
        more: batch.next < batch.channel_next,
        wrote: true,
        closes: batch.closes(),
        lost: batch.lost,
        busy: false,
    })
}

impl Worker {
    /// What a subscriber of several channels is sent next; as [`Worker::next_for`], whose guards it
    /// has passed.
    pub fn next_of_many(&mut self, owner: u32) -> Option<(Step, bool)> {
        let entries = self.entries_of(owner);
        self.next_of(owner, &entries)
    }

    /// What a subscriber of several channels is sent next of one of them. While it is busy it is left
    /// alone: then all of them are looked at when it has taken what it was sent.
    pub fn next_of_subscription(&mut self, owner: u32, entry: u32) -> Option<(Step, bool)> {
        let subscriber = self.subscribers.get(owner)?;
        if subscriber.busy || self.is_sending(owner, subscriber) {
            return None;
        }
        if self.drain.is_some() {
            let moves = self.handover.is_to_move(subscriber);
            return (!moves).then(|| (self.end_politely(owner), false));
        }
        self.next_of(owner, &[entry])
    }

    fn next_of(&mut self, owner: u32, entries: &[u32]) -> Option<(Step, bool)> {
        let (positions, told) = (self.positions_of(owner), self.told_of(owner));
        let many = self.many.get(&owner)?;
        let subscriber = self.subscribers.get(owner)?;
        let attached = self.hubs.get_mut(usize::from(subscriber.hub))?;
        let (zone, transport) = (attached.zone, subscriber.transport);
        let tag = match subscriber.has_user() {
            true => self.users.tag(owner),
            false => 0,
        };
        let limits = &attached.hub.limits;
        let (sink, chunked) = (subscriber.sink, subscriber.chunked);
        let callback = callback_of(&self.callbacks, owner, subscriber);
        let jsonp = callback.is_some();
        let mut bytes = Vec::new();
        let id = zone.epoch();
        let mut writer = Writer::new(transport, id, positions, callback.as_ref(), &mut bytes);
        for (place, told) in &told {
            writer.tell(*place, told);
        }
        let reading = zone.reading(self.id);
        let (mut room, mut more, mut wrote) = (room(transport), false, false);
        let mut late = false;
        let mut closed = Vec::new();
        for &entry in entries {
            let (Some(place), Some(subscription)) =
                (many.place_of(entry), self.subscribers.get_mut(entry))
            else {
                continue;
            };
            let Some(channel) = attached.channels.get_mut(subscription.channel) else {
                continue;
            };
            let mut pending = Pending {
                place,
                name: &channel.name,
                reference: channel.reference,
                incarnation: channel.epoch.incarnation,
                cursor: subscription.cursor,
                tag,
            };
            let found = compose(&reading, limits, &mut pending, &mut room, &mut writer);
            subscription.cursor = pending.cursor;
            if channel.count == 1 && !channel.sweeping {
                channel.next = channel.next.max(subscription.cursor);
            }
            let Some(found) = found else {
                continue;
            };
            wrote |= found.wrote;
            late |= found.busy;
            zone.tell_lost(found.lost);
            more |= found.more;
            if found.closes {
                closed.push(entry);
            }
        }
        drop(reading);
        let positions = writer.finish();
        if late {
            self.late.push(owner);
        }
        if !wrote {
            self.set_busy(owner, false);
            return None;
        }
        if let Some(subscriber) = self.subscribers.get_mut(owner) {
            subscriber.touch(owner, event::now());
        }
        if transport == Transport::LongPoll {
            let answer = poll_answer_at(&etag(id, positions), jsonp, Frame::new(bytes));
            let leaving = self.remove_subscriber(owner)?;
            return Some((Step::Answer(leaving, Rc::new(answer)), false));
        }
        for entry in &closed {
            self.end_subscription(owner, *entry);
        }
        let is_over = !closed.is_empty() && self.entries_of(owner).is_empty();
        // The client of a WebSocket can subscribe to others.
        if is_over && !matches!(transport, Transport::WebSocket(_)) {
            let leaving = self.remove_subscriber(owner)?;
            return Some((Step::Finish(leaving, Frame::new(bytes)), false));
        }
        self.set_busy(owner, more);
        Some((Step::Send(sink, enveloped(bytes, chunked), 0), more))
    }
}

/// What is said of a channel that a client is not let into.
pub fn refusal<'a>(name: &'a str, status: u16, content: &'static [u8]) -> Message<'a> {
    Message {
        content,
        ..Message::bare(Kind::Status(status), name, 0)
    }
}
