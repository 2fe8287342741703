//! What all tasks of a run share.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::hub::HubAddress;

use super::ledger::{Attempt, Ledger};

/// Messages that a channel of the roomy hub keeps: more than come in a round.
pub const ROOMY: u64 = 2_000;

/// Messages that a channel of the tight hub keeps: fewer than come in one burst.
pub const TIGHT: u64 = 5;

/// A channel that is followed.
#[derive(Debug)]
pub struct Channel {
    /// Its name.
    pub name: String,
    /// Its hub.
    pub hub: HubAddress,
    /// Whether its subscribers may lose messages, and be told so.
    pub lossy: bool,
    /// Of this round.
    pub ledger: Mutex<Ledger>,
}

impl Channel {
    /// Its ledger.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }
}

/// Sums over a run.
#[derive(Debug, Default)]
pub struct Counts {
    /// Messages that followers received.
    pub delivered: AtomicU64,
    /// Connections of followers that ended politely.
    pub ended: AtomicU64,
    /// Connections of followers that were cut with their worker.
    pub cut: AtomicU64,
    /// Subscribes that were refused with 507.
    pub refused: AtomicU64,
    /// Messages that `lost` told of.
    pub lost: AtomicU64,
}

/// What all tasks share.
#[derive(Debug)]
pub struct World {
    /// All channels that are followed.
    pub channels: Vec<Channel>,
    /// What the one who broadcasts to the roomy hub did in this round.
    pub broadcasts: Mutex<Vec<Attempt>>,
    /// Held by everybody who publishes, and for writing when nobody is to.
    pub traffic: tokio::sync::RwLock<()>,
    /// The number of the round.
    pub round: AtomicU64,
    /// Workers that were killed, or told to die.
    victims: Mutex<HashSet<i32>>,
    /// Grows with each of them.
    pub kills: AtomicU64,
    /// Grows with each step of a reload.
    pub reloads: AtomicU64,
    /// Whether workers of an older configuration may be there.
    pub reloading: AtomicBool,
    /// Sums.
    pub counts: Counts,
}

/// A lock whose holder never leaves it half done.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    /// A world in which nothing has happened.
    pub fn new(channels: Vec<Channel>) -> Self {
        Self {
            channels,
            broadcasts: Mutex::default(),
            traffic: tokio::sync::RwLock::default(),
            round: AtomicU64::new(0),
            victims: Mutex::default(),
            kills: AtomicU64::new(0),
            reloads: AtomicU64::new(0),
            reloading: AtomicBool::new(false),
            counts: Counts::default(),
        }
    }

    /// Notes that a worker is about to be killed: its clients may be quicker than we are.
    pub fn condemn(&self, worker: i32) {
        lock(&self.victims).insert(worker);
        self.kills.fetch_add(1, Relaxed);
    }

    /// Whether it was killed, or told to die.
    pub fn is_condemned(&self, worker: i32) -> bool {
        lock(&self.victims).contains(&worker)
    }

    /// Notes a step of a reload.
    pub fn reload(&self) {
        self.reloading.store(true, Relaxed);
        self.reloads.fetch_add(1, Relaxed);
    }
}
