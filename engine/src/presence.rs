//! Presence: each shard's log of channels coming and going.
//!
//! The log is a channel in no hash chain. An event is appended in the critical section that makes or
//! frees the channel, so the events of one channel are in order, and none is lost while the log has a
//! listener. Without listeners nothing is written.

use crate::cell::Ref;
use crate::channel::{Channel, ChannelRef, LOG};
use crate::journal;
use crate::limits::ChannelLimits;
use crate::message::Kind;
use crate::publication::Options;
use crate::reading::SubscribeError;
use crate::registry::WorkerId;
use crate::shard::Guard;
use crate::wake::WakeSet;
use crate::zone::Zone;

/// Events that a log keeps.
const EVENTS: u32 = 1024;

impl Guard<'_> {
    /// Notes an event for this process ([`crate::journal`]), and appends it, if somebody listens. Without memory the oldest event goes for it, or the
    /// event is left out: the lines that are repeated each channel_timeout mend that.
    pub(crate) fn tell(&self, kind: Kind, name: &[u8], wake: &mut WakeSet) {
        journal::note(self.zone, kind, name);
        let Some((place, log)) = self
            .shard
            .log
            .get()
            .and_then(|at| Some((at, self.zone.at(at)?)))
        else {
            return;
        };
        if log.subscribers.get() == 0 {
            return;
        }
        let options = Options::default();
        let message = self.new_message(kind, name, &options, 0).or_else(|| {
            self.drop_oldest(log);
            self.reclaim(8);
            self.new_message(kind, name, &options, 0)
        });
        let Some(message) = message else { return };
        if self.make_room(log, EVENTS) {
            self.append(place, log, message);
            self.mark_dirty(log, wake);
        } else {
            self.free_message(message);
        }
    }

    fn log(&self) -> Option<Ref<Channel>> {
        if let Some(log) = self.shard.log.get() {
            return Some(log);
        }
        let (place, _) = self.write_channel(0, b"", LOG, 0, 0)?;
        self.shard.log.set(Some(place));
        Some(place)
    }
}

impl Zone {
    /// Listens to the log of shard `index`; its channel, and the seq of the next event.
    pub fn presence_log(
        &self,
        worker: WorkerId,
        index: usize,
        _limits: &impl ChannelLimits,
        _now: u64,
    ) -> Result<(ChannelRef, u64), SubscribeError> {
        let guard = self
            .lock(index, &mut WakeSet::default())
            .ok_or(SubscribeError::Busy)?;
        let place = guard.log().ok_or(SubscribeError::ZoneFull)?;
        let log = self.at(place).ok_or(SubscribeError::ZoneFull)?;
        if log.subscribers.get() == 0 {
            guard.drop_all(log);
        }
        if !guard.register(place, log, worker.slot) {
            return Err(SubscribeError::ZoneFull);
        }
        Ok((ChannelRef(place.units()), log.next.get()))
    }
}
