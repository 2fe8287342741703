//! One subscriber is sent what it has not had: at its start, after it was slow, at its end.

use std::borrow::Cow;
use std::rc::Rc;

use icomet_engine::ChannelRef;
use icomet_protocol::callback::Callback;
use icomet_protocol::frame::{Transport, sse_retry};
use icomet_protocol::message::{Kind, Message};
use icomet_protocol::resume::{self, Epoch};
use rustc_hash::FxHashMap;

use super::channel::LocalChannel;
use super::frames::{self, Batch};
use super::leaving::{Leaving, Left, Parked};
use super::subscriber::{Marks, Subscriber};
use super::told::Told;
use super::wheel::{Wheel, tick};
use super::{Worker, websocket, with};
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
    Answer(Leaving, Rc<Answer>),
    /// Send it a last frame; it is out of the tables.
    Finish(Leaving, Frame),
    /// The same behind what it has not taken of an earlier one, from that byte on.
    FinishBehind(Leaving, (Frame, usize), Frame),
}

/// nginx has freed the subscriber's request; the next seq that it had not been sent.
pub fn gone(index: u32) -> Option<u64> {
    with(|worker| worker.remove_subscriber(index)?.seq).flatten()
}

/// The subscriber has taken all that was sent.
pub fn drained(index: u32) {
    // Its request could not be given back while it was sending.
    with(|worker| worker.park_later(index));
    catch_up(index);
    // What its client sends was left where it is.
    websocket::read_on(index);
}

/// Sends a subscriber what it has not had, as far as it takes it.
pub fn catch_up(index: u32) {
    // A subscription is served on the connection of whose it is.
    let owner = with(|worker| {
        let subscriber = worker.subscribers.get(index)?;
        Some(subscriber.owner().unwrap_or(index))
    });
    let Some(owner) = owner.flatten() else { return };
    let mut index = index;
    for _ in 0..ROUNDS {
        let step = with(|worker| worker.next_for(index)).flatten();
        // If there is more, it is busy, and looked at as a whole.
        index = owner;
        let Some((step, more)) = step else { return };
        match step {
            Step::Send(sink, frame, from) if more => {
                if sink.send(&frame, from) != Sent::Whole {
                    return;
                }
            }
            last => return last.perform(owner),
        }
    }
    with(|worker| worker.resume_later(owner));
}

impl Step {
    /// Does it, for that subscriber. One that does not take a frame whole is busy until it is drained.
    pub fn perform(self, index: u32) {
        match self {
            Step::Nothing => {}
            Step::Send(sink, frame, from) => {
                if sink.send(&frame, from) == Sent::Pending {
                    with(|worker| worker.set_busy(index, true));
                }
            }
            Step::Answer(leaving, answer) => leaving.answer(&answer),
            Step::Finish(leaving, frame) => leaving.finish(frame),
            Step::FinishBehind(leaving, (frame, from), last) => {
                leaving.finish_behind(frame.get(from..).unwrap_or_default(), &last);
            }
        }
    }
}

/// The answer to a long poll: `next` is the seq that the client asks for next.
pub fn poll_answer(epoch: Epoch, next: u64, jsonp: bool, body: Frame) -> Answer {
    poll_answer_at(&resume::etag(epoch, next.saturating_sub(1)), jsonp, body)
}

/// The same, where the client stands as that entity tag says.
pub fn poll_answer_at(etag: &[u8], jsonp: bool, body: Frame) -> Answer {
    Answer::shared(200, media_type(Transport::LongPoll, jsonp), body)
        .uncached()
        .header("Access-Control-Expose-Headers", "ETag")
        .header("ETag", etag)
}

/// Bytes of content in a frame of one subscriber's own. A long poll is over with it.
pub fn room(transport: Transport) -> usize {
    match transport {
        Transport::LongPoll => frames::SHARED,
        _ => frames::OWN,
    }
}

/// A callback that was checked when its subscriber came.
pub fn callback_of<'a>(
    callbacks: &'a FxHashMap<u32, Box<str>>,
    index: u32,
    subscriber: &Subscriber,
) -> Option<Callback<'a>> {
    if !subscriber.has_more || subscriber.transport != Transport::LongPoll {
        return None;
    }
    let name = callbacks.get(&index)?;
    Callback::new(Cow::Borrowed(name.as_bytes())).ok()
}

