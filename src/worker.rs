//! A worker process: who is subscribed on it, and what it owes them.
//!
//! All state of a worker stands in one [`Worker`], reached by [`with`]. No call into nginx is made
//! inside [`with`]: nginx may call back (a request's cleanup), and that must find the state whole.
//! So each step takes out what is to be done, and does it afterwards.

pub mod address;
pub mod ahead;
pub mod attached;
pub mod broadcast;
pub mod channel;
pub mod delivery;
pub mod doorbell;
pub mod failing;
pub mod fanout;
pub mod frames;
pub mod generation;
pub mod handover;
pub mod hooks;
pub mod housekeeping;
pub mod idle;
pub mod input;
pub mod leaving;
pub mod life;
pub mod many;
pub mod parking;
pub mod presence;
pub mod publish;
pub mod record;
pub mod shutdown;
pub mod subscribe;
pub mod subscriber;
pub mod told;
pub mod turn;
pub mod users;
pub mod websocket;
pub mod wheel;

use core::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use icomet_engine::{Bell, Registry, WakeSet, WorkerId};

use crate::config::hub::Hub;
use crate::endpoint::api::publish::Waiting;
use crate::ffi::event::Event;
use attached::AttachedHub;
use handover::Handover;
use icomet_tables::{Slab, Turns};
use parking::Rest;
use record::Records;
use rustc_hash::FxHashMap;
use subscriber::Subscriber;
use wheel::Wheel;

/// The state of this worker process.
pub struct Worker {
    /// Its place among all workers, of this generation and others.
    pub id: WorkerId,
    /// Who of them lives.
    pub registry: Registry,
    /// How it is woken, and wakes them.
    pub doorbell: Bell,
    /// The hubs it serves; an index stays valid.
    pub hubs: Vec<AttachedHub>,
    /// All subscribers that are held here.
    pub subscribers: Slab<Subscriber>,
    /// Their idle times.
    pub wheel: Wheel,
    /// JSONP callbacks of those who have one.
    pub callbacks: FxHashMap<u32, Box<str>>,
    /// What clients of WebSockets have sent of something incomplete.
    pub inputs: input::Inputs,
    /// What this turn of the loop has spent on those who ask for several channels.
    pub spent: turn::Spent,
    /// Who of them is to be read from, and who has to wait for it.
    pub listening: Turns,
    /// The channels of those who have several.
    pub many: FxHashMap<u32, many::Many>,
    /// Who of them is whose.
    pub users: users::Users,
    /// Those who are counted for their addresses.
    pub counted: address::Counted,
    /// What is kept of the requests of those who are parked.
    pub records: Records,
    /// What those of them who are slow have not taken yet.
    pub rests: FxHashMap<u32, Rest>,
    /// Those whose requests are to be given back when nginx is done with their handlers.
    pub to_park: Vec<u32>,
    /// Subscribers that have more to be sent than one turn allowed.
    pub resume: VecDeque<u32>,
    /// Subscribers that could not be looked at, because a worker holds the zone; housekeeping resumes them.
    pub late: Vec<u32>,
    /// Subscribers that heard nothing for too long; they are out of the wheel.
    pub overdue: VecDeque<u32>,
    /// Turns taken in the fan-out, so that its kinds of work take turns.
    pub turns: usize,
    /// Index of the hub whose turn it is in the fan-out.
    pub turn_of: usize,
    /// Older and newer workers, and who moves between them.
    pub handover: Handover,
    /// Publishes of the API that go on in a later turn.
    pub publishing: Slab<Waiting>,
    /// How far a graceful exit has come.
    pub drain: Option<shutdown::Drain>,
    /// Who is told what happens here.
    pub hooks: Option<hooks::Hooks>,
    /// Whom this turn of the loop has made something for.
    pub wakes: WakeSet,
    /// Runs [`doorbell::icomet_on_wakes`].
    pub bell: Event,
    /// Runs [`fanout::turn`].
    pub fanout: Event,
    /// Runs [`input::icomet_on_input`].
    pub input: Event,
    /// Runs [`input::icomet_on_input_timer`].
    pub input_timer: Event,
    /// Runs [`turn::icomet_on_turn`].
    pub turn: Event,
    /// Runs [`crate::endpoint::api::publish::icomet_on_publishing`].
    pub publish: Event,
    /// Runs [`parking::icomet_on_park`].
    pub park: Event,
    /// Runs [`handover::moving::icomet_on_moving`].
    pub moving: Event,
    /// Runs [`idle::icomet_on_tick`]; set only while somebody is held, so that an idle worker sleeps.
    pub tick: Event,
    /// Runs [`housekeeping::run`].
    pub housekeeping: Event,
}

thread_local! {
    static WORKER: RefCell<Option<Worker>> = const { RefCell::new(None) };
}

/// Works on this process's state; `None` in a process that serves nothing (master, cache manager),
/// or when called from inside itself: that is an error of ours, after which this worker ends.
#[track_caller]
pub fn with<R>(work: impl FnOnce(&mut Worker) -> R) -> Option<R> {
    let place = core::panic::Location::caller();
    WORKER.with(|cell| match cell.try_borrow_mut() {
        Ok(mut worker) => worker.as_mut().map(work),
        Err(_) => {
            failing::entered_twice(place);
            None
        }
    })
}

/// Makes this process a worker.
fn install(worker: Worker) {
    WORKER.with(|cell| *cell.borrow_mut() = Some(worker));
}

/// Ends this process's work.
fn uninstall() -> Option<Worker> {
    WORKER.with(|cell| cell.borrow_mut().take())
}

impl Worker {
    /// The index of a hub on this worker, which is attached on first use (a reload without worker
    /// processes brings new hubs to an old process).
    pub fn hub_index(&mut self, hub: &Rc<Hub>) -> Option<usize> {
        let known = self
            .hubs
            .iter()
            .position(|attached| Rc::ptr_eq(&attached.hub, hub));
        if known.is_some() {
            return known;
        }
        let zone = hub.zone.get()?;
        let same = self
            .hubs
            .iter_mut()
            .position(|attached| attached.zone.is_same(&zone));
        if let Some(index) = same {
            self.hubs[index].hub = Rc::clone(hub);
            return Some(index);
        }
        self.hubs
            .push(AttachedHub::attach(Rc::clone(hub), zone, self.id));
        Some(self.hubs.len() - 1)
    }

    /// Wakes the workers that an operation has made something for: once, at the end of this turn of
    /// the loop, however many operations there are in it.
    pub fn ring(&mut self, wake: &WakeSet) {
        self.wakes.merge(wake);
        self.ring_gathered();
    }

    /// The same for what an operation has put into `wakes`.
    pub fn ring_gathered(&mut self) {
        self.tell_changes();
        if !self.wakes.is_empty() {
            self.bell.post_now();
        }
    }

    /// Whether anything is held here that a timer must look after.
    pub fn is_holding(&self) -> bool {
        !self.subscribers.is_empty()
            || !self.publishing.is_empty()
            || self.handover.is_busy()
            || self
                .hubs
                .iter()
                .any(|hub| !hub.presence.is_empty() || !hub.broadcasts.is_empty())
    }

    /// Sets the tick's timer, if somebody is held and it is not set.
    pub fn keep_ticking(&self) {
        if self.is_holding() && !self.tick.has_timer() {
            self.tick.set_timer(wheel::SLOT);
        }
    }
}
