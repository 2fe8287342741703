//! How a subscriber leaves its old worker: with another one, politely, or with its connection.

use std::borrow::Cow;

use icomet_engine::{Reading, Rules};

use icomet_protocol::callback::Callback;
use icomet_protocol::frame::Transport;
use icomet_protocol::message::{Kind, Message};
use icomet_protocol::resume::{Epoch, Position};

use super::moving::Moving;
use crate::answer::Answer;
use crate::ffi::output::Frame;
use crate::ffi::request::code;
use crate::sink::Sink;
use crate::worker::delivery::{farewell, poll_answer, poll_answer_at, room};
use crate::worker::frames::{self, Batch};
use crate::worker::many::{self, Pending, Subscription, Writer, compose};
use crate::worker::told::Told;
use crate::worker::{Worker, with};

/// What a subscriber's polite end depends on.
pub struct PoliteEnd {
    /// How its messages are framed.
    pub transport: Transport,
    /// The zone's epoch.
    pub zone: u64,
    /// The answer to its long poll is to tell the epochs.
    pub tells_epochs: bool,
    /// Its noop counter.
    pub noop: u64,
    /// JSONP callback of a long poll.
    pub callback: Option<Box<str>>,
    /// The tag of its user; 0: it is nobody's.
    pub tag: u64,
}

/// The last messages of a closed channel, as one of its subscribers is sent them.
struct Last {
    frame: Frame,
    /// Where the client stands after them.
    stand: Stand,
}

/// Where a client stands: of one channel the next seq, of several the last that it has in each.
enum Stand {
    One(Epoch, u64),
    Many(Vec<Option<Position>>),
}

impl Stand {
    fn poll_answer(self, zone: u64, jsonp: bool, body: Frame) -> Answer {
        match self {
            Stand::One(epoch, next) => poll_answer(epoch, next, jsonp, body),
            Stand::Many(positions) => poll_answer_at(&many::etag(zone, positions), jsonp, body),
        }
    }
}