impl Worker {
    /// Takes a subscriber out of all tables, with its subscriptions, and out of the zone's counts.
    pub fn remove_subscriber(&mut self, index: u32) -> Option<Leaving> {
        let transport = self.subscribers.get(index)?.transport;
        let told = match &self.hooks {
            Some(_) => self.names_of(index),
            None => Vec::new(),
        };
        let (leaving, hub, left) = self.take_out(index)?;
        let user = leaving.user.as_deref();
        for reference in left.channels() {
            self.leave_channel(hub, *reference, user);
        }
        for name in told {
            let kind = icomet_hooks::Kind::Unsubscribe;
            self.tell_subscriber(hub, kind, &name, transport, user);
        }
        Some(leaving)
    }

    /// A subscriber that left the tables is no longer counted in the zone.
    pub fn leave_channel(&mut self, hub: usize, reference: ChannelRef, user: Option<&str>) {
        if let Some(attached) = self.hubs.get(hub) {
            let limits = &attached.hub.limits;
            let zone = attached.zone;
            let now = event::now();
            match user {
                None => zone.unsubscribe(self.id, reference, 1, limits, now),
                Some(user) => {
                    zone.unsubscribe_user(self.id, reference, user.as_bytes(), limits, now);
                }
            }
        }
    }

    /// Takes a subscriber out of all tables; with its hub and its channels, where it still counts in the
    /// zone. A subscription does not leave by itself here.
    pub fn take_out(&mut self, index: u32) -> Option<(Leaving, usize, Left)> {
        let subscriber = self.subscribers.get(index)?;
        if subscriber.owner().is_some() {
            return None;
        }
        let hub = usize::from(subscriber.hub);
        let sink = subscriber.sink;
        let (is_many, has_user) = (subscriber.is_many(), subscriber.has_user());
        let is_socket = subscriber.socket().is_some();
        let seq = (!is_many).then_some(subscriber.cursor);
        if subscriber.has_more {
            self.callbacks.remove(&index);
            self.inputs.take(index);
        }
        if is_socket {
            self.listening.forget(index);
        }
        self.wheel.remove(&mut self.subscribers, index);
        let parked = match sink {
            Sink::Held(_) | Sink::Of(_) => None,
            Sink::Parked(connection, record) => {
                self.rests.remove(&index);
                let channel = self.text_of_names(index);
                let hub = Rc::clone(&self.hubs.get(hub)?.hub);
                self.records.remove(connection, record).map(|record| {
                    Box::new(Parked {
                        hub,
                        channel,
                        record,
                    })
                })
            }
        };
        let left = if is_many {
            let many = self.many.remove(&index).unwrap_or_default();
            Left::Many(self.leave_all(&many))
        } else {
            Left::One(self.leave_local(index)?)
        };
        self.leave(hub, index);
        let user = match has_user {
            true => self.user_left(hub, index),
            false => None,
        };
        self.subscribers.remove(index)?;
        let leaving = Leaving {
            sink,
            seq,
            user,
            parked,
        };
        Some((leaving, hub, left))
    }

    /// Takes a subscriber, or a subscription, out of its channel's list.
    pub fn leave_local(&mut self, index: u32) -> Option<ChannelRef> {
        let subscriber = self.subscribers.get(index)?;
        let (hub, channel) = (usize::from(subscriber.hub), subscriber.channel);
        let attached = self.hubs.get_mut(hub)?;
        let local = attached.channels.get_mut(channel)?;
        local.leave(&mut self.subscribers, index);
        let LocalChannel {
            reference,
            count,
            sweeping,
            ..
        } = *local;
        if count == 0 {
            attached.by_reference.remove(&reference);
            // A fan-out on its way drops the channel when it ends.
            if !sweeping {
                attached.channels.remove(channel);
            }
        }
        Some(reference)
    }

    /// Whether an earlier piece is still under way to a subscriber.
    pub fn is_sending(&self, index: u32, subscriber: &Subscriber) -> bool {
        match subscriber.sink {
            Sink::Held(held) => held.is_busy(),
            Sink::Parked(..) => subscriber.busy && self.rests.contains_key(&index),
            Sink::Of(_) => false,
        }
    }

