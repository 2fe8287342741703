//! Publishers: publish, sign, close, clear.

use core::fmt;

use crate::cell::Ref;
use crate::channel::{Address, CLOSED, Channel, EMPTY, EXPIRING, SIGNED};
use crate::limits::{ChannelLimits, Limits};
use crate::message::{self, Kind};
use crate::publication::{MAX_EVENT, Options, Publication};
use crate::room::{Refusal, Shortage};
use crate::shard::Guard;
use crate::wake::WakeSet;
use crate::zone::Zone;

/// Blocks freed from limbo with one publish, at most: more than one publish puts there.
pub(crate) const RECLAIM: usize = 4;

/// A message was taken, now or before: then this is what its publisher was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// Its seq.
    pub seq: u64,
    /// The channel's incarnation, which the seq belongs to; 0 if it is over, and the message was taken in it.
    pub incarnation: u64,
    /// The channel was made for it.
    pub created: bool,
    /// Subscribers at that moment.
    pub subscribers: u32,
    /// It was taken before, under its id; nothing has changed now.
    pub repeated: bool,
    /// An id was forgotten before its time, because there were too many.
    pub crowded: bool,
}

/// Why a message, or a channel, was not taken. Nothing has changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishError {
    /// The hub has as many channels as it may.
    TooManyChannels,
    /// Larger than max_message_size, or with a longer name of its event than [`MAX_EVENT`].
    MessageTooLarge,
    /// The zone has no memory for it.
    ZoneFull,
    /// Its id was given to another publication before ([`crate::Once`]).
    IdReused,
    /// Somebody holds a lock too long ([`crate::take_stuck`]).
    Busy,
}

impl Refusal for PublishError {
    const BUSY: Self = PublishError::Busy;

    fn shortage(self) -> Option<Shortage> {
        match self {
            PublishError::TooManyChannels => Some(Shortage::Channels),
            PublishError::ZoneFull => Some(Shortage::Memory),
            PublishError::MessageTooLarge | PublishError::IdReused | PublishError::Busy => None,
        }
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PublishError::TooManyChannels => "too many channels",
            PublishError::MessageTooLarge => "the message is too large",
            PublishError::ZoneFull => "the zone is full",
            PublishError::IdReused => "the id was used for other content",
            PublishError::Busy => "a worker holds the zone",
        })
    }
}

impl std::error::Error for PublishError {}

/// A channel was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The channel's incarnation.
    pub incarnation: u64,
    /// The smallest buffered seq, else the next.
    pub first_seq: u64,
    /// The channel's token.
    pub token: [u8; 16],
    /// The channel was made for it.
    pub created: bool,
}

/// What is told of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelInfo {
    /// Its incarnation.
    pub incarnation: u64,
    /// Subscribers on all workers.
    pub subscribers: u32,
    /// The smallest buffered seq, else the next.
    pub first_seq: u64,
    /// The next seq.
    pub next_seq: u64,
    /// When it may be freed without subscribers, in milliseconds of the clock that callers give.
    pub expires_at: u64,
}

/// Whom a channel is made for.
#[derive(Clone, Copy)]
pub(crate) enum Creator {
    /// One that publishes to it, or signs it.
    BackEnd,
    /// A subscriber: it is empty ([`crate::empty`]).
    Subscriber,
    /// Another authority, which gives its incarnation ([`crate::life`]).
    Authority(u64),
}

impl<'z> Guard<'z> {
    /// The channel of that name, made if it is not there; whether it was.
    pub(crate) fn find_or_create(
        &self,
        address: Address,
        name: &[u8],
        limits: &Limits,
        now: u64,
        wake: &mut WakeSet,
    ) -> Result<(Ref<Channel>, &'z Channel, bool), PublishError> {
        if let Some((place, channel)) = self.find(address, name) {
            return Ok((place, channel, false));
        }
        self.create(address, name, Creator::BackEnd, limits, now, wake)
            .map(|(place, channel)| (place, channel, true))
    }

    /// Makes the channel of a name that has none. Whether it is within the share of empty channels
    /// ([`Zone::takes_empty`]) is not asked here.
    pub(crate) fn create(
        &self,
        address: Address,
        name: &[u8],
        creator: Creator,
        limits: &Limits,
        now: u64,
        wake: &mut WakeSet,
    ) -> Result<(Ref<Channel>, &'z Channel), PublishError> {
        if self.zone.channels() >= limits.max_channels {
            return Err(PublishError::TooManyChannels);
        }
        let until = now + limits.channel_timeout;
        let (flags, incarnation) = match creator {
            Creator::BackEnd => (0, self.zone.next_incarnation()),
            Creator::Subscriber => (EMPTY, self.zone.next_incarnation()),
            Creator::Authority(incarnation) => (0, incarnation),
        };
        let (place, channel) = self
            .write_channel(address.hash, name, flags, incarnation, until)
            .ok_or(PublishError::ZoneFull)?;
        self.link(address, place, channel, wake);
        Ok((place, channel))
    }