impl Moving {
    /// Another worker has it.
    pub fn taken(self) {
        if let Sink::Parked(connection, _) = self.leaving.sink {
            connection.release();
        }
        with(|worker| {
            if let Some(attached) = worker.hubs.get(self.hub) {
                for _ in self.subscriptions.iter().flatten() {
                    attached.zone.passed_on(worker.id);
                }
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
            return self.end_with(last);
        }
        let (stand, told) = (self.stand(), self.told());
        let PoliteEnd {
            transport,
            zone,
            noop,
            callback,
            ..
        } = self.end;
        let user = self.leaving.user.clone();
        if transport == Transport::LongPoll {
            let callback = callback
                .as_deref()
                .and_then(|name| Callback::new(Cow::Borrowed(name.as_bytes())).ok());
            let channel = match self.is_many {
                true => "",
                false => self.leaving.channel(),
            };
            let message = Message::bare(Kind::Noop, channel, noop);
            let body = frames::answer(&told, &message, callback.as_ref());
            let answer = stand.poll_answer(zone, callback.is_some(), Frame::new(body));
            self.leaving.answer(&answer);
        } else {
            let (frame, from) = self.rest.unwrap_or_default();
            let rest = frame.get(from..).unwrap_or_default();
            self.leaving.finish_behind(rest, &farewell(transport));
        }
        ended(self.hub, &self.subscriptions, user.as_deref());
    }

    fn stand(&self) -> Stand {
        match self.subscriptions.as_slice() {
            [Ok(subscription)] if !self.is_many => {
                Stand::One(subscription.epoch, subscription.cursor)
            }
            all => Stand::Many(
                all.iter()
                    .map(|place| match place {
                        Ok(subscription) => Some(subscription.position()),
                        Err(position) => *position,
                    })
                    .collect(),
            ),
        }
    }

    /// What the answer to its long poll begins with.
    fn told(&self) -> Vec<Told> {
        if !self.end.tells_epochs {
            return Vec::new();
        }
        let open = self.subscriptions.iter().flatten();
        open.map(Subscription::told).collect()
    }

    fn tell_end(&self) {
        let transport = self.end.transport;
        let user = self.leaving.user.as_deref();
        with(|worker| {
            for subscription in self.subscriptions.iter().flatten() {
                let (name, kind) = (&subscription.name, icomet_hooks::Kind::Unsubscribe);
                worker.tell_subscriber(self.hub, kind, name, transport, user);
            }
        });
    }

    /// Its channel was closed while it was under way.
    fn end_with(mut self, last: Last) {
        if let Stand::One(_, next) = last.stand {
            self.leaving.seq = Some(next);
        }
        let user = self.leaving.user.clone();
        if self.end.transport == Transport::LongPoll {
            let (zone, jsonp) = (self.end.zone, self.end.callback.is_some());
            let answer = last.stand.poll_answer(zone, jsonp, last.frame);
            self.leaving.answer(&answer);
        } else {
            let (frame, from) = self.rest.unwrap_or_default();
            let rest = frame.get(from..).unwrap_or_default();
            let mut bytes = last.frame.to_vec();
            if self.is_many {
                // Its other channels go on where it comes back to.
                bytes.extend_from_slice(&farewell(self.end.transport));
            }
            self.leaving.finish_behind(rest, &bytes);
        }
        ended(self.hub, &self.subscriptions, user.as_deref());
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
fn ended(hub: usize, subscriptions: &[Result<Subscription, Option<Position>>], user: Option<&str>) {
    with(|worker| {
        for subscription in subscriptions.iter().flatten() {
            worker.leave_channel(hub, subscription.reference, user);
        }
        worker
            .handover
            .exodus
            .as_mut()
            .map(|exodus| exodus.ended += 1)
    });
}

impl Worker {
    /// What is left of its channel, if that was closed; of several, what is left of those that were.
    fn last_of(&mut self, moving: &Moving) -> Option<Last> {
        let attached = self.hubs.get(moving.hub)?;
        let (zone, limits) = (attached.zone, &attached.hub.limits);
        let end = &moving.end;
        let reading = zone.reading(self.id);
        let mut room = room(end.transport);
        let subscription = match moving.subscriptions.as_slice() {
            [Ok(subscription)] if !moving.is_many => subscription,
            all => {
                let Stand::Many(positions) = moving.stand() else {
                    return None;
                };
                return last_of_many(&reading, limits, end, all, positions, &mut room);
            }
        };
        let (reference, cursor) = (subscription.reference, subscription.cursor);
        let batch = Batch::read(&reading, limits, reference, cursor, room);
        let name = &*subscription.name;
        let frame = match end.transport {
            _ if !batch.closes() => return None,
            Transport::LongPoll => {
                let callback = end.callback.as_deref();
                let callback = callback.and_then(|name| Callback::new(name.as_bytes().into()).ok());
                let told = end.tells_epochs.then(|| subscription.told());
                let (callback, told) = (callback.as_ref(), told.as_ref());
                Frame::new(batch.poll(&reading, name, callback, false, end.tag, told))
            }
            transport => {
                let joined = batch.stream(&reading, transport, subscription.epoch, name, end.tag);
                joined.whole(false)
            }
        };
        Some(Last {
            frame,
            stand: Stand::One(subscription.epoch, batch.next),
        })
    }
}

fn last_of_many(
    reading: &Reading<'_>,
    limits: &Rules,
    end: &PoliteEnd,
    subscriptions: &[Result<Subscription, Option<Position>>],
    positions: Vec<Option<Position>>,
    room: &mut usize,
) -> Option<Last> {
    let callback = end.callback.as_deref();
    let callback = callback.and_then(|name| Callback::new(name.as_bytes().into()).ok());
    let mut bytes = Vec::new();
    let mut writer = Writer::new(
        end.transport,
        end.zone,
        positions,
        callback.as_ref(),
        &mut bytes,
    );
    if end.tells_epochs {
        for (place, subscription) in subscriptions.iter().enumerate() {
            if let Ok(subscription) = subscription {
                writer.tell(place, &subscription.told());
            }
        }
    }
    let mut closes = false;
    for (place, subscription) in subscriptions.iter().enumerate() {
        let Ok(subscription) = subscription else {
            continue;
        };
        let mut pending = Pending {
            place,
            name: &subscription.name,
            reference: subscription.reference,
            incarnation: subscription.epoch.incarnation,
            cursor: subscription.cursor,
            tag: end.tag,
        };
        let found = compose(reading, limits, &mut pending, room, &mut writer);
        closes |= found.is_some_and(|found| found.closes);
    }
    let stand = Stand::Many(writer.finish());
    let frame = Frame::new(bytes);
    closes.then_some(Last { frame, stand })
}