    /// The beginning of an endless answer was sent. If it did not hold all that the others of the
    /// channel have had, the subscriber catches up; else the next fan-out finds it.
    pub fn begun(&mut self, index: u32) {
        let Some(subscriber) = self.subscribers.get(index) else {
            return;
        };
        let local = self
            .hubs
            .get(usize::from(subscriber.hub))
            .and_then(|hub| hub.channels.get(subscriber.channel));
        let is_behind = local.is_some_and(|local| subscriber.cursor < local.next);
        // Each of several may hold more than the beginning took.
        if is_behind || subscriber.is_many() {
            self.resume_later(index);
        } else {
            self.set_busy(index, false);
        }
    }

    /// What a subscriber is sent next, and whether there is more than that; `None` when there is
    /// nothing. It is busy until it was given all.
    fn next_for(&mut self, index: u32) -> Option<(Step, bool)> {
        // An index that waited for its turn may be another subscriber's by now.
        let subscriber = self.subscribers.get(index)?;
        if let Some(owner) = subscriber.owner() {
            return self.next_of_subscription(owner, index);
        }
        if self.is_sending(index, subscriber) {
            return None;
        }
        if self.drain.is_some() {
            // One that is to move catches up there.
            let moves = self.handover.is_to_move(subscriber);
            return (!moves).then(|| (self.end_politely(index), false));
        }
        let (has_user, is_many) = (subscriber.has_user(), subscriber.is_many());
        if has_user && let Some(step) = self.end_if_ordered(index) {
            return Some((step, false));
        }
        if is_many {
            return self.next_of_many(index);
        }
        let subscriber = self.subscribers.get_mut(index)?;
        let attached = self.hubs.get_mut(usize::from(subscriber.hub))?;
        let channel = attached.channels.get_mut(subscriber.channel)?;
        let zone = attached.zone;
        let epoch = channel.epoch;
        let reading = zone.reading(self.id);
        let room = room(subscriber.transport);
        let tag = match subscriber.has_user() {
            true => self.users.tag(index),
            false => 0,
        };
        let limits = &attached.hub.limits;
        let (batch, from) = loop {
            let from = subscriber.cursor;
            let batch = Batch::read(&reading, limits, channel.reference, from, room);
            // An SSE stream is told the ids of what it is not shown.
            let silent = !batch.shows(&reading, tag)
                && (subscriber.transport != Transport::Sse || batch.holds_nothing());
            if !silent || batch.is_empty() {
                break (batch, from);
            }
            subscriber.cursor = batch.next;
            if channel.count == 1 && !channel.sweeping {
                channel.next = channel.next.max(batch.next);
            }
        };
        if batch.is_empty() {
            let late = batch.busy;
            drop(reading);
            self.set_busy(index, false);
            if late {
                self.late.push(index);
            }
            return None;
        }
        zone.tell_lost(batch.lost);
        let more = batch.next < batch.channel_next;
        subscriber.cursor = batch.next;
        subscriber.touch(index, event::now());
        if channel.count == 1 && !channel.sweeping {
            channel.next = channel.next.max(batch.next);
        }
        if subscriber.transport == Transport::LongPoll {
            let callback = callback_of(&self.callbacks, index, subscriber);
            let told = subscriber.marks.has(Marks::TELLS).then(|| Told {
                name: Rc::clone(&channel.name),
                epoch,
                seq: from,
            });
            let name = &channel.name;
            let body = batch.poll(&reading, name, callback.as_ref(), false, tag, told.as_ref());
            drop(reading);
            let answer = poll_answer(epoch, batch.next, callback.is_some(), Frame::new(body));
            let leaving = self.remove_subscriber(index)?;
            return Some((Step::Answer(leaving, Rc::new(answer)), false));
        }
        let joined = batch.stream(&reading, subscriber.transport, epoch, &channel.name, tag);
        if batch.closes() {
            drop(reading);
            let leaving = self.remove_subscriber(index)?;
            return Some((Step::Finish(leaving, joined.whole(false)), false));
        }
        let (sink, frame) = (subscriber.sink, joined.whole(subscriber.chunked));
        drop(reading);
        self.set_busy(index, more);
        Some((Step::Send(sink, frame, 0), more))
    }

