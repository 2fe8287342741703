//! Readers: subscribe, and take messages, under a published reading epoch.

use core::fmt;
use core::marker::PhantomData;

use subtle::ConstantTimeEq;

use crate::busy::Later;
use crate::cell::Ref;
use crate::channel::{AWAY, CLOSED, Channel, ChannelRef, SIGNED};
use crate::life::Epoch;
use crate::limits::{ChannelLimits, Limits, OnFull};
use crate::message::{Message, MessageRef};
use crate::pieces::Joined;
use crate::publish::{Creator, PublishError, RECLAIM};
use crate::registry::WorkerId;
use crate::room::{Refusal, Shortage};
use crate::shard::Guard;
use crate::wake::WakeSet;
use crate::zone::Zone;

/// Messages that a subscribe finds, at most; [`Reading::window`] finds the rest.
pub const FIRST: usize = 256;

/// Who may subscribe.
#[derive(Clone, Copy, Debug)]
pub enum Authority<'a> {
    /// Everybody; the channel is made if it is not there.
    Open,
    /// Who has the channel's token: 32 hex digits, as the client sent them.
    Token(&'a [u8]),
}

/// When a subscriber is registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stay {
    /// In any case.
    Always,
    /// Unless there is something to tell at once.
    UnlessReady,
    /// In no case.
    Never,
}

/// What a subscriber asks for.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The channel's name.
    pub name: &'a [u8],
    /// The next seq that it wants; 0: from now on.
    pub seq: u64,
    /// The epoch that the seq belongs to, if it knows.
    pub epoch: Option<Epoch>,
    /// Why it may.
    pub authority: Authority<'a>,
    /// Whether it stays.
    pub stay: Stay,
    /// Who it is, if that is known: a member of the channel as long as it stays.
    pub user: Option<&'a [u8]>,
}

/// Messages that are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// How many; not known when the seq belongs to another epoch.
    pub count: Option<u64>,
    /// The first seq that is left.
    pub first: u64,
}

/// A subscriber was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The channel, if it is registered; it unsubscribes later.
    pub channel: Option<ChannelRef>,
    /// The channel's incarnation.
    pub incarnation: u64,
    /// The seq of the first message found; before it there may be some that have expired, or are not for
    /// it.
    pub first: u64,
    /// The channel's next seq.
    pub next: u64,
    /// Its seq was 0, or beyond the channel: it must be told `next`.
    pub told: bool,
    /// It asked for messages that are gone.
    pub lost: Option<Lost>,
    /// The channel was made for it.
    pub created: bool,
}

/// Why a subscriber is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscribeError {
    /// The token is wrong, or there is no such channel.
    WrongToken,
    /// The hub has as many channels as it may.
    TooManyChannels,
    /// Channels that never had a message take as much as they may, and all of them have subscribers.
    TooManyEmpty,
    /// The channel has as many subscribers as it may.
    TooManySubscribers,
    /// The zone has no memory for it.
    ZoneFull,
    /// Somebody holds a lock too long ([`crate::take_stuck`]).
    Busy,
}

impl Refusal for SubscribeError {
    const BUSY: Self = SubscribeError::Busy;

    fn shortage(self) -> Option<Shortage> {
        match self {
            SubscribeError::TooManyChannels | SubscribeError::TooManyEmpty => {
                Some(Shortage::Channels)
            }
            SubscribeError::ZoneFull => Some(Shortage::Memory),
            SubscribeError::WrongToken
            | SubscribeError::TooManySubscribers
            | SubscribeError::Busy => None,
        }
    }
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SubscribeError::WrongToken => "wrong token",
            SubscribeError::TooManyChannels => "too many channels",
            SubscribeError::TooManyEmpty => "too many empty channels",
            SubscribeError::TooManySubscribers => "too many subscribers",
            SubscribeError::ZoneFull => "the zone is full",
            SubscribeError::Busy => "a worker holds the zone",
        })
    }
}

impl std::error::Error for SubscribeError {}

/// What a channel holds from a seq on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The seq of the first message found; before it there may be some that have expired.
    pub first: u64,
    /// The channel's next seq.
    pub next: u64,
    /// Messages before `first` that were asked for and are gone; those that ended by their own time are not
    /// among them as long as the ring has their places.
    pub lost: u64,
    /// An administrator closed the channel.
    pub closed: bool,
    /// Somebody holds a lock too long: what there is was not looked at. The channel comes to its worker's
    /// list of dirty channels again ([`Zone::settle`]).
    pub busy: bool,
    /// It was disconnected, and its subscribers are to stay away.
    pub stay_away: bool,
}