    /// Links a channel that was written, under a name that has none.
    pub(crate) fn link(
        &self,
        address: Address,
        place: Ref<Channel>,
        channel: &Channel,
        wake: &mut WakeSet,
    ) {
        let head = self.zone.bucket(self.index, address.bucket);
        channel.chain.set(head.get());
        head.set(Some(place));
        self.shard.channels.add(1);
        if channel.is(EMPTY) {
            self.begin_empty(place, channel);
        }
        self.wheel_insert(place, channel);
        self.tell(Kind::Online, self.name(place), wake);
    }
}

impl Zone {
    /// Channels in all shards.
    pub(crate) fn channels(&self) -> u64 {
        (0..self.shard_count())
            .map(|index| u64::from(self.shard(index).channels.get()))
            .sum()
    }

    /// Publishes to a channel, which is made if it is not there; if the publication has an id, unless the
    /// channel had a message of that id before.
    pub fn publish<'a>(
        &self,
        name: &[u8],
        publication: impl Into<Publication<'a>>,
        limits: &impl ChannelLimits,
        now: u64,
        wake: &mut WakeSet,
    ) -> Result<Published, PublishError> {
        self.publish_in(name, &publication.into(), limits.of(name), now, wake)
    }

    fn publish_in(
        &self,
        name: &[u8],
        publication: &Publication<'_>,
        limits: &Limits,
        now: u64,
        wake: &mut WakeSet,
    ) -> Result<Published, PublishError> {
        let content = publication.content;
        let options = Options {
            event: publication.event,
            exclude: publication.exclude,
            until: publication.ttl.map(|ttl| now.saturating_add(ttl)),
        };
        if content.len() > limits.max_message_size
            || options.event.len() > MAX_EVENT
            || message::size(content.len(), &options) > u32::MAX as usize
        {
            return Err(PublishError::MessageTooLarge);
        }
        let once = publication.once.as_ref();
        let key = once.map(|once| self.key_of(name, publication, once, now));
        let address = self.address(name);
        self.ask_for_bucket(address.shard, address.bucket);
        let mut published = self.with_room(limits.on_full, address.shard, wake, |wake| {
            let guard = self.lock(address.shard, wake).ok_or(PublishError::Busy)?;
            guard.ask_for_channel(address.bucket);
            if let Some(known) = key.and_then(|key| guard.find_done(key, address, name, now)) {
                return known;
            }
            // Room for the message first: a channel without one is of no use.
            let message = guard
                .new_message(Kind::Data, content, &options, now)
                .ok_or(PublishError::ZoneFull)?;
            let done = key.map(|key| guard.new_done(key));
            let give_back = || {
                guard.free_message(message);
                if let Some(Some(done)) = done {
                    guard.free(done);
                }
            };
            if matches!(done, Some(None)) {
                give_back();
                return Err(PublishError::ZoneFull);
            }
            let found = guard.find_or_create(address, name, limits, now, wake);
            let (place, channel, created) = match found {
                Ok(found) => found,
                Err(error) => {
                    give_back();
                    return Err(error);
                }
            };
            if !guard.make_room(channel, limits.channel_buffer_size) {
                give_back();
                return Err(PublishError::ZoneFull);
            }
            if let Some(Some(done)) = done {
                guard.promise(done, place, channel);
            }
            if options.until.is_some() && !channel.is(EXPIRING) {
                channel.flag(EXPIRING);
            }
            let seq = guard.append(place, channel, message);
            if let Some(Some(done)) = done {
                guard.keep_promise(done, now);
            }
            guard.keep_until(place, channel, now + limits.channel_timeout);
            if limits.message_ttl > 0 || options.until.is_some() {
                let kept = match limits.message_ttl {
                    0 => u64::MAX,
                    ttl => now + ttl,
                };
                let due = options.until.unwrap_or(u64::MAX).min(kept);
                guard.wheel_by(place, channel, due);
            }
            guard.mark_dirty(channel, wake);
            guard.reclaim(RECLAIM);
            Ok(Published {
                seq,
                incarnation: channel.incarnation.get(),
                created,
                subscribers: channel.subscribers.get(),
                repeated: false,
                crowded: false,
            })
        });
        if let (Ok(published), Some(key)) = (&mut published, key) {
            published.crowded = !published.repeated && self.forget_surplus(key, now, wake);
        }
        if matches!(&published, Err(error) if *error != PublishError::IdReused) {
            self.header().refused_publishes.next();
        }
        published
    }

    /// Makes a channel if it is not there, gives it `fresh_token` if it has none, and sets its expiry.
    pub fn sign(
        &self,
        name: &[u8],
        expires_ms: u64,
        fresh_token: [u8; 16],
        limits: &impl ChannelLimits,
        now: u64,
        wake: &mut WakeSet,
    ) -> Result<Signed, PublishError> {
        let limits = limits.of(name);
        let address = self.address(name);
        self.with_room(limits.on_full, address.shard, wake, |wake| {
            let guard = self.lock(address.shard, wake).ok_or(PublishError::Busy)?;
            let (place, channel, created) =
                guard.find_or_create(address, name, limits, now, wake)?;
            guard.drop_outdated(channel, limits, now);
            if !channel.is(SIGNED) {
                guard.end_empty(place, channel);
                channel.set_token(fresh_token);
                channel.flag(SIGNED);
            }
            // It may be sooner than before, so the wheel must know.
            channel.expires.set(now.saturating_add(expires_ms));
            guard.wheel_by(place, channel, channel.expires.get());
            Ok(Signed {
                incarnation: channel.incarnation.get(),
                first_seq: channel.first.get(),
                token: channel.token_bytes(),
                created,
            })
        })
    }

    /// Closes a channel: its name is free at once, its subscribers are told. Its next seq, if it was
    /// there.
    pub fn close(
        &self,
        name: &[u8],
        _limits: &impl ChannelLimits,
        _now: u64,
        wake: &mut WakeSet,
    ) -> Option<u64> {
        let address = self.address(name);
        let guard = self.lock(address.shard, wake)?;
        let (place, channel) = guard.find(address, name)?;
        let next = channel.next.get();
        guard.close_channel(place, channel, wake);
        Some(next)
    }

    /// Lets a channel's messages go. Its next seq, if it is there.
    pub fn clear(&self, name: &[u8]) -> Option<u64> {
        let address = self.address(name);
        let guard = self.lock(address.shard, &mut WakeSet::default())?;
        let (_, channel) = guard.find(address, name)?;
        guard.drop_all(channel);
        guard.reclaim(RECLAIM);
        Some(channel.next.get())
    }

    /// What there is to tell of a channel, if it is there.
    pub fn channel(&self, name: &[u8]) -> Option<ChannelInfo> {
        let address = self.address(name);
        let guard = self.lock(address.shard, &mut WakeSet::default())?;
        let (_, channel) = guard.find(address, name)?;
        Some(ChannelInfo {
            incarnation: channel.incarnation.get(),
            subscribers: channel.subscribers.get(),
            first_seq: channel.first.get(),
            next_seq: channel.next.get(),
            expires_at: channel.expires.get(),
        })
    }
}

