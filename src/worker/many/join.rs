//! The client of a WebSocket subscribes to another channel, or leaves one.

use icomet_engine::{Stay, SubscribeError, WakeSet};
use icomet_protocol::resume::Epoch;

use super::subscribe::{Begin, Client};
use super::{Many, Place, Writer};
use crate::worker::Worker;
use crate::worker::delivery::room;
use crate::worker::subscribe::Wanted;
use crate::worker::subscriber::Marks;
use icomet_tables::NONE;

/// A channel that a client has joined.
pub struct Joined {
    /// What the channel's seqs belong to.
    pub epoch: Epoch,
    /// The next seq that it is sent after what it was sent at once.
    pub next: u64,
    /// The frames that it is sent at once.
    pub frames: Vec<u8>,
    /// There is more, for a later turn.
    pub is_behind: bool,
}

/// Why a client cannot join a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinError {
    /// It has.
    AlreadySubscribed,
    /// It has as many as one subscriber may.
    TooManySubscriptions,
    /// The channel does not let it in.
    Refused(SubscribeError),
}

impl Worker {
    /// Whether a subscriber has that channel.
    pub fn has_channel(&self, index: u32, name: &str) -> bool {
        self.names_of(index).iter().any(|known| **known == *name)
    }

    /// Subscribes a client that is here already to another channel.
    pub fn join(&mut self, owner: u32, wanted: &Wanted<'_>) -> Result<Joined, JoinError> {
        let none = JoinError::Refused(SubscribeError::ZoneFull);
        let subscriber = self.subscribers.get(owner).ok_or(none)?;
        let (hub_index, transport) = (usize::from(subscriber.hub), subscriber.transport);
        let attached = self.hubs.get(hub_index).ok_or(none)?;
        let (hub, zone) = (std::rc::Rc::clone(&attached.hub), attached.zone.epoch());
        let names = self.names_of(owner);
        if names.iter().any(|known| **known == *wanted.name) {
            return Err(JoinError::AlreadySubscribed);
        }
        if names.len() >= hub.max_channels_per_subscriber {
            return Err(JoinError::TooManySubscriptions);
        }
        let mut frames = Vec::new();
        let mut writer = Writer::new(transport, zone, Vec::new(), None, &mut frames);
        let mut begin = Begin {
            place: 0,
            room: room(transport),
            writer: &mut writer,
            wake: WakeSet::default(),
        };
        let stay = Stay::Always;
        let user = self.users.get(owner).map(|user| user.id.clone());
        let client = Client {
            hub_index,
            hub: &hub,
            user: user.as_deref(),
        };
        let entered = self.enter_channel(&client, wanted, stay, &mut begin);
        let wake = begin.wake;
        writer.finish();
        self.ring(&wake);
        let channel = entered.map_err(JoinError::Refused)?;
        self.become_many(owner).ok_or(none)?;
        let entry = self
            .take_in_channel(owner, wanted.name, &channel)
            .ok_or(none)?;
        if let Some(many) = self.many.get_mut(&owner) {
            many.places.retain(|place| matches!(place, Place::Open(_)));
            many.places.push(Place::Open(entry));
        }
        if let Some(user) = &user {
            self.tell_changes_by(Some((&[wanted.name.into()], user)));
        }
        let kind = icomet_hooks::Kind::Subscribe;
        self.tell_subscriber(hub_index, kind, wanted.name, transport, user.as_deref());
        Ok(Joined {
            epoch: Epoch {
                zone,
                incarnation: channel.incarnation,
            },
            next: channel.cursor,
            frames,
            is_behind: channel.cursor < channel.channel_next,
        })
    }

    /// A client leaves one of its channels; whether it had it.
    pub fn part(&mut self, owner: u32, name: &str) -> bool {
        if !self.has_channel(owner, name) || self.become_many(owner).is_none() {
            return false;
        }
        let entry = self.entries_of(owner).into_iter();
        let entry = entry
            .rev()
            .find(|entry| *self.text_of_names(*entry) == *name);
        if let Some(entry) = entry {
            self.end_subscription(owner, entry);
        }
        entry.is_some()
    }

    /// The channel of a subscriber of one becomes its first subscription.
    fn become_many(&mut self, owner: u32) -> Option<()> {
        let subscriber = self.subscribers.get(owner)?;
        if subscriber.is_many() {
            return Some(());
        }
        let (hub, channel, cursor) = (
            usize::from(subscriber.hub),
            subscriber.channel,
            subscriber.cursor,
        );
        // It enters before the other leaves, so that the channel stays.
        let entry = self.take_in_subscription(owner, channel, cursor)?;
        let local = self.hubs.get_mut(hub)?.channels.get_mut(channel)?;
        local.leave(&mut self.subscribers, owner);
        let subscriber = self.subscribers.get_mut(owner)?;
        subscriber.channel = NONE;
        subscriber.marks = subscriber.marks.with(Marks::MANY, true);
        self.many.insert(owner, Many::new(vec![Place::Open(entry)]));
        Some(())
    }
}
