//! A hub as one worker serves it.

use std::collections::VecDeque;
use std::rc::Rc;

use icomet_engine::{ChannelRef, DirtyList, WorkerId, Zone};
use icomet_protocol::resume::Epoch;
use rustc_hash::FxHashMap;

use super::broadcast::BroadcastJob;
use super::channel::LocalChannel;
use super::fanout::Job;
use super::presence::Presence;
use super::users::Orders;
use crate::config::hub::Hub;
use crate::ffi::event;
use icomet_tables::Slab;

/// A hub on this worker: the channels that have subscribers here, and the work on its way.
pub struct AttachedHub {
    /// Its configuration; the newest that this process knows.
    pub hub: Rc<Hub>,
    /// Its zone.
    pub zone: Zone,
    /// The channels with subscribers on this worker.
    pub channels: Slab<LocalChannel>,
    /// The same, by the engine's reference.
    pub by_reference: FxHashMap<ChannelRef, u32>,
    /// Channels that got something, taken from the zone and not looked at yet.
    pub dirty: Option<DirtyList>,
    /// Channels to look at although nothing says they got something.
    pub to_look_at: VecDeque<u32>,
    /// Fan-outs on their way, served in turn.
    pub jobs: VecDeque<Box<Job>>,
    /// Who listens to channels coming and going.
    pub presence: Presence,
    /// Broadcasts on their way.
    pub broadcasts: Slab<BroadcastJob>,
    /// Whose subscribers were ordered to end.
    pub orders: Orders,
    /// What the zone had said of repairs when it was last logged.
    pub repairs_logged: u64,
}

impl AttachedHub {
    /// Attaches a worker to a hub.
    pub fn attach(hub: Rc<Hub>, zone: Zone, worker: WorkerId) -> AttachedHub {
        let before = zone.orders();
        zone.attach(worker, &hub.limits, event::now());
        let orders = Orders::new(before, zone.orders());
        AttachedHub {
            hub,
            zone,
            channels: Slab::default(),
            by_reference: FxHashMap::default(),
            dirty: None,
            to_look_at: VecDeque::new(),
            jobs: VecDeque::new(),
            presence: Presence::default(),
            broadcasts: Slab::default(),
            orders,
            repairs_logged: 0,
        }
    }

    /// Index of a channel that this worker is registered on, in that incarnation; `next` is where its fan-out begins if it is
    /// new here.
    pub fn local(&mut self, reference: ChannelRef, name: &str, incarnation: u64, next: u64) -> u32 {
        let epoch = self.epoch(incarnation);
        *self.by_reference.entry(reference).or_insert_with(|| {
            self.channels
                .insert(LocalChannel::new(reference, name, epoch, next))
        })
    }

    /// What the seqs of a channel of that incarnation belong to.
    pub fn epoch(&self, incarnation: u64) -> Epoch {
        Epoch {
            zone: self.zone.epoch(),
            incarnation,
        }
    }

    /// Whether the fan-out has more to do.
    pub fn has_work(&self) -> bool {
        self.dirty.is_some()
            || !self.to_look_at.is_empty()
            || !self.jobs.is_empty()
            || !self.broadcasts.is_empty()
            || self.presence.has_work()
    }
}
