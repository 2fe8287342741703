//! Disconnecting: a channel's subscribers are ended, and the channel goes on with what it holds.
//!
//! A worker ends the subscribers of a channel that is closed. So the channel is closed, as
//! [`Zone::close`] does, and another one takes its name, incarnation, seq, token, expiry and ring in the same critical section.

use crate::channel::{AWAY, CLOSED, EMPTY, EXPIRING, SIGNED};
use crate::limits::ChannelLimits;
use crate::publish::PublishError;
use crate::wake::WakeSet;
use crate::zone::Zone;

impl Zone {
    /// Ends the subscribers of a channel; how many there were, `None` when there is no such channel.
    /// The channel's incarnation, seq, messages and token stay, and subscribers may come back; with
    /// `stay_away` they are told not to ([`Window::stay_away`](crate::Window)).
    ///
    /// Crash: the ring is never in two channels. A death between the store that marks the old channel as
    /// closed and the one that links the new one leaves the channel closed, as after [`Zone::close`]: its
    /// subscribers are told, and its messages are gone.
    pub fn disconnect(
        &self,
        name: &[u8],
        stay_away: bool,
        limits: &impl ChannelLimits,
        now: u64,
        wake: &mut WakeSet,
    ) -> Result<Option<u32>, PublishError> {
        let limits = limits.of(name);
        let end = if stay_away { CLOSED | AWAY } else { CLOSED };
        let address = self.address(name);
        self.with_room(limits.on_full, address.shard, wake, |wake| {
            let guard = self.lock(address.shard, wake).ok_or(PublishError::Busy)?;
            let Some((place, old)) = guard.find(address, name) else {
                return Ok(None);
            };
            let subscribers = old.subscribers.get();
            if subscribers == 0 {
                return Ok(Some(0));
            }
            let until = old.expires.get().max(now + limits.channel_timeout);
            let flags = [SIGNED, EXPIRING, EMPTY]
                .into_iter()
                .filter(|flag| old.is(*flag))
                .sum();
            let (new_place, new) = guard
                .write_channel(address.hash, name, flags, old.incarnation.get(), until)
                .ok_or(PublishError::ZoneFull)?;
            if old.is(SIGNED) {
                new.set_token(old.token_bytes());
            }
            let next = old.next.get();
            new.next.set(next);
            new.first.set(old.first.get());
            new.ring.set(old.ring.get());
            guard.wheel_remove(old);
            old.flag(end);
            old.first.set(next);
            old.ring.set(None);
            old.wheel_next.set(guard.shard.closed.get());
            guard.shard.closed.set(Some(place));
            guard.unchain(place, old);
            let head = self.bucket(guard.index, address.bucket);
            new.chain.set(head.get());
            head.set(Some(new_place));
            guard.shard.channels.add(1);
            if new.is(EMPTY) {
                guard.begin_empty(new_place, new);
            }
            // Soon, for the messages that it got.
            guard.wheel_insert_at(new_place, new, now);
            guard.mark_dirty(old, wake);
            Ok(Some(subscribers))
        })
    }

    /// Whether the subscribers of a channel that was closed are to stay away; `place` is the
    /// [`ChannelRef`](crate::ChannelRef) of another worker as a number, which may be any. `false` also
    /// where a worker holds the zone: then its subscribers are told that it was closed.
    pub fn stays_away(&self, name: &[u8], place: u32) -> bool {
        let Some(guard) = self.lock(self.address(name).shard, &mut WakeSet::default()) else {
            return false;
        };
        // A place is looked at only if it is in the list, so that it is a channel's.
        let closed = guard.closed_channels().into_iter();
        let mut closed = closed.filter(|closed| closed.units() == place);
        closed.any(|closed| self.at(closed).is_some_and(|channel| channel.is(AWAY)))
    }
}