/// A worker reads: messages that it finds are not freed while this lives, which is within one turn of
/// its event loop. A worker has one at a time.
pub struct Reading<'z> {
    zone: &'z Zone,
    worker: WorkerId,
    joined: Joined,
    one_thread: PhantomData<*const ()>,
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.zone.slot(self.worker.slot).reading.publish(0);
    }
}

impl Zone {
    /// Begins to read.
    pub fn reading(&self, worker: WorkerId) -> Reading<'_> {
        let epoch = self.header().reading_epoch.get();
        self.slot(worker.slot).reading.publish(epoch);
        Reading {
            zone: self,
            worker,
            joined: Joined::default(),
            one_thread: PhantomData,
        }
    }
}

/// Whether a channel's token is what a client sent.
fn is_token(channel: &Channel, sent: &[u8]) -> bool {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let token = channel.token_bytes();
    let mut text = [0; 32];
    for (pair, byte) in text.chunks_exact_mut(2).zip(token) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    // The comparison runs whether or not there is a token.
    let same = bool::from(text.as_slice().ct_eq(sent));
    same && channel.is(SIGNED)
}

impl Zone {
    /// Whether somebody with that authority may know what a channel has; without the channel nobody has
    /// its token.
    pub fn is_allowed(&self, name: &[u8], authority: Authority<'_>) -> bool {
        let Authority::Token(sent) = authority else {
            return true;
        };
        let address = self.address(name);
        let Some(guard) = self.lock(address.shard, &mut WakeSet::default()) else {
            return false;
        };
        let found = guard.find(address, name);
        found.is_some_and(|(_, channel)| is_token(channel, sent))
    }
}

