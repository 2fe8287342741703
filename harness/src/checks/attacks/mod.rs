//! Attacks of strangers: what each costs those who have nothing to do with it. A row is a type, in a
//! file beside this one; `checks` is the table. docs/reliability.md has the figures.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::task::JoinSet;

use super::Check;
use crate::chaos::memory::Memory;
use crate::config::{Config, Hub};
use crate::hub::{Admin, HubAddress};
use crate::nginx::{Nginx, Setup};
use crate::process::processor_time;
use crate::wait;

use bystander::Bystander;
use rounds::{Bound, Rounds};

pub mod bystander;
pub mod commands;
mod escapes;
mod headers;
mod late;
mod names;
pub mod rounds;
mod stopped;

/// The attacks, but for those that need more than this: `attack_ws_hammer`, `attack_vanished`.
pub fn checks() -> Vec<Check> {
    vec![
        check::<names::Refused>(),
        check::<names::Evicted>(),
        check::<names::Socket>(),
        check::<headers::Fields>(),
        check::<late::Bodies>(),
        check::<commands::Bombs>(),
        check::<escapes::Escapes>(),
        check::<stopped::Worker>(),
    ]
}

/// One attack.
trait Attack: Send + Sync + 'static {
    const NAME: &'static str;
    const ABOUT: &'static str;
    /// How many do the same at once.
    const ATTACKERS: usize = 1;
    /// What they must have done in a round before the others are measured.
    const BEGUN: u64 = 1;
    /// The same at full size.
    const BEGUN_FULL: u64 = Self::BEGUN;
    const BOUND: Bound = Bound::Twice;
    /// What publishers may be answered.
    const RIGHT: &'static [u16] = &[200];
    /// What a worker may have grown by afterwards.
    const GROWTH: u64 = 16 << 20;

    fn config(_full: bool) -> Config {
        config(Hub::new("main"), "")
    }

    /// The worker whose clients the others are; any.
    fn aside(_workers: &[i32]) -> Option<i32> {
        None
    }

    /// Goes on for ever.
    fn strike(field: Arc<Field>) -> impl Future<Output = Result<()>> + Send;
}

/// Where it happens.
struct Field {
    hub: HubAddress,
    workers: Vec<i32>,
    /// What all attackers have done.
    done: AtomicU64,
}

impl Field {
    fn did(&self, much: u64) {
        self.done.fetch_add(much, Ordering::Relaxed);
    }

    fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// What all workers have used.
    fn processor(&self) -> Duration {
        let used = self.workers.iter().map(|pid| processor_time(*pid));
        used.map(Option::unwrap_or_default).sum()
    }
}

/// One worker, so that everybody is beside the attackers.
pub fn config(hub: Hub, http: &'static str) -> Config {
    let hub = hub
        .set("max_subscribers_per_channel", 100_000)
        .set("channel_buffer_size", 100);
    let mut config = Config::new(1, [hub]);
    config.server = "location = /file { alias conf/nginx.conf; }\n";
    config.http = http;
    config
}

fn check<A: Attack>() -> Check {
    Check {
        name: A::NAME,
        about: A::ABOUT,
        has_figures: true,
        run: |setup| Box::pin(run::<A>(setup)),
    }
}

async fn run<A: Attack>(setup: Arc<Setup>) -> Result<String> {
    let nginx = setup.start(A::config(setup.full)).await?;
    let hub = HubAddress {
        address: nginx.address,
        name: "main",
    };
    let workers = nginx.serving_workers();
    let mut admin = Admin::new(hub);
    let kept = Kept::make(&mut admin).await?;
    let bystander = Bystander::start(hub, A::aside(&workers)).await?;
    let connections = connections(&mut admin).await?;
    let memory = Memory::now(&nginx).worker;
    let field = Arc::new(Field {
        hub,
        workers,
        done: AtomicU64::new(0),
    });

    let begun = if setup.full { A::BEGUN_FULL } else { A::BEGUN };
    let (mut busy, mut used, mut most) = (0.0, 0.0, 0);
    let mut rounds = Rounds::new(setup.full, A::BOUND, A::RIGHT, &field.workers);
    while rounds.go_on()? {
        rounds.before(&bystander).await?;
        let (start, done) = (Instant::now(), field.done());
        let processor = field.processor();
        let mut attackers = JoinSet::new();
        for _ in 0..A::ATTACKERS {
            attackers.spawn(A::strike(Arc::clone(&field)));
        }
        rounds::begun(&mut attackers, || field.done() - done, begun).await?;
        let there = field.done();
        rounds.meanwhile(&bystander, attackers).await?;
        ensure!(
            field.done() > there,
            "nothing was done while others were measured"
        );
        busy += start.elapsed().as_secs_f64();
        used += (field.processor() - processor).as_secs_f64();
        most = most.max(Memory::now(&nginx).worker);
    }

    let grown = most.saturating_sub(memory);
    ensure!(grown <= A::GROWTH, "a worker has grown by {grown} bytes");
    let zone = kept.is_there(&mut admin).await?;
    gone(&nginx, &mut admin, connections).await?;
    drop((bystander, admin));
    nginx.stop(&[]).await?;
    Ok(format!(
        "{}; {} done, {:.0}/s, {:.0} % of a processor; zone {zone:.0} % full, worker +{:.1} MB",
        rounds.told(),
        field.done(),
        field.done() as f64 / busy,
        used / busy * 100.0,
        grown as f64 / 1e6
    ))
}

/// What somebody else has published before.
struct Kept;

impl Kept {
    const CHANNEL: &str = "news";
    const MESSAGES: usize = 50;

    async fn make(admin: &mut Admin) -> Result<Self> {
        for number in 0..Self::MESSAGES {
            let content = format!("{number}{}", "x".repeat(500));
            admin.must_push(Self::CHANNEL, &content).await?;
        }
        Ok(Self)
    }

    /// It is there still; how full the zone is, in per cent.
    async fn is_there(&self, admin: &mut Admin) -> Result<f64> {
        let target = admin.hub().admin("api/history");
        let target = format!("{target}?channel={}&limit=100", Self::CHANNEL);
        let response = admin.ask(&target).await?;
        let history: Value =
            serde_json::from_slice(&response.body).with_context(|| response.text())?;
        let messages = history["messages"].as_array().map_or(0, Vec::len);
        ensure!(
            messages == Self::MESSAGES,
            "{messages} of {} messages are left in a channel that has nothing to do with it",
            Self::MESSAGES
        );
        let zone = &admin.detail().await?["zone"];
        let [size, used] = ["size", "used"].map(|name| zone[name].as_f64());
        Ok(used.context("used")? / size.context("size")? * 100.0)
    }
}

/// nginx's own count of connections.
async fn connections(admin: &mut Admin) -> Result<u64> {
    let text = admin.ask("/status").await?.text();
    let count = text.lines().next().and_then(|line| line.rsplit(':').next());
    count
        .and_then(|count| count.trim().parse().ok())
        .with_context(|| text.clone())
}

/// The attackers are gone: nobody is counted any more who was not there before, and no connection held.
async fn gone(nginx: &Nginx, admin: &mut Admin, before: u64) -> Result<()> {
    wait::within(
        "the attackers' subscriptions",
        admin.await_subscribers(None, 1),
    )
    .await?;
    let cell = tokio::sync::Mutex::new(admin);
    wait::until("the attackers' connections are gone", || async {
        let now = connections(*cell.lock().await).await?;
        Ok((now > before).then(|| format!("{now}, {before} before")))
    })
    .await?;
    nginx.check_log(&[])
}
