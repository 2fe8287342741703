//! Broadcasts: one body for all channels.
//!
//! The body stands in the commons. Each shard counts the ring entries that refer to it; the counts
//! are not readers' (those hold none), but the shards' own: each is written under its shard's lock,
//! and counted anew by that shard's repair. When all are zero and the broadcast is over, the body goes
//! into the commons' limbo.

use core::mem::offset_of;

use crate::cell::{Link, Ref, Word};
use crate::geometry::{MAX_SHARDS, PAGE};
use crate::limits::{ChannelLimits, OnFull};
use crate::message::{HEAD, Head, Kind};
use crate::publication::Options;
use crate::publish::{PublishError, RECLAIM};
use crate::registry::WorkerId;
use crate::shard::Guard;
use crate::wake::WakeSet;
use crate::zone::Zone;

/// A broadcast's body: this, then a message.
///
/// Concurrency: `next` and the list are written under the commons' lock, `counts[s]` under the lock of
/// shard `s`, the rest by the worker that broadcasts, or by the reaper when it died. Crash: a body is
/// linked by one store; `over` of a dead worker's is set by the reaper.
#[repr(C)]
pub struct Body {
    link: Word,
    /// The next in the commons' list.
    pub next: Link<Body>,
    /// The worker that broadcasts.
    pub slot: Word,
    /// Its incarnation.
    pub incarnation: Word,
    /// Every channel has it, or its worker died.
    pub over: Word,
    reserved: Word,
    /// Ring entries that refer to it, by shard.
    pub counts: [Word; MAX_SHARDS],
    message: [Word; HEAD / 4],
}

const MESSAGE_AT: usize = offset_of!(Body, message);

impl Body {
    /// The body that a broadcast message stands in.
    pub fn of(message: Ref<Head>) -> Ref<Body> {
        message.back(MESSAGE_AT)
    }

    /// The message in a body.
    pub fn message(body: Ref<Body>) -> Ref<Head> {
        body.forward(MESSAGE_AT)
    }

    fn is_done(&self) -> bool {
        self.over.get() != 0 && self.counts.iter().all(|count| count.get() == 0)
    }
}

/// A broadcast on its way.
#[derive(Debug)]
pub struct Broadcast {
    body: Ref<Body>,
    shard: usize,
    bucket: usize,
    /// Channels that have it.
    pub reached: u64,
    /// Channels that had no memory for it.
    pub missed: u64,
}

// SAFETY: places in the zone, which threads share anyway.
unsafe impl Send for Broadcast {}

impl Guard<'_> {
    /// A ring of this shard refers to the body no longer.
    pub(crate) fn drop_broadcast(&self, place: Ref<Body>) {
        let Some(body) = self.zone.at(place) else {
            return;
        };
        if let Some(count) = body.counts.get(self.index) {
            count.take(1);
        }
        if body.is_done() {
            self.zone.retire_body_soon(place);
        }
    }

    /// Lets a body go that nothing refers to; this is the commons' guard.
    pub(crate) fn retire_body(&self, place: Ref<Body>) {
        let Some(body) = self.zone.at(place).filter(|body| body.is_done()) else {
            return;
        };
        let next = body.next.get();
        let mut at = self.shard.broadcasts.get();
        if at == Some(place) {
            self.shard.broadcasts.set(next);
        } else {
            loop {
                // Who is not in the list was let go by another shard meanwhile.
                let Some(before) = at.and_then(|at| self.zone.at(at)) else {
                    return;
                };
                if before.next.get() == Some(place) {
                    before.next.set(next);
                    break;
                }
                at = before.next.get();
            }
        }
        self.retire_pieces(self.zone.at(Body::message(place)).and_then(Head::pieces));
        self.retire(place);
        self.reclaim(RECLAIM);
    }

    /// Writes a body that no ring refers to, with what `owner` says of it, and links it; `None` when
    /// there is no memory. This is the commons' guard.
    pub(crate) fn write_body(
        &self,
        content: &[u8],
        time: u64,
        owner: impl FnOnce(&Body),
    ) -> Option<Ref<Body>> {
        let mut pieces = None;
        let size = size_of::<Body>() + content.len();
        let place = match self.allocate(size) {
            None if size > PAGE => {
                pieces = Some(self.write_pieces([content, &[]])?);
                let place = self.allocate(size_of::<Body>());
                if place.is_none() {
                    self.free_pieces(pieces);
                }
                place
            }
            place => place,
        };
        let place = place?.cast::<Body>();
        let body = self.zone.at(place)?;
        owner(body);
        for count in &body.counts {
            count.set(0);
        }
        let message = Body::message(place);
        let options = Options::default();
        self.zone
            .write_message(message, Kind::Broadcast, content, &options, time, pieces);
        body.next.set(self.shard.broadcasts.get());
        self.shard.broadcasts.set(Some(place));
        Some(place)
    }

    /// The bodies in the commons' list; this is the commons' guard.
    pub(crate) fn bodies(&self) -> Vec<Ref<Body>> {
        let mut bodies = Vec::new();
        let mut at = self.shard.broadcasts.get();
        while let Some(place) = at {
            let Some(body) = self.zone.at(place) else {
                break;
            };
            bodies.push(place);
            at = body.next.get();
        }
        bodies
    }
}