impl Reading<'_> {
    /// Subscribes in one critical section: finds or makes the channel, checks token and limits, places
    /// the cursor, gives what is buffered from there ([`FIRST`] messages at most), and registers, as
    /// the request says. Messages that this reading found before must not be used any more.
    pub fn subscribe(
        &self,
        request: &Request<'_>,
        limits: &impl ChannelLimits,
        now: u64,
        messages: &mut Vec<MessageRef>,
        wake: &mut WakeSet,
    ) -> Result<Subscription, SubscribeError> {
        let zone = self.zone;
        let limits = limits.of(request.name);
        let shard = zone.address(request.name).shard;
        // A subscribe never lets a message go.
        let subscribed = zone.with_room(OnFull::Refuse, shard, wake, |wake| {
            messages.clear();
            // What was let go for this subscriber must not wait for its own reading.
            let epoch = zone.header().reading_epoch.get();
            zone.slot(self.worker.slot).reading.publish(epoch);
            self.try_subscribe(request, limits, now, messages, wake)
        });
        match &subscribed {
            Ok(subscription) => zone.tell_lost(subscription.lost),
            Err(SubscribeError::WrongToken) => {}
            Err(_) => _ = zone.header().refused_subscribers.next(),
        }
        subscribed
    }

    fn try_subscribe(
        &self,
        request: &Request<'_>,
        limits: &Limits,
        now: u64,
        messages: &mut Vec<MessageRef>,
        wake: &mut WakeSet,
    ) -> Result<Subscription, SubscribeError> {
        let zone = self.zone;
        let address = zone.address(request.name);
        let guard = zone.lock(address.shard, wake).ok_or(SubscribeError::Busy)?;
        let (place, channel, created) = match request.authority {
            Authority::Open => match guard.find(address, request.name) {
                Some((place, channel)) => (place, channel, false),
                None if !zone.takes_empty(request.name.len(), limits) => {
                    return Err(SubscribeError::TooManyEmpty);
                }
                None => guard
                    .create(
                        address,
                        request.name,
                        Creator::Subscriber,
                        limits,
                        now,
                        wake,
                    )
                    .map(|(place, channel)| (place, channel, true))?,
            },
            Authority::Token(sent) => match guard.find(address, request.name) {
                Some((place, channel)) if is_token(channel, sent) => (place, channel, false),
                _ => return Err(SubscribeError::WrongToken),
            },
        };
        if channel.subscribers.get() >= limits.max_subscribers_per_channel {
            return Err(SubscribeError::TooManySubscribers);
        }
        guard.drop_outdated(channel, limits, now);
        let (first, next) = (channel.first.get(), channel.next.get());
        let mut told = false;
        let mut lost = None;
        let epoch = Epoch {
            zone: zone.epoch(),
            incarnation: channel.incarnation.get(),
        };
        let from = if request.epoch.is_some_and(|known| known != epoch) {
            lost = Some(Lost { count: None, first });
            first
        } else if request.seq == 0 || request.seq > next {
            told = true;
            next
        } else if request.seq < first {
            lost = Some(Lost {
                count: Some(first - request.seq),
                first,
            });
            first
        } else {
            request.seq
        };
        // Whether there is something for it, without what is kept from it.
        let tag = request.user.map_or(0, |user| zone.user_tag(user));
        let from = guard.first_for(channel, from, tag, now);
        guard.collect(channel, from, FIRST, now, messages);
        let found = messages.iter().any(|message| message.0.is_some());
        let ready = told || lost.is_some() || found;
        let stays = match request.stay {
            Stay::Always => true,
            Stay::UnlessReady => !ready,
            Stay::Never => false,
        };
        if stays {
            if !guard.register_as(place, channel, self.worker.slot, request.user) {
                return Err(SubscribeError::ZoneFull);
            }
        } else if channel.subscribers.get() == 0 {
            guard.keep_until(place, channel, now + limits.channel_timeout);
            guard.touch_empty(place, channel);
        }
        guard.reclaim(RECLAIM);
        Ok(Subscription {
            channel: stays.then(|| ChannelRef(place.units())),
            incarnation: epoch.incarnation,
            first: from,
            next,
            told,
            lost,
            created,
        })
    }

    /// What a channel that this worker is registered on holds from `from` on, `max` messages at most.
    pub fn window(
        &self,
        channel: ChannelRef,
        from: u64,
        max: usize,
        limits: &impl ChannelLimits,
        now: u64,
        messages: &mut Vec<MessageRef>,
    ) -> Window {
        let place = Ref::<Channel>::new(channel.0);
        let Some((place, known)) = place.and_then(|p| Some((p, self.zone.at(p)?))) else {
            return Window {
                first: from,
                next: from,
                lost: 0,
                closed: true,
                busy: false,
                stay_away: false,
            };
        };
        let Some(guard) = self.zone.lock(known.shard(), &mut WakeSet::default()) else {
            // Its worker is told again that it got something.
            self.zone.put_off(Later::Look(channel));
            return Window {
                first: from,
                next: from,
                lost: 0,
                closed: false,
                busy: true,
                stay_away: false,
            };
        };
        let Some(channel) = self.zone.at(place) else {
            return Window {
                first: from,
                next: from,
                lost: 0,
                closed: true,
                busy: false,
                stay_away: false,
            };
        };
        let next = channel.next.get();
        if channel.is(CLOSED) && channel.ring.get().is_none() {
            // Disconnected: what it held is the name's next channel's ([`crate::disconnect`]), and not lost.
            return Window {
                first: next,
                next,
                lost: 0,
                closed: true,
                busy: false,
                stay_away: channel.is(AWAY),
            };
        }
        guard.drop_outdated(channel, limits.of(guard.name(place)), now);
        let left = channel.first.get().max(from);
        let first = guard.first_for(channel, left, 0, now);
        guard.collect(channel, first, max, now, messages);
        Window {
            first,
            next,
            lost: left - from,
            closed: channel.is(CLOSED),
            busy: false,
            stay_away: channel.is(AWAY),
        }
    }

    pub(crate) fn zone(&self) -> &Zone {
        self.zone
    }

    /// A message that this reading found.
    pub fn message(&self, message: MessageRef) -> Message<'_> {
        let Some(place) = message.0 else {
            return Message::EXPIRED;
        };
        // Under one epoch no other message comes to its place.
        let epoch = self.zone.slot(self.worker.slot).reading.get();
        // SAFETY: the reference came from this reading's window or subscribe (or from an earlier one
        // of this turn, which the caller must not keep), so the published epoch protects it.
        unsafe { self.zone.message_at(place, &self.joined, epoch) }
    }
}

impl Guard<'_> {
    fn collect(
        &self,
        channel: &Channel,
        from: u64,
        max: usize,
        now: u64,
        messages: &mut Vec<MessageRef>,
    ) {
        let seqs = (from..channel.next.get()).take(max);
        messages.extend(seqs.map(|seq| MessageRef(self.living(channel, seq, now))));
    }
}

impl From<PublishError> for SubscribeError {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::TooManyChannels => SubscribeError::TooManyChannels,
            PublishError::Busy => SubscribeError::Busy,
            PublishError::ZoneFull | PublishError::MessageTooLarge | PublishError::IdReused => {
                SubscribeError::ZoneFull
            }
        }
    }
}
