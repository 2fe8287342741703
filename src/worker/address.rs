//! `max_subscribers_per_ip`: who waits is counted for its client's address, in the hub's zone.
//!
//! A subscriber that is held or parked here is in [`Counted`] as long as it is in the worker's tables,
//! if the hub has the limit; without the limit nothing is kept of anybody.

use icomet_engine::{Admission, ClientAddress, EnterError, SubscribeError, WakeSet};
use icomet_protocol::frame::Transport;
use rustc_hash::FxHashMap;

use super::Worker;
use super::subscribe::{Ask, Outcome};
use crate::sink::Held;

/// The subscribers of this worker that are counted for an address, by their index.
#[derive(Default)]
pub struct Counted(FxHashMap<u32, Admission>);

impl Worker {
    /// Subscribes, unless the client's address has as many subscribers as it may.
    pub fn admit(&mut self, ask: &Ask<'_>, address: Option<ClientAddress>, held: Held) -> Outcome {
        let max = self
            .hubs
            .get(ask.hub)
            .map_or(0, |attached| attached.hub.max_subscribers_per_ip);
        // Who asks for what there is now, and for nothing else, does not wait.
        let waits = ask.transport != Transport::LongPoll || ask.wait != Some(0);
        let Some(address) = address.filter(|_| max > 0 && waits) else {
            return self.subscribe(ask, held);
        };
        let admission = match self.enter(ask.hub, address, max) {
            Ok(Some(admission)) => admission,
            Ok(None) => return self.subscribe(ask, held),
            Err(EnterError::TooMany) => return Outcome::Crowded(address),
            Err(EnterError::Busy) => return Outcome::Refused(SubscribeError::Busy),
            Err(EnterError::ZoneFull) => return Outcome::Refused(SubscribeError::ZoneFull),
        };
        let outcome = self.subscribe(ask, held);
        match (&outcome, self.hubs.get(ask.hub)) {
            (Outcome::Held(index, ..), _) => _ = self.counted.0.insert(*index, admission),
            (_, Some(attached)) => attached.zone.leave(admission),
            (_, None) => {}
        }
        outcome
    }

    /// Counts a subscriber that is in the tables already, whatever the limit says: one that another
    /// worker had let in. Without the limit, or memory, it is not counted.
    pub fn readmit(&mut self, hub: usize, index: u32, address: ClientAddress) {
        let limited = self
            .hubs
            .get(hub)
            .is_some_and(|attached| attached.hub.max_subscribers_per_ip > 0);
        if limited && let Ok(Some(admission)) = self.enter(hub, address, u32::MAX) {
            self.counted.0.insert(index, admission);
        }
    }

    /// The subscriber of that index leaves: its address may have another.
    pub fn leave(&mut self, hub: usize, index: u32) {
        if self.counted.0.is_empty() {
            return;
        }
        let admission = self.counted.0.remove(&index);
        if let (Some(admission), Some(attached)) = (admission, self.hubs.get(hub)) {
            attached.zone.leave(admission);
        }
    }

    fn enter(
        &mut self,
        hub: usize,
        address: ClientAddress,
        max: u32,
    ) -> Result<Option<Admission>, EnterError> {
        let mut wake = WakeSet::default();
        let Some(attached) = self.hubs.get(hub) else {
            return Ok(None);
        };
        let limits = &attached.hub.limits;
        let entered = attached
            .zone
            .enter(self.id, address, max, limits, &mut wake);
        self.ring(&wake);
        entered.map(Some)
    }
}
