//! Hooks while their back end is away for long: publishes go on, memory is bounded, what was left out is
//! counted and told, and all else arrives.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::hooks::SECRET;
use crate::backend::{BackEnd, Mood};
use crate::config::{Config, Hub};
use crate::hub::{Admin, HubAddress};
use crate::latency::Latencies;
use crate::nginx::{Nginx, Setup};
use crate::process;
use crate::wait::{self, until, within};

const WORKERS: usize = 2;
const CHANNEL: &str = "busy";

/// Publishers that share the rate.
const PUBLISHERS: usize = 5;

/// Publishes a second, of all.
const RATE: usize = 500;

/// Events that the hook may keep whose queue is made too small for the outage.
const TIGHT: usize = 100;

/// Events that the back end does not take at the end.
const LAST: usize = 20;

/// Most bytes that an event in a queue may cost, with its channel's name.
const EVENT: u64 = 256;

/// Bytes by which a worker may grow besides.
const SLACK: u64 = 4 << 20;

/// How much of it: publishes before the outage, in it, and after it.
struct Size {
    around: usize,
    outage: usize,
}

/// What publishers did.
#[derive(Default)]
struct Published {
    count: usize,
    latencies: Latencies,
}

pub async fn run(setup: Arc<Setup>) -> Result<String> {
    let size = if setup.full {
        Size {
            around: 5 * RATE,
            outage: 60 * RATE,
        }
    } else {
        Size {
            around: RATE / 2,
            outage: 2 * RATE,
        }
    };
    // One that keeps all of the outage, and one that cannot.
    let roomy = BackEnd::start(([127, 0, 0, 1], 0).into(), SECRET, None).await?;
    let tight = BackEnd::start(([127, 0, 0, 1], 0).into(), SECRET, None).await?;
    let secret = tempfile::NamedTempFile::new()?;
    std::fs::write(secret.path(), SECRET)?;
    let hub = |name, back_end: &BackEnd, queue: usize| {
        let hook = format!(
            "http://{}/{name} events=publish timeout=1s queue={queue} secret={}",
            back_end.address,
            secret.path().display()
        );
        Hub::new(name).set("zone", "16m").set("hook", hook)
    };
    let hubs = [
        hub("roomy", &roomy, size.outage + size.around),
        hub("tight", &tight, TIGHT),
    ];
    let nginx = setup.start(Config::new(WORKERS, hubs)).await?;
    let address = nginx.address;
    let addresses = ["roomy", "tight"].map(|name| HubAddress { address, name });

    let before = publish(addresses, size.around).await?;
    roomy.await_count("publish", before.count).await?;
    tight.await_count("publish", before.count).await?;
    let memory = Memory::of(&nginx);

    // Half of the time nobody is there, and half of it somebody who never answers.
    for back_end in [&roomy, &tight] {
        back_end.be(Mood::Away);
    }
    let start = Instant::now();
    let mut during = publish(addresses, size.outage / 2).await?;
    for back_end in [&roomy, &tight] {
        back_end.be(Mood::Hanging);
    }
    let more = publish(addresses, size.outage - during.count).await?;
    during.count += more.count;
    during.latencies.merge(&more.latencies);
    let seconds = start.elapsed().as_secs_f64();
    let grown = memory.growth(&nginx)?;
    let bound = ((size.outage + TIGHT) as u64) * EVENT + SLACK;
    ensure!(
        grown <= bound,
        "a worker grew by {grown} bytes, more than {bound}"
    );
    let queued = hooks(addresses[0]).await?["queued"].as_u64();
    ensure!(
        queued.is_some_and(|queued| queued >= during.count as u64),
        "queued: {queued:?}"
    );

    for back_end in [&roomy, &tight] {
        back_end.be(Mood::Well);
    }
    let over = Instant::now();
    let all = before.count + during.count;
    let caught_up = within("the queue leaves", roomy.await_count("publish", all));
    caught_up.await?;
    let caught_up = over.elapsed().as_secs_f64();
    until("what waited has arrived", || async {
        let now = hooks(addresses[1]).await?;
        Ok((now["queued"] != 0).then(|| now.to_string()))
    })
    .await?;
    let after = publish(addresses, size.around).await?;
    let all = all + after.count;
    roomy.await_count("publish", all).await?;
    let told = settled(addresses[1], all).await?;
    let dropped = told["dropped"].as_u64().context("dropped")?;
    ensure!(
        dropped > 0 && dropped <= during.count as u64,
        "left out: {told}"
    );
    tight.await_count("publish", all - dropped as usize).await?;
    let untouched = hooks(addresses[0]).await?;
    ensure!(
        untouched["dropped"] == 0 && untouched["queued"] == 0 && untouched["sent"] == all,
        "{untouched}"
    );
    roomy.check_whole()?;
    tight.check()?;
    // Seen as a gap with the next event of the worker, whichever takes it.
    until("each event left out is missing by seq", || async {
        Admin::new(addresses[1]).must_push(CHANNEL, "one").await?;
        let gaps = tight.gaps()?;
        Ok((gaps != dropped).then(|| format!("{gaps} of {dropped}")))
    })
    .await?;
    until("all has arrived", || async {
        let now = hooks(addresses[1]).await?;
        Ok((now["queued"] != 0).then(|| now.to_string()))
    })
    .await?;
    // What cannot leave at the end keeps no worker for long, and is told.
    tight.be(Mood::Hanging);
    for _ in 0..LAST {
        Admin::new(addresses[1]).must_push(CHANNEL, "late").await?;
    }
    log_is_right(nginx, dropped).await?;
    Ok(format!(
        "{seconds:.1} s away under {:.0} publishes/s and hub: all answered, 99 % in {:.2} ms ({:.2} before), {:.2} at most; \
         {} queued and told {caught_up:.2} s after it; queue={TIGHT}: {dropped} left out, counted and logged; a worker grew by {} KB",
        during.count as f64 / seconds,
        during.latencies.percentile(99.0),
        before.latencies.percentile(99.0),
        during.latencies.longest(),
        queued.unwrap_or_default(),
        grown >> 10,
    ))
}

