//! Publishing, whoever asks for it: a publisher's endpoint, the JSON API, a WebSocket, a log phase.

use std::rc::Rc;

use icomet_engine::{Publication, PublishError, Published};

use super::Worker;
use crate::config::hub::Hub;
use crate::ffi::event;

impl Worker {
    /// Publishes to a channel of that hub; the content is the inside of a JSON string. Rings at other workers and tells the hub's hooks. None: the hub is not this worker's.
    pub fn publish(
        &mut self,
        hub: &Rc<Hub>,
        name: &str,
        publication: &Publication<'_>,
    ) -> Option<Result<Published, PublishError>> {
        let index = self.hub_index(hub)?;
        let zone = self.hubs.get(index)?.zone;
        let (channel, limits, now) = (name.as_bytes(), &hub.limits, event::now());
        let wakes = &mut self.wakes;
        let done = zone.publish(channel, *publication, limits, now, wakes);
        self.ring_gathered();
        if let Ok(done) = &done
            && !done.repeated
        {
            self.tell_publish(index, name, publication.content.len(), done);
        }
        Some(done)
    }
}
