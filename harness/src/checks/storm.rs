//! All clients come back at once: after a break in the network, and after all workers were killed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::{Config, Hub};
use crate::http::{Connection, HttpError};
use crate::hub::{Admin, HubAddress};
use crate::latency::Latencies;
use crate::nginx::{Nginx, Setup};
use crate::{process, wait};
use clients::{Part, Stage};

pub mod clients;

const HUB: &str = "main";
/// Each has a quarter of the clients, twice for a moment: those that left and were not looked at yet.
const WORKERS: usize = 4;
const SHORT: usize = 2_000;
const FULL: usize = 20_000;
/// Processes that the clients are of.
const PARTS: usize = 4;
const CHANNELS: usize = 100;

pub async fn run(setup: Arc<Setup>) -> Result<String> {
    let count = if setup.full { FULL } else { SHORT };
    // A worker may get more than its share.
    setup.need_files((count / WORKERS * 5 / 2) as u64 + 1_000)?;
    let hub = Hub::new(HUB)
        .set("zone", "64m")
        .set("max_subscribers_per_channel", count)
        .set("channel_timeout", "300s")
        .set("polling_timeout", "300s");
    let nginx = setup.start(Config::new(WORKERS, [hub])).await?;
    let hub = HubAddress {
        address: nginx.address,
        name: HUB,
    };
    let mut parts = (0..PARTS)
        .map(|part| Part::start(nginx.address, part, count / PARTS))
        .collect::<Result<Vec<_>>>()?;
    for part in &mut parts {
        part.said("open").await?;
    }
    let mut admin = Admin::new(hub);
    admin.await_subscribers(None, count).await?;
    let mut told = Vec::new();
    for (stage, what) in [
        (Stage::Broken, "a broken network"),
        (Stage::Killed, "kill -9 of all workers"),
    ] {
        let found = storm(&nginx, hub, &mut parts, stage).await?;
        admin.await_subscribers(None, count).await?;
        told.push(format!("after {what} {found}"));
    }
    for part in parts {
        part.end().await?;
    }
    admin.await_subscribers(None, 0).await?;
    drop(admin);
    nginx.stop(&["exited on signal 9"]).await?;
    Ok(format!("{count} clients, no error: {}", told.join("; ")))
}

/// One storm: how long until all had the next message, and the longest that other clients waited for an
/// answer.
async fn storm(nginx: &Nginx, hub: HubAddress, parts: &mut [Part], stage: Stage) -> Result<String> {
    let (over, ended) = watch::channel(false);
    let mut begin = Instant::now();
    for part in &mut *parts {
        part.tell(stage).await?;
    }
    if stage == Stage::Killed {
        begin = Instant::now();
        let workers = nginx.serving_workers();
        for pid in &workers {
            ensure!(process::signal(*pid, libc::SIGKILL), "worker {pid} is gone");
        }
        nginx.renewed(&workers).await?;
    }
    let mut asking = JoinSet::new();
    for fresh in [false, true] {
        asking.spawn(ask_on(hub, fresh, ended.clone()));
    }
    // Published in the middle of it: who is away resumes by seq.
    let mut admin = Admin::new(hub);
    for index in 0..CHANNELS {
        admin.must_push(&channel(index), stage_name(stage)).await?;
    }
    for part in &mut *parts {
        part.said("heard").await?;
    }
    let took = begin.elapsed();
    over.send_replace(true);
    let asked = wait::all("asking", asking).await?;
    let longest = |wanted| {
        let of_kind = asked.iter().filter(|(fresh, _)| *fresh == wanted);
        of_kind.map(|(_, all)| all.longest()).fold(0.0, f64::max)
    };
    Ok(format!(
        "all were back and had the next message in {:.2} s, a request beside them took {:.0} ms at most, \
         on a fresh connection {:.0} ms",
        took.as_secs_f64(),
        longest(false),
        longest(true),
    ))
}

fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Killed => "after the kill",
        _ => "after the break",
    }
}

/// Clients are dealt out over the channels.
fn channel(client: usize) -> String {
    format!("storm-{}", client % CHANNELS)
}

/// Asks again and again, on one connection or each time on another: how long each answer took.
async fn ask_on(
    hub: HubAddress,
    fresh: bool,
    ended: watch::Receiver<bool>,
) -> Result<(bool, Latencies)> {
    let mut latencies = Latencies::default();
    let mut kept = None;
    while !*ended.borrow() {
        let begin = Instant::now();
        let asked = async {
            let mut connection = match kept.take() {
                Some(connection) => connection,
                None => Connection::open(hub.address).await?,
            };
            connection.get(&hub.front("ping", "any"), "").await?;
            let status = connection.response().await?.head.status;
            Ok::<_, HttpError>((status, connection))
        };
        let (status, connection) = wait::within("ping", asked).await?;
        ensure!(status == 200, "ping was answered {status}");
        latencies.add(begin.elapsed());
        kept = Some(connection).filter(|_| !fresh);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok((fresh, latencies))
}
