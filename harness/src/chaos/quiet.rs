//! What must be true when a round is over and everything has come to rest.

use std::sync::atomic::Ordering::Relaxed;

use anyhow::{Context, Result, bail, ensure};

use crate::http::HttpError;
use crate::hub::{Admin, HubAddress};
use crate::nginx::{Nginx, alarming};
use crate::wait::{until, within};

use super::HUBS;
use super::disturb::{Disturber, verify};
use super::ledger::{Outcome, Totals};
use super::memory::{Level, Memory};
use super::options::Options;
use super::scramble;
use super::traffic::PUBLISHERS;
use super::world::{Channel, World, lock};

/// Channels made and closed in each hub, so that every shard's lock is taken and given back.
const LOCKS: usize = 64;

/// Who looks, and what it has seen so far.
#[derive(Debug)]
pub struct Quiet {
    /// Followers of the roomy and of the tight hub, each counted for each of its channels.
    subscribers: [usize; 2],
    /// The hub whose channels come and go.
    brief: HubAddress,
    /// How far the log was read.
    log: u64,
    /// How often a lock's holder had died, as a worker that verified the zones said.
    pub repairs: u64,
    /// As it was last.
    pub memory: Memory,
    level: Level,
}

impl Quiet {
    /// Nothing seen yet.
    pub fn new(subscribers: [usize; 2], brief: HubAddress) -> Self {
        Self {
            subscribers,
            brief,
            log: 0,
            repairs: 0,
            memory: Memory::default(),
            level: Level::default(),
        }
    }

    /// Comes to rest and checks everything.
    pub async fn check(
        &mut self,
        disturber: &Disturber,
        options: &Options,
        round: u64,
    ) -> Result<Totals> {
        let (world, nginx) = (&disturber.world, &disturber.nginx);
        // Nobody publishes, comes or goes from here on.
        let _silence = within("publishes under way end", async {
            Ok::<_, HttpError>(world.traffic.write().await)
        })
        .await?;
        // Who has panicked does not stay.
        nginx.renewed(&failed(&nginx.log_from(self.log)?)).await?;
        world.reloads.fetch_add(1, Relaxed);
        world.reloading.store(false, Relaxed);

        for number in probes(round) {
            probe(disturber, number, number == *probes(round).end()).await?;
        }
        let totals = close(world, round)?;
        let [roomy, tight] = ends(world).map(|channel| channel.hub);
        for hub in [roomy, tight] {
            locks(&mut Admin::new(hub)).await?;
        }
        self.counts(world, Admin::new(roomy), Admin::new(tight))
            .await?;
        scramble::over(self.brief).await?;
        connections(disturber, Admin::new(roomy)).await?;
        if options.fault {
            self.verified(nginx).await?;
        }
        self.read_log(nginx, world)?;
        self.memory = Memory::now(nginx);
        self.level.check(round, self.memory, options.growth)?;
        Ok(totals)
    }

    /// `info` says what is true.
    pub async fn counts(&self, world: &World, mut roomy: Admin, mut tight: Admin) -> Result<()> {
        for (admin, subscribers) in [&mut roomy, &mut tight].into_iter().zip(self.subscribers) {
            let name = admin.hub().name;
            let channels = world.channels.iter();
            let count = channels.filter(|channel| channel.hub.name == name).count();
            let admin = tokio::sync::Mutex::new(admin);
            until("counts are right", || async {
                let info = admin.lock().await.info().await?;
                let want = (count as u64, subscribers as u64);
                Ok((info != want).then(|| {
                    format!("{info:?} channels and subscribers counted, {want:?} are there")
                }))
            })
            .await?;
        }
        Ok(())
    }

    /// Nothing alarming but what was done on purpose.
    fn read_log(&mut self, nginx: &Nginx, world: &World) -> Result<()> {
        let log = nginx.log_from(self.log)?;
        self.log += log.len() as u64;
        let told: Option<Vec<u64>> = HUBS.iter().map(|hub| repairs(&log, hub)).collect();
        if let Some(told) = told {
            self.repairs = told.iter().sum();
        }
        let bad: Vec<_> = alarming(&log, &[])
            .into_iter()
            .filter(|line| !on_purpose(line, world))
            .collect();
        if let Some(first) = bad.first() {
            bail!("{} alarming lines in error.log, first: {first}", bad.len());
        }
        Ok(())
    }

    /// Has a worker check the zones, and waits until it has said so.
    async fn verified(&self, nginx: &Nginx) -> Result<()> {
        let worker = *nginx.serving_workers().first().context("no worker")?;
        verify(worker)?;
        until("the zones are verified", || async {
            let log = nginx.log_from(self.log)?;
            let missing: Vec<_> = HUBS
                .into_iter()
                .filter(|name| {
                    !log.contains(&format!("hub \"{name}\" verified"))
                        && !log.contains(&format!("hub \"{name}\" is broken"))
                })
                .collect();
            Ok((!missing.is_empty()).then(|| format!("not {missing:?}")))
        })
        .await
    }
}

/// Whether killing makes nginx write this line: one for each worker killed, and those about talking to
/// one that is dead and was not replaced yet.
fn on_purpose(line: &str, world: &World) -> bool {
    // 2026/01/01 00:00:00 [alert] 7#7: worker process 9 exited on signal 9
    let worker = line
        .split_once("worker process ")
        .and_then(|(_, rest)| rest.strip_suffix(" exited on signal 9"))
        .and_then(|pid| pid.parse().ok());
    match worker {
        Some(worker) => world.is_condemned(worker),
        None => {
            world.kills.load(Relaxed) > 0 && line.contains("sendmsg() failed")
                || line.starts_with("thread ") && line.contains(" panicked at ")
                || FAILING.iter().any(|text| line.contains(text))
                    && process(line).is_some_and(|worker| world.is_condemned(worker))
        }
    }
}