impl Zone {
    /// Begins a broadcast: its body is written. [`Zone::broadcast_step`] brings it to the channels.
    pub fn broadcast(
        &self,
        worker: WorkerId,
        content: &[u8],
        now: u64,
    ) -> Result<Broadcast, PublishError> {
        // Nothing is evicted for it: it would go to the channels that lose their messages.
        let (shard, mut wake) = (self.commons(), WakeSet::default());
        let written = self.with_room(OnFull::Refuse, shard, &mut wake, |_| {
            let guard = self.lock_commons().ok_or(PublishError::Busy)?;
            guard.reclaim(RECLAIM);
            let written = guard.write_body(content, now, |body| {
                body.slot.set(u32::from(worker.slot));
                body.incarnation.set(worker.incarnation);
                body.over.set(0);
            });
            written.ok_or(PublishError::ZoneFull)
        });
        if written.is_err() {
            self.header().refused_publishes.next();
        }
        let place = written?;
        Ok(Broadcast {
            body: place,
            shard: 0,
            bucket: 0,
            reached: 0,
            missed: 0,
        })
    }

    /// Brings a broadcast to about `budget` channels more; whether all have it. A channel that was
    /// there when it began gets it once; one made meanwhile may.
    pub fn broadcast_step(
        &self,
        job: &mut Broadcast,
        budget: usize,
        limits: &impl ChannelLimits,
        now: u64,
        wake: &mut WakeSet,
    ) -> bool {
        let buckets = self.geometry().buckets as usize;
        let mut left = budget.max(1) * 8;
        while job.shard < self.shard_count() {
            let Some(guard) = self.lock(job.shard, wake) else {
                return false;
            };
            while job.bucket < buckets {
                if left == 0 {
                    return false;
                }
                left -= 1;
                for place in guard.chain(job.bucket) {
                    left = left.saturating_sub(8);
                    let Some(channel) = self.at(place) else {
                        continue;
                    };
                    let limits = limits.of(guard.name(place));
                    if !guard.make_room(channel, limits.channel_buffer_size) {
                        job.missed += 1;
                        continue;
                    }
                    if let Some(count) = self.at(job.body).and_then(|b| b.counts.get(job.shard)) {
                        count.add(1);
                    }
                    guard.append(place, channel, Body::message(job.body));
                    guard.keep_until(place, channel, now + limits.channel_timeout);
                    if limits.message_ttl > 0 {
                        guard.wheel_by(place, channel, now + limits.message_ttl);
                    }
                    guard.mark_dirty(channel, wake);
                    job.reached += 1;
                }
                job.bucket += 1;
            }
            guard.reclaim(64);
            job.bucket = 0;
            job.shard += 1;
        }
        if let Some(body) = self.at(job.body) {
            body.over.set(1);
        }
        self.retire_body_soon(job.body);
        true
    }

    /// Lets a body go that nothing refers to, or has it looked for by the next who expires channels.
    pub(crate) fn retire_body_soon(&self, place: Ref<Body>) {
        match self.lock_commons() {
            Some(commons) => commons.retire_body(place),
            None => self.header().late_bodies.set(1),
        }
    }

    /// Lets go what [`Zone::retire_body_soon`] could not.
    pub(crate) fn retire_late_bodies(&self, wake: &mut WakeSet) {
        if self.header().late_bodies.get() == 0 {
            return;
        }
        if let Some(commons) = self.try_lock(self.commons(), wake) {
            self.header().late_bodies.set(0);
            for place in commons.bodies() {
                commons.retire_body(place);
            }
        }
    }
}