impl Channel {
    /// Writes its token, which holds once it is flagged as signed.
    pub(crate) fn set_token(&self, token: [u8; 16]) {
        let (low, high) = token.split_at(8);
        self.token[0].set(u64::from_le_bytes(low.try_into().unwrap_or_default()));
        self.token[1].set(u64::from_le_bytes(high.try_into().unwrap_or_default()));
    }

    /// Its token.
    pub(crate) fn token_bytes(&self) -> [u8; 16] {
        let mut token = [0; 16];
        token[..8].copy_from_slice(&self.token[0].get().to_le_bytes());
        token[8..].copy_from_slice(&self.token[1].get().to_le_bytes());
        token
    }
}

impl Guard<'_> {
    /// Closes a channel: its name is free at once, its subscribers are told.
    pub(crate) fn close_channel(&self, place: Ref<Channel>, channel: &Channel, wake: &mut WakeSet) {
        self.wheel_remove(channel);
        if channel.records.get().is_none() {
            self.free_channel(place, channel, wake);
            return;
        }
        // Workers refer to it: it is kept, in a list, before its name is taken from it.
        channel.flag(CLOSED);
        channel.wheel_next.set(self.shard.closed.get());
        self.shard.closed.set(Some(place));
        self.unchain(place, channel);
        self.tell(Kind::Offline, self.name(place), wake);
        self.mark_dirty(channel, wake);
    }

    /// Takes a closed channel out of its list and frees it, when no worker knows it any more.
    pub(crate) fn free_closed(&self, place: Ref<Channel>, channel: &Channel) {
        let next = channel.wheel_next.get();
        let mut at = self.shard.closed.get();
        if at == Some(place) {
            self.shard.closed.set(next);
        } else {
            while let Some(before) = at.and_then(|at| self.zone.at(at)) {
                if before.wheel_next.get() == Some(place) {
                    before.wheel_next.set(next);
                    break;
                }
                at = before.wheel_next.get();
            }
        }
        self.free_parts(place, channel);
    }
}