/// What a worker says that has panicked because it was asked to, and with it the requests it gave up.
const FAILING: [&str; 4] = [
    "internal error in ",
    "this worker ends after an internal error",
    "open socket #",
    "aborting",
];

/// The process that wrote a line of the log.
fn process(line: &str) -> Option<i32> {
    let (_, rest) = line.split_once("[alert] ")?;
    rest.split_once('#')?.0.parse().ok()
}

/// The workers that have panicked.
fn failed(log: &str) -> Vec<i32> {
    let lines = log.lines();
    let lines = lines.filter(|line| line.contains("internal error in "));
    lines.filter_map(process).collect()
}

/// What may stand in the log of a whole run, which was looked at after each round already.
pub fn allowed(world: &World) -> Vec<&'static str> {
    match world.kills.load(Relaxed) {
        0 => Vec::new(),
        _ => [
            &["exited on signal 9", "sendmsg() failed", " panicked at "][..],
            &FAILING,
        ]
        .concat(),
    }
}

/// How often a hub was repaired, as the last worker that verified it said.
fn repairs(log: &str, hub: &str) -> Option<u64> {
    let sign = format!("hub \"{hub}\" verified: ");
    let line = log.lines().rfind(|line| line.contains(&sign))?;
    let (_, rest) = line.split_once(", repaired ")?;
    rest.split(' ').next()?.parse().ok()
}

/// Messages that follow one another after a round, each when everybody has the one before: traffic
/// would hide a wake-up that was lost.
const PROBES: u64 = 6;

/// The numbers of a round's probes.
fn probes(round: u64) -> std::ops::RangeInclusive<u64> {
    (round - 1) * PROBES + 1..=round * PROBES
}

fn content(probe: u64) -> String {
    format!("probe-{probe}")
}

/// A message to each channel must reach each of its followers. The last one closes the ledgers.
async fn probe(disturber: &Disturber, number: u64, last: bool) -> Result<()> {
    let content = content(number);
    for channel in &disturber.world.channels {
        let admin = tokio::sync::Mutex::new(Admin::new(channel.hub));
        until("a probe is taken", || async {
            match admin.lock().await.push(&channel.name, &content).await {
                Ok(()) => Ok(None),
                Err(HttpError::Refused(_)) => Ok(Some("refused".to_owned())),
                Err(error) => Err(error.into()),
            }
        })
        .await?;
        if !last {
            let mut ledger = channel.ledger();
            let place = ledger.attempt(PUBLISHERS, content.clone());
            ledger.settle(PUBLISHERS, place, Outcome::Acknowledged);
        }
    }
    until("the probe reaches everybody", || async {
        let deaf: Vec<_> = disturber
            .followers
            .iter()
            .filter(|follower| !follower.has_heard(number))
            .map(|follower| follower.name.as_str())
            .collect();
        Ok((!deaf.is_empty()).then(|| format!("{} deaf: {deaf:?}", deaf.len())))
    })
    .await
}

/// A channel of each hub.
fn ends(world: &World) -> [&Channel; 2] {
    [
        &world.channels[0],
        &world.channels[world.channels.len() - 1],
    ]
}

/// Holds what was seen against what was published.
fn close(world: &World, round: u64) -> Result<Totals> {
    let broadcasts = std::mem::take(&mut *lock(&world.broadcasts));
    let mut sums = Totals::default();
    for channel in &world.channels {
        let shared = if channel.lossy { &[][..] } else { &broadcasts };
        let totals = channel
            .ledger()
            .close(&content(*probes(round).end()), shared, channel.lossy)
            .with_context(|| format!("channel {}", channel.name))?;
        sums.acknowledged += totals.acknowledged;
        sums.unknown += totals.unknown;
        sums.refused += totals.refused;
        sums.unseen += totals.unseen;
    }
    Ok(sums)
}

/// Every shard's lock can be had: channels of many names are made and closed.
async fn locks(admin: &mut Admin) -> Result<()> {
    for index in 0..LOCKS {
        let name = format!("lock-{index}");
        admin.must_push(&name, "hello").await?;
        let target = format!("{}?cname={name}", admin.hub().admin("close"));
        let response = admin.ask(&target).await?;
        ensure!(
            response.head.status == 200,
            "close {name}: {}",
            response.head.status
        );
    }
    Ok(())
}

/// nginx's own count of connections. It never forgets those of a worker that was killed, so that it
/// is exact only as long as none was.
async fn connections(disturber: &Disturber, mut admin: Admin) -> Result<()> {
    let followers = disturber.followers.len() as u64;
    let exact = disturber.world.kills.load(Relaxed) == 0;
    // Ourselves, and those who publish when they are allowed to.
    let others = (disturber.world.channels.len() * PUBLISHERS + scramble::CLIENTS + 2) as u64;
    let admin = tokio::sync::Mutex::new(&mut admin);
    until("stub_status is right", || async {
        let text = admin.lock().await.ask("/status").await?.text();
        let active: u64 = text
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("Active connections: "))
            .and_then(|count| count.trim().parse().ok())
            .with_context(|| format!("status {text:?}"))?;
        let right = active > followers && (!exact || active <= followers + others);
        Ok((!right).then(|| format!("{active} connections, {followers} followers")))
    })
    .await
}
