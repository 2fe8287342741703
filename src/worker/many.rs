//! Subscribers of several channels on one connection.
//!
//! Such a subscriber is in no channel's list itself. For each channel it has a *subscription*: an entry
//! among the subscribers, whose sink is [`Sink::Of`] it, with a cursor and a place in the channel's
//! list. So fan-out finds it as it finds others, and who has one channel pays nothing for this.
//! Subscriptions are busy when their subscriber is, are in no wheel, and leave only with it or by it.

mod delivery;
mod join;
mod subscribe;

use std::rc::Rc;

use icomet_engine::ChannelRef;
use icomet_protocol::resume::{self, Epoch, Position};

pub use delivery::{Pending, Writer, compose};
pub use join::JoinError;

use super::Worker;
use super::subscriber::{Marks, Subscriber};
use super::wheel;
use crate::sink::Sink;

/// The channels of one subscriber, in the order in which its client named them.
#[derive(Default)]
pub struct Many {
    places: Vec<Place>,
}

/// One channel that a client named.
#[derive(Clone, Copy)]
pub enum Place {
    /// It has that subscription.
    Open(u32),
    /// It has none: it was refused, or the channel was closed. Where the client stands in it, if that is
    /// known: it stays in what the client is told to come back with.
    Ended(Option<Position>),
}

/// What another worker must know of a channel that a subscriber has.
pub struct Subscription {
    /// The channel's name.
    pub name: Rc<str>,
    /// The channel, where it counts.
    pub reference: ChannelRef,
    /// What its seqs belong to.
    pub epoch: Epoch,
    /// The next seq that it is sent.
    pub cursor: u64,
}

impl Subscription {
    /// Where its client stands.
    pub fn position(&self) -> Position {
        Position {
            incarnation: self.epoch.incarnation,
            seq: self.cursor.saturating_sub(1),
        }
    }
}

impl Many {
    /// Those places.
    pub fn new(places: Vec<Place>) -> Many {
        Many { places }
    }

    /// The indexes of its subscriptions.
    pub fn entries(&self) -> impl Iterator<Item = u32> {
        self.places.iter().filter_map(|place| match place {
            Place::Open(entry) => Some(*entry),
            Place::Ended(_) => None,
        })
    }

    /// Which of the channels named a subscription is to.
    pub fn place_of(&self, entry: u32) -> Option<usize> {
        let is_it = |place: &Place| matches!(place, Place::Open(other) if *other == entry);
        self.places.iter().position(is_it)
    }

    fn end(&mut self, entry: u32, position: Option<Position>) {
        if let Some(place) = self.place_of(entry)
            && let Some(place) = self.places.get_mut(place)
        {
            *place = Place::Ended(position);
        }
    }
}

impl Worker {
    /// What other workers must know of a subscriber's channels, in the order of its places; `Err`: where
    /// it stands in one that it has no more.
    pub fn subscriptions_of(&self, index: u32) -> Vec<Result<Subscription, Option<Position>>> {
        let Some(subscriber) = self.subscribers.get(index) else {
            return Vec::new();
        };
        let of = |subscriber: &Subscriber| {
            let attached = self.hubs.get(usize::from(subscriber.hub))?;
            let local = attached.channels.get(subscriber.channel)?;
            Some(Subscription {
                name: Rc::clone(&local.name),
                reference: local.reference,
                epoch: local.epoch,
                cursor: subscriber.cursor,
            })
        };
        if !subscriber.is_many() {
            return of(subscriber).map(Ok).into_iter().collect();
        }
        let places = self.many.get(&index).map(|many| many.places.iter());
        let places = places.into_iter().flatten().map(|place| match place {
            Place::Open(entry) => self.subscribers.get(*entry).and_then(of).ok_or(None),
            Place::Ended(position) => Err(*position),
        });
        places.collect()
    }

    /// The names of a subscriber's channels.
    pub fn names_of(&self, index: u32) -> Vec<Rc<str>> {
        let all = self.subscriptions_of(index).into_iter();
        all.filter_map(|subscription| Some(subscription.ok()?.name))
            .collect()
    }

    /// The same as one text, for the log.
    pub fn text_of_names(&self, index: u32) -> Rc<str> {
        self.only_name(index)
            .unwrap_or_else(|| self.names_of(index).join(",").into())
    }

