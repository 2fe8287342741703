//! How a subscriber leaves its old worker: with another one, politely, or with its connection.

use std::borrow::Cow;

use icomet_engine::ChannelRef;
use icomet_protocol::callback::Callback;
use icomet_protocol::frame::Transport;
use icomet_protocol::message::{Kind, Message};

use super::moving::Moving;
use crate::ffi::output::Frame;
use crate::ffi::request::code;
use crate::sink::Sink;
use crate::worker::delivery::{farewell, poll_answer, room};
use crate::worker::frames::{self, Batch};
use crate::worker::{Worker, with};

/// What a subscriber's polite end depends on.
pub struct PoliteEnd {
    /// How its messages are framed.
    pub transport: Transport,
    /// The zone's epoch.
    pub epoch: u64,
    /// The next seq that it is sent.
    pub cursor: u64,
    /// Its noop counter.
    pub noop: u64,
    /// JSONP callback of a long poll.
    pub callback: Option<Box<str>>,
}

/// The last messages of a closed channel, as one of its subscribers is sent them.
struct Last {
    frame: Frame,
    /// The seq after them.
    next: u64,
}

impl Moving {
    /// Another worker has it.
    pub fn taken(self) {
        if let Sink::Parked(connection, _) = self.leaving.sink {
            connection.release();
        }
        with(|worker| {
            if let Some(attached) = worker.hubs.get(self.hub) {
                attached.zone.passed_on(worker.id);
            }
            worker
                .handover
                .exodus
                .as_mut()
                .map(|exodus| exodus.moved += 1)
        });
    }

    /// Nobody takes it.
    pub fn end_politely(self) {
        self.tell_end();
        if let Some(last) = with(|worker| worker.last_of(&self)).flatten() {
            return self.end_with(&last);
        }
        let PoliteEnd {
            transport,
            epoch,
            cursor,
            noop,
            callback,
        } = self.end;
        let user = self.leaving.user.clone();
        if transport == Transport::LongPoll {
            let callback = callback
                .as_deref()
                .and_then(|name| Callback::new(Cow::Borrowed(name.as_bytes())).ok());
            let message = Message {
                kind: Kind::Noop,
                channel: self.leaving.channel(),
                seq: noop,
                content: b"",
            };
            let body = frames::single(transport, epoch, &message, callback.as_ref());
            let answer = poll_answer(epoch, cursor, callback.is_some(), Frame::new(body));
            self.leaving.answer(&answer);
        } else {
            let (frame, from) = self.rest.unwrap_or_default();
            let rest = frame.get(from..).unwrap_or_default();
            self.leaving.finish_behind(rest, &farewell(transport));
        }
        ended(self.hub, self.reference, user.as_deref());
    }

    fn tell_end(&self) {
        let (name, transport) = (self.leaving.channel(), self.end.transport);
        let user = self.leaving.user.as_deref();
        let kind = icomet_hooks::Kind::Unsubscribe;
        with(|worker| worker.tell_subscriber(self.hub, kind, name, transport, user));
    }

    /// Its channel was closed while it was under way.
    fn end_with(mut self, last: &Last) {
        self.leaving.seq = Some(last.next);
        let user = self.leaving.user.clone();
        if self.end.transport == Transport::LongPoll {
            let body = Frame::clone(&last.frame);
            let answer = poll_answer(self.end.epoch, last.next, self.end.callback.is_some(), body);
            self.leaving.answer(&answer);
        } else {
            let (frame, from) = self.rest.unwrap_or_default();
            let rest = frame.get(from..).unwrap_or_default();
            self.leaving.finish_behind(rest, &last.frame);
        }
        ended(self.hub, self.reference, user.as_deref());
    }

    /// Nobody knows whose it is: its client comes anew. Its count goes when this worker does.
    pub fn close(self) {
        self.tell_end();
        self.leaving.end(code::ERROR);
        with(|worker| {
            worker
                .handover
                .exodus
                .as_mut()
                .map(|exodus| exodus.ended += 1)
        });
    }
}

/// A subscriber that nobody took is no longer counted.
fn ended(hub: usize, reference: ChannelRef, user: Option<&str>) {
    with(|worker| {
        worker.leave_channel(hub, reference, user);
        worker
            .handover
            .exodus
            .as_mut()
            .map(|exodus| exodus.ended += 1)
    });
}

impl Worker {
    /// What is left of its channel, if that was closed.
    fn last_of(&mut self, moving: &Moving) -> Option<Last> {
        let zone = self.hubs.get(moving.hub)?.zone;
        let end = &moving.end;
        let reading = zone.reading(self.id);
        let room = room(end.transport);
        let batch = Batch::read(&reading, moving.reference, end.cursor, room);
        let name = moving.leaving.channel();
        let frame = match end.transport {
            _ if !batch.closes() => return None,
            Transport::LongPoll => {
                let callback = end.callback.as_deref();
                let callback = callback.and_then(|name| Callback::new(name.as_bytes().into()).ok());
                Frame::new(batch.poll(&reading, name, callback.as_ref(), false))
            }
            transport => {
                let joined = batch.stream(&reading, transport, end.epoch, name);
                joined.whole(false)
            }
        };
        Some(Last {
            frame,
            next: batch.next,
        })
    }
}
