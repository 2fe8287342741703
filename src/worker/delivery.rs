//! One subscriber is sent what it has not had: at its start, after it was slow, at its end.

use std::borrow::Cow;

use icomet_protocol::callback::Callback;
use icomet_protocol::frame::{Transport, sse_retry};
use icomet_protocol::message::{Kind, Message};
use icomet_protocol::resume;

use super::channel::LocalChannel;
use super::frames::{self, Batch};
use super::subscriber::Subscriber;
use super::wheel::Wheel;
use super::{Worker, with};
use crate::answer::Answer;
use crate::ffi::event;
use crate::ffi::output::{Frame, Sent};
use crate::sink::{Sink, media_type};

/// How many frames one subscriber is sent before others have a turn.
const ROUNDS: usize = 8;

/// What is to be done for a subscriber, once the worker's state is let go.
pub enum Step {
    /// Nothing (more).
    Nothing,
    /// Send it a frame, from that byte on.
    Send(Sink, Frame, usize),
    /// Answer its long poll; it is out of the tables.
    Answer(Sink, Answer),
    /// Send it a last frame; it is out of the tables.
    Finish(Sink, Frame),
}

/// nginx has freed the subscriber's request.
pub fn gone(index: u32) {
    with(|worker| worker.remove_subscriber(index));
}

/// The subscriber has taken all that was sent.
pub fn drained(index: u32) {
    catch_up(index);
}

/// Sends a subscriber what it has not had, as far as it takes it.
pub fn catch_up(index: u32) {
    for _ in 0..ROUNDS {
        match with(|worker| worker.next_for(index)).unwrap_or(Step::Nothing) {
            Step::Send(sink, frame, from) => {
                if sink.send(&frame, from) != Sent::Whole {
                    return;
                }
            }
            Step::Nothing => return,
            last => return last.perform(index),
        }
    }
    with(|worker| worker.resume_later(index));
}

impl Step {
    /// Does it, for that subscriber. One that does not take a frame whole is busy until it is drained.
    pub fn perform(self, index: u32) {
        match self {
            Step::Nothing => {}
            Step::Send(sink, frame, from) => {
                if sink.send(&frame, from) == Sent::Pending {
                    with(|worker| worker.mark_busy(index));
                }
            }
            Step::Answer(sink, answer) => sink.answer(answer),
            Step::Finish(sink, frame) => sink.finish(frame),
        }
    }
}

/// The answer to a long poll: `next` is the seq that the client asks for next.
pub fn poll_answer(epoch: u64, next: u64, jsonp: bool, body: Frame) -> Answer {
    let etag = resume::etag(epoch, next.saturating_sub(1));
    Answer::shared(200, media_type(Transport::LongPoll, jsonp), body)
        .uncached()
        .header("Access-Control-Expose-Headers", "ETag")
        .header("ETag", etag.as_bytes())
}

/// Bytes of content in a frame of one subscriber's own. A long poll is over with it.
pub fn room(transport: Transport) -> usize {
    match transport {
        Transport::LongPoll => frames::SHARED,
        _ => frames::OWN,
    }
}

/// A callback that was checked when its subscriber came.
pub fn callback_of(subscriber: &Subscriber) -> Option<Callback<'_>> {
    let name = subscriber.callback.as_deref()?;
    Callback::new(Cow::Borrowed(name.as_bytes())).ok()
}

impl Worker {
    /// Takes a subscriber out of all tables, and out of the zone's counts.
    pub fn remove_subscriber(&mut self, index: u32) -> Option<Subscriber> {
        self.wheel.remove(&mut self.subscribers, index);
        let subscriber = self.subscribers.get(index)?;
        let (hub, channel) = (subscriber.hub, subscriber.channel);
        let attached = self.hubs.get_mut(hub)?;
        if let Some(local) = attached.channels.get_mut(channel) {
            local.unlink(&mut self.subscribers, index);
            let LocalChannel {
                reference,
                count,
                sweeping,
                ..
            } = *local;
            attached
                .zone
                .unsubscribe(self.id, reference, 1, &attached.hub.limits, event::now());
            if count == 0 {
                attached.by_reference.remove(&reference);
                // A fan-out on its way drops the channel when it ends.
                if !sweeping {
                    attached.channels.remove(channel);
                }
            }
        }
        self.subscribers.remove(index)
    }

    /// The beginning of an endless answer was sent. If it did not hold all that the others of the
    /// channel have had, the subscriber catches up; else the next fan-out finds it.
    pub fn begun(&mut self, index: u32) {
        let Some(subscriber) = self.subscribers.get_mut(index) else {
            return;
        };
        let local = self
            .hubs
            .get(subscriber.hub)
            .and_then(|hub| hub.channels.get(subscriber.channel));
        if local.is_some_and(|local| subscriber.cursor < local.next) {
            self.resume_later(index);
        } else {
            subscriber.busy = false;
        }
    }

