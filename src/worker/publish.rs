//! Publishing, whoever asks for it: a publisher's endpoint, the JSON API, a WebSocket, a log phase.

use std::rc::Rc;

use icomet_engine::{Once, PublishError, PublishedOnce};

use super::Worker;
use crate::config::hub::Hub;
use crate::ffi::event;

impl Worker {
    /// Publishes content, the inside of a JSON string, to a channel of that hub; with `once` unless it was
    /// done before. Rings at other workers and tells the hub's hooks. None: the hub is not this worker's.
    pub fn publish(
        &mut self,
        hub: &Rc<Hub>,
        name: &str,
        content: &[u8],
        once: Option<&Once<'_>>,
    ) -> Option<Result<PublishedOnce, PublishError>> {
        let index = self.hub_index(hub)?;
        let zone = self.hubs.get(index)?.zone;
        let (channel, limits, now) = (name.as_bytes(), &hub.limits, event::now());
        let wakes = &mut self.wakes;
        let done = match once {
            Some(once) => zone.publish_once(channel, content, once, limits, now, wakes),
            None => {
                let published = zone.publish(channel, content, limits, now, wakes);
                published.map(PublishedOnce::from)
            }
        };
        self.ring_gathered();
        if let Ok(done) = &done
            && !done.repeated
        {
            self.tell_publish(index, name, content.len(), &done.published);
        }
        Some(done)
    }
}