    /// The name of a subscriber's, or a subscription's, only channel.
    fn only_name(&self, index: u32) -> Option<Rc<str>> {
        let subscriber = self.subscribers.get(index)?;
        let attached = self.hubs.get(usize::from(subscriber.hub))?;
        let local = attached.channels.get(subscriber.channel)?;
        Some(Rc::clone(&local.name))
    }

    /// Where the client of a subscriber of several channels stands in each.
    pub fn positions_of(&self, index: u32) -> Vec<Option<Position>> {
        let places = self.many.get(&index).map(|many| many.places.iter());
        let places = places.into_iter().flatten().map(|place| match place {
            Place::Open(entry) => self.position_of(*entry),
            Place::Ended(position) => *position,
        });
        places.collect()
    }

    /// Where the client of a subscription stands.
    fn position_of(&self, entry: u32) -> Option<Position> {
        let subscriber = self.subscribers.get(entry)?;
        let attached = self.hubs.get(usize::from(subscriber.hub))?;
        let local = attached.channels.get(subscriber.channel)?;
        Some(Position {
            incarnation: local.epoch.incarnation,
            seq: subscriber.cursor.saturating_sub(1),
        })
    }

    /// The entity tag that tells where a subscriber of several channels stands; none for others.
    pub fn etag_of_many(&self, index: u32) -> Option<Vec<u8>> {
        let subscriber = self.subscribers.get(index)?;
        let attached = self.hubs.get(usize::from(subscriber.hub))?;
        let zone = attached.zone.epoch();
        subscriber
            .is_many()
            .then(|| etag(zone, self.positions_of(index)))
    }

    /// Makes the subscriptions of a subscriber busy with it, or no more.
    pub fn set_all_busy(&mut self, index: u32, busy: bool) {
        for entry in self.entries_of(index) {
            self.set_busy(entry, busy);
        }
    }

    /// Takes all subscriptions out of the tables; the channels, where they still count in the zone.
    pub fn leave_all(&mut self, many: &Many) -> Vec<ChannelRef> {
        let entries = many.entries();
        let left = entries.filter_map(|entry| {
            let reference = self.leave_local(entry);
            self.subscribers.remove(entry);
            reference
        });
        left.collect()
    }

    /// Takes one subscription out, and out of the zone's count; its place stays.
    pub fn end_subscription(&mut self, owner: u32, entry: u32) {
        let Some(subscription) = self.subscribers.get(entry) else {
            return;
        };
        let (hub, transport) = (usize::from(subscription.hub), subscription.transport);
        let position = self.position_of(entry);
        let name = self.text_of_names(entry);
        if let Some(many) = self.many.get_mut(&owner) {
            many.end(entry, position);
        }
        let reference = self.leave_local(entry);
        self.subscribers.remove(entry);
        let user = self.users.get(owner).map(|user| user.id.clone());
        if let Some(reference) = reference {
            let (kind, user) = (icomet_hooks::Kind::Unsubscribe, user.as_deref());
            self.leave_channel(hub, reference, user);
            self.tell_subscriber(hub, kind, &name, transport, user);
        }
    }

    /// Takes a subscription to that channel into the tables; its index.
    pub fn take_in_subscription(&mut self, owner: u32, channel: u32, cursor: u64) -> Option<u32> {
        let subscriber = self.subscribers.get(owner)?;
        let (previous, next) = Subscriber::UNLINKED;
        let subscription = Subscriber {
            sink: Sink::Of(owner),
            cursor,
            channel,
            noop: 0,
            deadline: 0,
            idle: 0,
            previous,
            next,
            wheel: wheel::Place::default(),
            hub: subscriber.hub,
            transport: subscriber.transport,
            chunked: false,
            busy: subscriber.busy,
            parking: false,
            has_more: false,
            marks: Marks::default(),
        };
        let hub = usize::from(subscriber.hub);
        let index = self.subscribers.insert(subscription);
        let local = self.hubs.get_mut(hub)?.channels.get_mut(channel)?;
        local.enter(&mut self.subscribers, index);
        Some(index)
    }

    fn entries_of(&self, index: u32) -> Vec<u32> {
        let many = self.many.get(&index);
        many.map(|many| many.entries().collect())
            .unwrap_or_default()
    }
}

/// The entity tag of a client that stands at those positions.
pub fn etag(zone: u64, positions: Vec<Option<Position>>) -> Vec<u8> {
    let mut tag = vec![b'"'];
    resume::format_positions(zone, positions, &mut tag);
    tag.push(b'"');
    tag
}
