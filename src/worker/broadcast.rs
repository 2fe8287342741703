//! A broadcast to all channels of a hub, in slices, so that a hundred thousand of them do not hold
//! up the loop. The publisher is answered when every channel has it.

use icomet_engine::{Broadcast, PublishError, WakeSet};
use icomet_protocol::frame;

use super::{Worker, with};
use crate::answer::Answer;
use crate::context::Owner;
use crate::ffi::request::Request;
use crate::ffi::{event, log};

/// Channels in one step.
const CHANNELS: usize = 256;

/// A broadcast on its way, and who waits for it.
pub struct BroadcastJob {
    job: Broadcast,
    /// None when the publisher has gone.
    request: Option<Request>,
}

/// A broadcast that is over.
pub struct Done {
    request: Option<Request>,
    /// Channels that had no memory for it.
    missed: u64,
}

impl Done {
    /// Answers the publisher.
    pub fn answer(self) {
        let Some(request) = self.request else {
            return;
        };
        let Some(context) = request.context() else {
            return;
        };
        context.owner.set(Owner::None);
        let answer = if self.missed == 0 {
            let mut body = Vec::new();
            frame::broadcast_done(&mut body);
            Answer::new(200, "text/html", body)
        } else {
            log::zone_full(&context.hub.name);
            let text = format!(
                "the zone is full: {} channels did not get the broadcast",
                self.missed
            );
            Answer::error(507, "", &text)
        };
        request.finalize(answer.send(request, context));
    }
}

/// The publisher has gone; its broadcast goes on.
pub fn gone(hub: usize, index: u32) {
    with(|worker| {
        let attached = worker.hubs.get_mut(hub)?;
        attached.broadcasts.get_mut(index)?.request = None;
        Some(())
    });
}

impl Worker {
    /// Begins a broadcast of content that is JSON-escaped; the index is for its [`Owner`].
    pub fn broadcast(
        &mut self,
        hub: usize,
        content: &[u8],
        request: Request,
    ) -> Result<u32, PublishError> {
        let attached = self.hubs.get_mut(hub).ok_or(PublishError::ZoneFull)?;
        if content.len() > attached.hub.limits.hub.max_message_size {
            return Err(PublishError::MessageTooLarge);
        }
        let job = attached.zone.broadcast(self.id, content, event::now())?;
        let index = attached.broadcasts.insert(BroadcastJob {
            job,
            request: Some(request),
        });
        self.keep_ticking();
        self.fanout.post();
        self.tell_broadcast(hub, content.len());
        Ok(index)
    }

    /// One step of the hub's first broadcast; `None` when there is none.
    pub fn step_broadcast(&mut self, hub: usize) -> Option<Option<Done>> {
        let attached = &mut self.hubs[hub];
        // Asked at each turn of the fan-out, and almost never is there one.
        if attached.broadcasts.is_empty() {
            return None;
        }
        let end = attached.broadcasts.capacity();
        let index = (0..end).find(|index| attached.broadcasts.get(*index).is_some())?;
        let broadcast = attached.broadcasts.get_mut(index)?;
        let mut wake = WakeSet::default();
        let limits = &attached.hub.limits;
        let now = event::now();
        let done =
            attached
                .zone
                .broadcast_step(&mut broadcast.job, CHANNELS, limits, now, &mut wake);
        let missed = broadcast.job.missed;
        let finished = done.then(|| {
            let request = attached
                .broadcasts
                .remove(index)
                .and_then(|job| job.request);
            Done { request, missed }
        });
        self.ring(&wake);
        Some(finished)
    }
}
