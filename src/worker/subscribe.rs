//! A client subscribes: what it is answered at once, or that it waits here.

use icomet_engine::{
    Authority, ClientAddress, Request as EngineRequest, Stay, SubscribeError, Subscription,
};
use icomet_protocol::callback::Callback;
use icomet_protocol::frame::{Transport, iframe_head, stream_frame};
use icomet_protocol::message::{Kind, Message};
use icomet_protocol::resume::{Epoch, Position};

use super::Worker;
use super::delivery::{poll_answer, retry, room};
use super::frames::{self, Batch};
use super::subscriber::{Marks, Subscriber};
use super::told::Told;
use super::wheel::{Place, tick, ticks};
use crate::answer::Answer;
use crate::config::hub::Auth;
use crate::ffi::event;
use crate::ffi::output::Frame;
use crate::sink::{Held, Sink};

/// What a client asks for.
pub struct Ask<'a> {
    /// Index of the hub on this worker.
    pub hub: usize,
    /// The only channel.
    pub one: Wanted<'a>,
    /// Several channels, or none yet, instead of it.
    pub many: Option<&'a [Wanted<'a>]>,
    /// How it is answered.
    pub transport: Transport,
    /// JSONP callback, on long polls.
    pub callback: Option<Callback<'a>>,
    /// What the client of a WebSocket may do.
    pub marks: Marks,
    /// Its noop counter.
    pub noop: u64,
    /// The longest time a long poll waits, in seconds, if it said so; 0: not at all.
    pub wait: Option<u64>,
    /// Who it is, if that is known.
    pub user: Option<&'a str>,
}

impl Ask<'_> {
    /// The client wants to be told what the channels' seqs belong to.
    fn tells(&self) -> bool {
        match self.many {
            None => self.one.tells,
            Some(many) => many.iter().any(|wanted| wanted.tells),
        }
    }
}

/// A channel that a client asks for.
#[derive(Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// The channel's name.
    pub name: &'a str,
    /// The next seq that the client wants; 0: from now on.
    pub seq: u64,
    /// What the client's seq belongs to, if it says so.
    pub epoch: Option<Epoch>,
    /// The client wants to be told what the channel's seqs belong to.
    pub tells: bool,
    /// What it sent as its token.
    pub token: &'a [u8],
}

impl Wanted<'_> {
    /// The seq from which on a client that was let in is served.
    pub fn served_from(&self, subscription: &Subscription) -> u64 {
        match subscription.lost {
            _ if subscription.told => subscription.next,
            Some(lost) => lost.first,
            None => self.seq,
        }
    }

    /// What a client is told first that was let in.
    pub fn told(&self, epoch: Epoch, subscription: &Subscription) -> Told {
        Told {
            name: self.name.into(),
            epoch,
            seq: self.served_from(subscription),
        }
    }

    /// Where the client says that it stands; of another zone a position that no channel has, so that it is
    /// told `lost` whenever it is let in.
    pub fn position(&self, zone: u64) -> Option<Position> {
        let epoch = self.epoch?;
        if epoch.zone != zone {
            let (incarnation, seq) = (Epoch::NONE.incarnation, 0);
            return Some(Position { incarnation, seq });
        }
        let seq = self.seq.checked_sub(1)?;
        let incarnation = epoch.incarnation;
        Some(Position { incarnation, seq })
    }
}

/// As the engine knows it.
pub fn engine_epoch(epoch: Epoch) -> icomet_engine::Epoch {
    icomet_engine::Epoch {
        zone: epoch.zone,
        incarnation: epoch.incarnation,
    }
}

/// What becomes of it.
pub enum Outcome {
    /// The whole answer, and the seq the client asks for next, in one channel; nobody waits.
    Answer(Answer, Option<u64>),
    /// The same in the transport's framing: none of several channels lets it in.
    Whole(Vec<u8>),
    /// It waits as this subscriber, for messages from that seq on in one channel; an endless answer begins
    /// with these bytes.
    Held(u32, Option<u64>, Frame),
    /// It is refused.
    Refused(SubscribeError),
    /// It is refused, because its address has as many subscribers as it may.
    Crowded(ClientAddress),
}

/// What an endless answer begins with.
pub fn head_of(transport: Transport) -> Vec<u8> {
    match transport {
        Transport::Iframe => iframe_head().to_vec(),
        Transport::Sse => retry(),
        _ => Vec::new(),
    }
}

/// How a refusal is told in a message.
pub fn status_of(error: &SubscribeError) -> (u16, &'static [u8]) {
    match error {
        SubscribeError::WrongToken => (401, b"Token error"),
        SubscribeError::TooManyChannels | SubscribeError::TooManyEmpty => {
            (429, b"Too many channels")
        }
        SubscribeError::TooManySubscribers => (429, b"Too many subscribers"),
        SubscribeError::ZoneFull => (507, b"The zone of this hub is full"),
        SubscribeError::Busy => (503, b"Busy, try again"),
    }
}

/// Why a client may subscribe.
pub fn authority(auth: Auth, token: &[u8]) -> Authority<'_> {
    match auth {
        Auth::None => Authority::Open,
        Auth::Token => Authority::Token(token),
    }
}