    /// What a subscriber is sent next; it is busy until there is nothing.
    fn next_for(&mut self, index: u32) -> Step {
        // An index that waited for its turn may be another subscriber's by now.
        if self
            .subscribers
            .get(index)
            .is_none_or(|subscriber| subscriber.sink.is_busy())
        {
            return Step::Nothing;
        }
        if self.drain.is_some() {
            return self.end_politely(index, true);
        }
        let Some(subscriber) = self.subscribers.get_mut(index) else {
            return Step::Nothing;
        };
        let Some(attached) = self.hubs.get_mut(subscriber.hub) else {
            return Step::Nothing;
        };
        let Some(channel) = attached.channels.get(subscriber.channel) else {
            return Step::Nothing;
        };
        let epoch = attached.zone.epoch();
        let reading = attached.zone.reading(self.id);
        let room = room(subscriber.transport);
        let batch = Batch::read(&reading, channel.reference, subscriber.cursor, room);
        if batch.is_empty() {
            subscriber.busy = false;
            return Step::Nothing;
        }
        subscriber.busy = true;
        subscriber.cursor = batch.next;
        subscriber.touch(event::now());
        let sink = subscriber.sink;
        sink.note_seq(batch.next);
        let closes = batch.closes();
        let step = if subscriber.transport == Transport::LongPoll {
            let callback = callback_of(subscriber);
            let body = batch.poll(&reading, &channel.name, callback.as_ref(), false);
            let jsonp = callback.is_some();
            Step::Answer(
                sink,
                poll_answer(epoch, batch.next, jsonp, Frame::new(body)),
            )
        } else {
            let joined = batch.stream(&reading, subscriber.transport, epoch, &channel.name);
            if closes {
                Step::Finish(sink, joined.bytes)
            } else {
                Step::Send(sink, joined.bytes, 0)
            }
        };
        drop(reading);
        if matches!(step, Step::Answer(..) | Step::Finish(..)) {
            self.remove_subscriber(index);
        }
        step
    }

    /// A subscriber was found to be overdue: it gets a noop, unless it was sent something since, or
    /// another has its index by now.
    pub fn remind(&mut self, index: u32) -> Step {
        let Some(subscriber) = self.subscribers.get(index) else {
            return Step::Nothing;
        };
        if Wheel::holds(subscriber) {
            return Step::Nothing;
        }
        if subscriber.deadline <= event::now() {
            return self.noop_for(index);
        }
        self.wheel.insert(&mut self.subscribers, index);
        Step::Nothing
    }

    /// A noop: a long poll's answer, or a sign of life on a stream.
    pub fn noop_for(&mut self, index: u32) -> Step {
        let now = event::now();
        let Some(subscriber) = self.subscribers.get_mut(index) else {
            return Step::Nothing;
        };
        let Some(attached) = self.hubs.get(subscriber.hub) else {
            return Step::Nothing;
        };
        let Some(channel) = attached.channels.get(subscriber.channel) else {
            return Step::Nothing;
        };
        let (epoch, transport) = (attached.zone.epoch(), subscriber.transport);
        let (seq, name) = (subscriber.noop, &*channel.name);
        let message = Message {
            kind: Kind::Noop,
            channel: name,
            seq,
            content: b"",
        };
        let callback = callback_of(subscriber);
        let bytes = Frame::new(frames::single(
            transport,
            epoch,
            &message,
            callback.as_ref(),
        ));
        let (sink, cursor, jsonp) = (subscriber.sink, subscriber.cursor, callback.is_some());
        if transport == Transport::LongPoll {
            self.remove_subscriber(index);
            return Step::Answer(sink, poll_answer(epoch, cursor, jsonp, bytes));
        }
        let busy = subscriber.busy;
        if !busy {
            subscriber.noop = subscriber.noop.saturating_add(1);
        }
        subscriber.touch(now);
        self.wheel.insert(&mut self.subscribers, index);
        if busy {
            Step::Nothing
        } else {
            Step::Send(sink, bytes, 0)
        }
    }

    /// The worker exits: a noop for a long poll, the end for a stream, for SSE with a time to wait
    /// before it comes back. A stream that is being sent something (`drained` false) is ended when
    /// it has taken that.
    pub fn end_politely(&mut self, index: u32, drained: bool) -> Step {
        let Some(subscriber) = self.subscribers.get(index) else {
            return Step::Nothing;
        };
        if subscriber.transport == Transport::LongPoll {
            return self.noop_for(index);
        }
        if subscriber.busy && !drained {
            return Step::Nothing;
        }
        let sink = subscriber.sink;
        let frame = farewell(subscriber.transport);
        self.remove_subscriber(index);
        Step::Finish(sink, Frame::new(frame))
    }
}

/// The last bytes of a stream whose worker exits.
pub fn farewell(transport: Transport) -> Vec<u8> {
    let mut frame = Vec::new();
    if transport == Transport::Sse {
        // 500 to 3000 ms, so that a worker's clients do not all come back at once.
        let jitter = nginx_sys::ngx_random().unsigned_abs() % 2501;
        sse_retry(500 + jitter, &mut frame);
    }
    frame
}