    /// A subscriber was found to be overdue: it gets a noop, unless it was sent something since, or
    /// another has its index by now.
    pub fn remind(&mut self, index: u32) -> Step {
        let Some(subscriber) = self.subscribers.get(index) else {
            return Step::Nothing;
        };
        if subscriber.owner().is_some()
            || Wheel::holds(subscriber)
            || self.handover.is_to_move(subscriber)
        {
            return Step::Nothing;
        }
        if subscriber.deadline <= tick(event::now()) {
            return self.noop_for(index);
        }
        self.wheel.insert(&mut self.subscribers, index);
        Step::Nothing
    }

    /// A noop: a long poll's answer, or a sign of life on a stream.
    pub fn noop_for(&mut self, index: u32) -> Step {
        self.try_noop(index).unwrap_or(Step::Nothing)
    }

    fn try_noop(&mut self, index: u32) -> Option<Step> {
        let told = self.told_of(index);
        let subscriber = self.subscribers.get_mut(index)?;
        let attached = self.hubs.get(usize::from(subscriber.hub))?;
        // Who has several has no one channel that a noop could be of.
        let channel = attached.channels.get(subscriber.channel);
        let name = channel.map_or("", |channel| &channel.name);
        let epoch = channel.map_or(Epoch::NONE, |channel| channel.epoch);
        let transport = subscriber.transport;
        if subscriber.socket().is_some() {
            return Some(self.ping(index));
        }
        let message = Message::bare(Kind::Noop, name, subscriber.noop);
        let callback = callback_of(&self.callbacks, index, subscriber);
        if transport == Transport::LongPoll {
            let told = told.iter().map(|(_, told)| told);
            let bytes = frames::answer(told, &message, callback.as_ref());
            let (cursor, jsonp) = (subscriber.cursor, callback.is_some());
            let body = Frame::new(bytes);
            let answer = match self.etag_of_many(index) {
                Some(etag) => poll_answer_at(&etag, jsonp, body),
                None => poll_answer(epoch, cursor, jsonp, body),
            };
            let leaving = self.remove_subscriber(index)?;
            return Some(Step::Answer(leaving, Rc::new(answer)));
        }
        let bytes = frames::single(transport, epoch, &message, None);
        let frame = (!subscriber.busy).then(|| frames::enveloped(bytes, subscriber.chunked));
        subscriber.touch(index, event::now());
        let sink = subscriber.sink;
        if frame.is_some() {
            subscriber.noop = subscriber.noop.saturating_add(1);
        }
        self.wheel.insert(&mut self.subscribers, index);
        Some(Step::Send(sink, frame?, 0))
    }

    /// The worker exits: a noop for a long poll, the end for a stream, for SSE with a time to wait
    /// before it comes back. A stream that is being sent something is ended when it has taken that.
    pub fn end_politely(&mut self, index: u32) -> Step {
        let subscriber = self.subscribers.get(index);
        let Some(subscriber) = subscriber.filter(|subscriber| subscriber.owner().is_none()) else {
            return Step::Nothing;
        };
        if subscriber.transport == Transport::LongPoll {
            return self.noop_for(index);
        }
        if self.is_sending(index, subscriber) {
            return Step::Nothing;
        }
        let frame = farewell(subscriber.transport);
        match self.remove_subscriber(index) {
            Some(leaving) => Step::Finish(leaving, Frame::new(frame)),
            None => Step::Nothing,
        }
    }
}

/// How long a browser waits before it comes back when an SSE stream was cut, in milliseconds.
const RETRY: u64 = 2000;

/// What an SSE stream begins with: the time after which a browser comes back when it is cut. It is
/// another for each, half as long to half as long again, so that the clients of a worker that dies, or
/// of a network that fails, do not all come back at once.
pub fn retry() -> Vec<u8> {
    let mut frame = Vec::new();
    sse_retry(RETRY / 2 + random(RETRY), &mut frame);
    frame
}

/// A number from 0 to `most`.
fn random(most: u64) -> u64 {
    nginx_sys::ngx_random().unsigned_abs() % (most + 1)
}

/// The last bytes of a stream whose worker exits.
pub fn farewell(transport: Transport) -> Vec<u8> {
    let mut frame = Vec::new();
    if transport == Transport::Sse {
        // 500 to 3000 ms, so that a worker's clients do not all come back at once.
        sse_retry(500 + random(2500), &mut frame);
    }
    if matches!(transport, Transport::WebSocket(_)) {
        websocket::farewell(&mut frame);
    }
    frame
}