/// Publishes so many messages to each hub at the rate; every one must be answered with success.
async fn publish(hubs: [HubAddress; 2], count: usize) -> Result<Published> {
    let (left, _) = watch::channel(count);
    let left = Arc::new(left);
    let mut tasks = JoinSet::new();
    for _ in 0..PUBLISHERS {
        let left = Arc::clone(&left);
        tasks.spawn(async move {
            let mut admins = hubs.map(Admin::new);
            let mut done = Published::default();
            let mut pace = interval(Duration::from_secs(1) * PUBLISHERS as u32 / RATE as u32);
            // A publisher that was held up catches up, so that the rate is kept.
            pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
            while left.send_if_modified(|left| {
                let is_more = *left > 0;
                *left = left.saturating_sub(1);
                is_more
            }) {
                pace.tick().await;
                for admin in &mut admins {
                    let start = Instant::now();
                    admin.must_push(CHANNEL, "what happens").await?;
                    done.latencies.add(start.elapsed());
                }
                done.count += 1;
            }
            Ok(done)
        });
    }
    let mut sum = Published::default();
    for done in wait::all("publishing", tasks).await? {
        sum.count += done.count;
        sum.latencies.merge(&done.latencies);
    }
    Ok(sum)
}

/// What a hub tells of its hooks.
async fn hooks(hub: HubAddress) -> Result<Value> {
    Ok(Admin::new(hub).detail().await?["hooks"].clone())
}

/// Waits until every event of so many was sent or left out.
async fn settled(hub: HubAddress, all: usize) -> Result<Value> {
    until("each event is sent or left out", || async {
        let now = hooks(hub).await?;
        let sum = [&now["sent"], &now["dropped"]].map(|n| n.as_u64().unwrap_or_default());
        Ok((sum.iter().sum::<u64>() != all as u64 || now["queued"] != 0).then(|| now.to_string()))
    })
    .await?;
    hooks(hub).await
}

/// The private memory of each worker.
struct Memory(Vec<(i32, u64)>);

impl Memory {
    fn of(nginx: &Nginx) -> Memory {
        let workers = nginx.serving_workers().into_iter();
        Memory(
            workers
                .filter_map(|pid| Some((pid, process::private_memory(pid)?)))
                .collect(),
        )
    }

    /// By how much the worker grew that did most.
    fn growth(&self, nginx: &Nginx) -> Result<u64> {
        let now = Memory::of(nginx);
        ensure!(self.0.len() == WORKERS, "a worker is missing");
        let mut most = 0;
        for (pid, before) in &self.0 {
            let found = now.0.iter().find(|(other, _)| other == pid);
            let (_, now) = found.with_context(|| format!("worker {pid} is gone"))?;
            most = most.max(now.saturating_sub(*before));
        }
        Ok(most)
    }
}

/// The lines about what was left out add up, and each failure was told of; and no secret.
async fn log_is_right(mut nginx: Nginx, dropped: u64) -> Result<()> {
    nginx.send("quit").await?;
    nginx.exited().await?;
    let log = nginx.log_from(0)?;
    // The numbers in the lines about the tight hook, behind that text.
    let sum = |text: &str| {
        let counts = log.lines().filter_map(|line| {
            let (_, rest) = line.split_once("/tight ")?;
            let (_, rest) = rest.split_once(text)?;
            rest.split(' ').next()?.parse::<u64>().ok()
        });
        counts.sum::<u64>()
    };
    let logged = sum("its queue is full: ");
    ensure!(logged == dropped, "{dropped} left out, {logged} logged");
    let lost = sum("did not take ");
    ensure!(lost == LAST as u64, "{LAST} left behind, {lost} logged");
    for name in ["roomy", "tight"] {
        for text in ["cannot be told: ", "takes events again, after "] {
            let text = format!("/{name} {text}");
            let lines = log.lines().filter(|line| line.contains(&text)).count();
            ensure!(
                (1..=WORKERS).contains(&lines),
                "{lines} lines with {text:?}"
            );
        }
    }
    ensure!(!log.contains(SECRET), "the secret is in the log");
    nginx.check_log(&[])
}
