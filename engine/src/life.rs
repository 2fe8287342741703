//! Incarnations: which life of its name a channel is.
//!
//! A channel that is made has a new incarnation: also one that has expired or was closed and begins
//! again under its old name. Seqs belong to an incarnation, so whoever resumes with another one is told
//! that it may have lost messages. [`Zone::clear`] and [`Zone::disconnect`] keep it.
//!
//! The zone gives numbers from 1 on by a counter that only grows; numbers from [`GIVEN`] on are another
//! authority's. 0 is no channel's.
//!
//! Concurrency: the counter is one atomic word. Crash: a number that was taken, and whose channel was not
//! linked, is never used.

use crate::channel::Address;
use crate::limits::ChannelLimits;
use crate::publish::{Creator, PublishError};
use crate::wake::WakeSet;
use crate::zone::Zone;

/// The smallest incarnation that another authority gives ([`Zone::make`]).
pub const GIVEN: u64 = 1 << 63;

/// What seqs belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch {
    /// The zone's epoch.
    pub zone: u64,
    /// The channel's incarnation.
    pub incarnation: u64,
}

/// What [`Zone::make`] has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// There was no channel of that name.
    Created,
    /// There was one of that incarnation.
    Kept,
    /// There was one of another incarnation, which was closed.
    Begun,
}

impl Zone {
    /// An incarnation that no channel of this zone had.
    pub(crate) fn next_incarnation(&self) -> u64 {
        self.header().incarnations.next().wrapping_add(1)
    }

    /// The zone gives no incarnation up to that any more. For one who has the zone alone.
    pub(crate) fn pass_incarnation(&self, known: u64) {
        let counter = &self.header().incarnations;
        if known < GIVEN && counter.get() < known {
            // Far from the other authority's, whatever a file says.
            counter.set(known.min(GIVEN / 2));
        }
    }

    /// Makes a channel in the incarnation that another authority gives, which is from [`GIVEN`] on (a smaller
    /// one is taken for that much larger). A channel of that name in another incarnation is closed first,
    /// and its subscribers are told, in the same critical section; nothing has changed when this fails. The
    /// channel is none of the empty ones ([`crate::empty`]), also where it takes the place of one.
    pub fn make(
        &self,
        name: &[u8],
        incarnation: u64,
        limits: &impl ChannelLimits,
        now: u64,
        wake: &mut WakeSet,
    ) -> Result<Made, PublishError> {
        let incarnation = incarnation | GIVEN;
        let limits = limits.of(name);
        let address: Address = self.address(name);
        self.with_room(limits.on_full, address.shard, wake, |wake| {
            let guard = self.lock(address.shard, wake).ok_or(PublishError::Busy)?;
            let found = guard.find(address, name);
            if found.is_some_and(|(_, channel)| channel.incarnation.get() == incarnation) {
                return Ok(Made::Kept);
            }
            let Some((place, channel)) = found else {
                guard.create(
                    address,
                    name,
                    Creator::Authority(incarnation),
                    limits,
                    now,
                    wake,
                )?;
                return Ok(Made::Created);
            };
            // Written before the other goes, so that nothing is lost for want of memory.
            let until = now + limits.channel_timeout;
            let (fresh, new) = guard
                .write_channel(address.hash, name, 0, incarnation, until)
                .ok_or(PublishError::ZoneFull)?;
            guard.close_channel(place, channel, wake);
            guard.link(address, fresh, new, wake);
            Ok(Made::Begun)
        })
    }
}