impl Worker {
    /// Subscribes; a subscriber that is held belongs to that request from then on.
    pub fn subscribe(&mut self, ask: &Ask<'_>, held: Held) -> Outcome {
        if let Some(wanted) = ask.many {
            return self.subscribe_many(ask, wanted, held);
        }
        let now = event::now();
        let poll = ask.transport == Transport::LongPoll;
        let Some(attached) = self.hubs.get_mut(ask.hub) else {
            return Outcome::Refused(SubscribeError::ZoneFull);
        };
        let hub = std::rc::Rc::clone(&attached.hub);
        let limits = &hub.limits;
        let request = EngineRequest {
            name: ask.one.name.as_bytes(),
            seq: ask.one.seq,
            epoch: ask.one.epoch.map(engine_epoch),
            authority: authority(hub.auth, ask.one.token),
            stay: match (poll, ask.wait) {
                (true, Some(0)) => Stay::Never,
                (true, _) => Stay::UnlessReady,
                (false, _) => Stay::Always,
            },
            user: ask.user.map(str::as_bytes),
        };
        let tag = ask
            .user
            .map_or(0, |user| attached.zone.user_tag(user.as_bytes()));
        let mut messages = Vec::new();
        let mut wake = icomet_engine::WakeSet::default();
        let reading = attached.zone.reading(self.id);
        let subscription = match reading.subscribe(&request, limits, now, &mut messages, &mut wake)
        {
            Ok(subscription) => subscription,
            Err(error) => {
                drop(reading);
                self.ring(&wake);
                return Outcome::Refused(error);
            }
        };
        let batch = Batch::of_subscription(&reading, &subscription, messages, room(ask.transport));
        let epoch = attached.epoch(subscription.incarnation);
        let told = ask.one.tells.then(|| ask.one.told(epoch, &subscription));
        let begin = if subscription.told {
            let message = Message::bare(Kind::NextSeq, ask.one.name, batch.next);
            let callback = ask.callback.as_ref();
            if poll {
                frames::answer(&told, &message, callback)
            } else {
                frames::single(ask.transport, epoch, &message, callback)
            }
        } else if poll && (!batch.is_empty() || ask.wait == Some(0)) {
            let (name, callback) = (ask.one.name, ask.callback.as_ref());
            batch.poll(&reading, name, callback, true, tag, told.as_ref())
        } else if batch.is_empty() || poll {
            Vec::new()
        } else {
            batch
                .stream(&reading, ask.transport, epoch, ask.one.name, tag)
                .whole(false)
                .to_vec()
        };
        drop(reading);
        let outcome = match subscription.channel {
            None => {
                let jsonp = ask.callback.is_some();
                let answer = poll_answer(epoch, batch.next, jsonp, Frame::new(begin));
                Outcome::Answer(answer, Some(batch.next))
            }
            Some(reference) => {
                let mut head = head_of(ask.transport);
                if let Some(told) = told.filter(|_| !poll) {
                    told.with(|message| stream_frame(ask.transport, epoch, message, &mut head));
                }
                head.extend_from_slice(&begin);
                let channel = attached.local(
                    reference,
                    ask.one.name,
                    epoch.incarnation,
                    batch.channel_next,
                );
                let index = self.hold(ask, held, channel, batch.next, hub.polling_timeout);
                if let Some(user) = ask.user {
                    if self.hooks.is_some() {
                        self.tell_changes_by(Some((&[ask.one.name.into()], user)));
                    }
                    self.user_came(index, ask.hub, user);
                }
                self.tell_subscriber(
                    ask.hub,
                    icomet_hooks::Kind::Subscribe,
                    ask.one.name,
                    ask.transport,
                    ask.user,
                );
                Outcome::Held(index, Some(batch.next), Frame::new(head))
            }
        };
        self.ring(&wake);
        outcome
    }

    /// Takes a subscriber in that is held; its index.
    pub fn hold(&mut self, ask: &Ask<'_>, held: Held, channel: u32, cursor: u64, idle: u64) -> u32 {
        let idle = match ask.wait {
            Some(seconds) if ask.transport == Transport::LongPoll => idle.min(seconds * 1000),
            _ => idle,
        };
        let idle = ticks(idle);
        let poll = ask.transport == Transport::LongPoll;
        let (previous, next) = Subscriber::UNLINKED;
        let subscriber = Subscriber {
            sink: Sink::Held(held),
            cursor,
            noop: ask.noop,
            channel,
            // The tick after the one in which the time is over, so that it is never early.
            deadline: tick(event::now()) + 1 + idle,
            idle,
            previous,
            next,
            wheel: Place::default(),
            hub: ask.hub as u16,
            transport: ask.transport,
            chunked: false,
            // An endless answer is busy until its beginning is sent and it has caught up.
            busy: !poll,
            parking: false,
            has_more: ask.callback.is_some(),
            marks: ask
                .marks
                .with(Marks::MANY, ask.many.is_some())
                .with(Marks::TELLS, poll && ask.tells()),
        };
        self.take_in(subscriber, ask.callback.as_ref().map(Callback::as_str))
    }

    /// Takes a subscriber into the tables; its index.
    pub fn take_in(&mut self, subscriber: Subscriber, callback: Option<&str>) -> u32 {
        let (hub, channel) = (usize::from(subscriber.hub), subscriber.channel);
        let index = self.subscribers.insert(subscriber);
        if let Some(callback) = callback {
            self.callbacks.insert(index, callback.into());
        }
        let local = self
            .hubs
            .get_mut(hub)
            .and_then(|hub| hub.channels.get_mut(channel));
        if let Some(local) = local {
            local.enter(&mut self.subscribers, index);
        }
        self.wheel.insert(&mut self.subscribers, index);
        self.keep_ticking();
        index
    }
}
