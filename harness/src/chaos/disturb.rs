//! What happens to the server and its clients during a round.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use fastrand::Rng;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::http::HttpError;
use crate::hub::{Admin, HubAddress};
use crate::nginx::Nginx;
use crate::process::{DISARM, orders, signal, signal_with};
use crate::wait::{self, within};

use super::follower::{Follower, Rudeness};
use super::options::Options;
use super::world::World;

/// The order to check the zones.
const VERIFY: i32 = -2;

/// The order to panic before the first store of the next housekeeping; less for later ones.
const PANIC: i32 = -16;

/// A worker told to panic does so before one of so many stores, or at the end.
const PANIC_STORES: i32 = 60;

/// A worker told to die does so before one of so many stores.
const STORES: i32 = 3_000;

/// How long a worker is stopped.
const STOPPED: Duration = Duration::from_secs(2);

/// What may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// `kill -9` of a worker.
    Kill,
    /// A worker dies inside the engine.
    Fault,
    /// A worker panics in its housekeeping, mostly inside the engine.
    Panic,
    /// SIGSTOP of a worker, and SIGCONT two seconds later.
    Stop,
    /// `nginx -s reload`.
    Reload,
    /// The roomy hub's zone is filled, and emptied again.
    Flood,
    /// Clients cut themselves off.
    Cut,
}

impl Event {
    /// All of them.
    pub const ALL: [Event; 7] = [
        Event::Kill,
        Event::Fault,
        Event::Panic,
        Event::Stop,
        Event::Reload,
        Event::Flood,
        Event::Cut,
    ];

    /// The event of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.name() == name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Event::Kill => "kill",
            Event::Fault => "fault",
            Event::Panic => "panic",
            Event::Stop => "stop",
            Event::Reload => "reload",
            Event::Flood => "flood",
            Event::Cut => "cut",
        }
    }
}

/// Sees to it that a stopped worker goes on, whatever happens.
struct Stopped(i32);

impl Drop for Stopped {
    fn drop(&mut self) {
        signal(self.0, libc::SIGCONT);
    }
}

/// Who disturbs.
pub struct Disturber {
    /// The server.
    pub nginx: Arc<Nginx>,
    /// What it shares with the clients.
    pub world: Arc<World>,
    /// Whom it orders to misbehave.
    pub followers: Vec<Follower>,
    /// Its choices.
    pub rng: Rng,
    /// How often each event happened.
    pub happened: [u64; Event::ALL.len()],
    /// Workers that are stopped, floods under way.
    under_way: JoinSet<Result<()>>,
    flooded: u64,
    /// Held by a flood under way.
    flooding: Arc<tokio::sync::Mutex<()>>,
}

impl Disturber {
    /// One who has done nothing yet.
    pub fn new(nginx: Arc<Nginx>, world: Arc<World>, followers: Vec<Follower>, rng: Rng) -> Self {
        Self {
            nginx,
            world,
            followers,
            rng,
            happened: [0; Event::ALL.len()],
            under_way: JoinSet::new(),
            flooded: 0,
            flooding: Arc::default(),
        }
    }

    /// Disturbs for a round, and waits until what takes longer is over.
    pub async fn round(&mut self, options: &Options) -> Result<()> {
        let events = options.events();
        let end = Instant::now() + options.round;
        for _ in 0..options.each {
            // How far apart things happen is part of the load: nothing is waited for.
            sleep(Duration::from_millis(self.rng.u64(50..800))).await;
            if Instant::now() >= end {
                break;
            }
            let Some(event) = self.rng.choice(events.iter().copied()) else {
                continue;
            };
            let place = Event::ALL.iter().position(|one| *one == event);
            if self.happen(event).await? {
                self.happened[place.unwrap_or(0)] += 1;
            }
        }
        let under_way = std::mem::take(&mut self.under_way);
        wait::all("what was under way", under_way).await?;
        for pid in self.nginx.processes() {
            if self.world.is_condemned(pid) && options.fault {
                signal_with(pid, orders(), DISARM);
            }
        }
        Ok(())
    }

    /// Lets an event happen; whether it did.
    async fn happen(&mut self, event: Event) -> Result<bool> {
        match event {
            Event::Kill => {
                // One in four may be of the old generation, or hardly born.
                let workers = match self.rng.u8(0..4) {
                    0 => self.nginx.processes(),
                    _ => self.nginx.serving_workers(),
                };
                let Some(worker) = self.rng.choice(workers) else {
                    return Ok(false);
                };
                self.world.condemn(worker);
                Ok(signal(worker, libc::SIGKILL))
            }
            Event::Fault => {
                // Those alone know the signal.
                let Some(worker) = self.rng.choice(self.nginx.serving_workers()) else {
                    return Ok(false);
                };
                self.world.condemn(worker);
                Ok(signal_with(worker, orders(), self.rng.i32(0..STORES)))
            }
            Event::Panic => {
                let Some(worker) = self.rng.choice(self.nginx.serving_workers()) else {
                    return Ok(false);
                };
                self.world.condemn(worker);
                // It sends its clients away as at a reload.
                self.world.reload();
                let order = PANIC - self.rng.i32(0..PANIC_STORES);
                Ok(signal_with(worker, orders(), order))
            }
            Event::Stop => {
                let Some(worker) = self.rng.choice(self.nginx.serving_workers()) else {
                    return Ok(false);
                };
                let stopped = Stopped(worker);
                let stops = signal(worker, libc::SIGSTOP);
                self.under_way.spawn(async move {
                    sleep(STOPPED).await;
                    drop(stopped);
                    Ok(())
                });
                Ok(stops)
            }
            Event::Reload => {
                self.world.reload();
                self.nginx.send("reload").await?;
                self.world.reload();
                Ok(true)
            }
            Event::Flood => {
                // Two at once would let go what the other is filling.
                let Ok(alone) = Arc::clone(&self.flooding).try_lock_owned() else {
                    return Ok(false);
                };
                self.flooded += 1;
                let flood = flood(self.world.channels[0].hub, self.flooded);
                self.under_way.spawn(async move {
                    let _alone = alone;
                    flood.await
                });
                Ok(true)
            }
            Event::Cut => {
                for _ in 0..self.rng.usize(1..30) {
                    let rudeness = match self.rng.u8(0..3) {
                        0 => Rudeness::Reset,
                        1 => Rudeness::HalfClose,
                        _ => Rudeness::MidFrame,
                    };
                    let follower = self.rng.usize(0..self.followers.len());
                    self.followers[follower].order(rudeness);
                }
                Ok(true)
            }
        }
    }
}

/// Has a worker check all zones.
pub fn verify(worker: i32) -> Result<()> {
    ensure!(signal_with(worker, orders(), VERIFY), "no worker to verify");
    Ok(())
}

/// Channels of one flood: enough to come to every shard.
const WATERS: usize = 256;

/// Bytes of a flood's messages: first of many pages, then of the single pages that are left between
/// others, then such as fit into begun pages.
const WAVES: [usize; 3] = [32_000, 3_000, 20];

/// Refusals after which a zone counts as full.
const REFUSED: usize = 40;

/// More messages than any zone of ours holds.
const ENOUGH: usize = 20_000;

/// Fills the zone until publishes are refused, keeps it so for a moment, and lets it go.
async fn flood(hub: HubAddress, number: u64) -> Result<()> {
    let mut admin = Admin::new(hub);
    let name = |index: usize| format!("water-{number}-{}", index % WATERS);
    for wave in WAVES {
        let content = "w".repeat(wave);
        let mut refused = 0;
        for index in 0..ENOUGH {
            let name = name(index);
            let push = async { Ok::<_, HttpError>(admin.push(&name, &content).await) };
            match within("flood", push).await? {
                Ok(()) | Err(HttpError::Cut(_)) => {}
                Err(HttpError::Refused(_)) => refused += 1,
                Err(error) => bail!(error),
            }
            if refused == REFUSED {
                break;
            }
        }
        ensure!(refused == REFUSED, "the zone does not get full");
    }
    sleep(Duration::from_millis(300)).await;
    for index in 0..WATERS {
        let target = format!("{}?cname={}", hub.admin("close"), name(index));
        let response = admin.ask(&target).await?;
        ensure!(
            matches!(response.head.status, 200 | 404),
            "close: {}",
            response.head.status
        );
    }
    Ok(())
}
