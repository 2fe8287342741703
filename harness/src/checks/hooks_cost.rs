//! What a hook costs who publishes: the same publishes without one, with one whose back end is well, and with
//! one whose back end takes connections and never answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::task::JoinSet;

use super::hooks::SECRET;
use crate::backend::{BackEnd, Mood};
use crate::config::{Config, Hub};
use crate::hub::{Admin, HubAddress};
use crate::latency::Latencies;
use crate::nginx::{Nginx, Setup};
use crate::process;
use crate::wait::{self, until};

/// One publisher, which meets an idle server; and as many as keep two processors busy.
const PUBLISHERS: [usize; 2] = [1, 4];

pub async fn run(setup: Arc<Setup>) -> Result<String> {
    let (rounds, each) = if setup.full { (100, 400) } else { (2, 100) };
    // An nginx, because a back end in this process would be in the publishers' way.
    let mut taking = Config::new(1, []);
    taking.server = "location = /hook { return 204; }\n";
    let taking = setup.start(taking).await?;
    let hanging = BackEnd::start(([127, 0, 0, 1], 0).into(), SECRET, None).await?;
    hanging.be(Mood::Hanging);
    let secret = tempfile::NamedTempFile::new()?;
    std::fs::write(secret.path(), SECRET)?;
    let hook = |address: SocketAddr| {
        format!(
            "http://{address}/hook events=publish timeout=1s queue=1000000 secret={}",
            secret.path().display()
        )
    };
    let hub = || Hub::new("main").set("zone", "16m");
    // An nginx each, of one worker, so that what one's hook does is not in another's way. The second without
    // a hook says what differs by chance.
    let mut servers = Vec::new();
    for (name, hub) in [
        ("no hook", hub()),
        ("no hook either", hub()),
        ("well", hub().set("hook", hook(taking.address))),
        ("hanging", hub().set("hook", hook(hanging.address))),
    ] {
        let nginx = setup.start(Config::new(1, [hub])).await?;
        servers.push((name, nginx));
    }
    let mut texts = Vec::new();
    let mut all = 0;
    for publishers in PUBLISHERS {
        let mut found: Vec<_> = servers.iter().map(|_| Found::default()).collect();
        // In turns, so that what else this machine does meets all alike. The first round warms up.
        for round in 0..=rounds {
            for ((_, nginx), found) in servers.iter().zip(&mut found) {
                let before = processor_time(nginx)?;
                let latencies = publish(address(nginx), publishers, each).await?;
                if round > 0 {
                    found.latencies.merge(&latencies);
                    found.time += processor_time(nginx)? - before;
                }
            }
        }
        all += (rounds + 1) * each * publishers;
        until("each event has arrived", || async {
            let detail = Admin::new(address(&servers[2].1)).detail().await?;
            let sent = &detail["hooks"]["sent"];
            Ok((*sent != all).then(|| sent.to_string()))
        })
        .await?;
        let count = rounds * each * publishers;
        let base = found[0].clone();
        let lines = servers.iter().zip(&found).map(|((name, _), found)| {
            let [half, most] = [50.0, 99.0].map(|percent| {
                let time = found.latencies.percentile(percent);
                format!(
                    "{time:.3} ({:.2})",
                    time / base.latencies.percentile(percent)
                )
            });
            let each = found.time.as_secs_f64() * 1e6 / count as f64;
            format!("{name} {half}, {most}, {each:.1} us")
        });
        texts.push(format!(
            "{count} publishes by {publishers}: {}",
            lines.collect::<Vec<_>>().join("; ")
        ));
    }
    ensure!(hanging.posts() > 0, "the hanging back end was not asked");
    for (_, nginx) in servers {
        nginx.stop(&[]).await?;
    }
    taking.stop(&[]).await?;
    Ok(format!(
        "50 and 99 % of publishes in ms (to that of the first), processor time of the worker for each: {}",
        texts.join("; ")
    ))
}

/// What was measured of one server.
#[derive(Clone, Default)]
struct Found {
    latencies: Latencies,
    /// Processor time of its worker, all threads.
    time: Duration,
}

fn processor_time(nginx: &Nginx) -> Result<Duration> {
    let worker = nginx.serving_workers().first().copied();
    worker
        .and_then(process::processor_time)
        .context("the worker is gone")
}

fn address(nginx: &Nginx) -> HubAddress {
    HubAddress {
        address: nginx.address,
        name: "main",
    }
}

async fn publish(hub: HubAddress, publishers: usize, each: usize) -> Result<Latencies> {
    let mut tasks = JoinSet::new();
    for publisher in 0..publishers {
        tasks.spawn(async move {
            let mut admin = Admin::new(hub);
            let channel = format!("busy-{publisher}");
            let mut latencies = Latencies::default();
            for _ in 0..each {
                let start = Instant::now();
                admin.must_push(&channel, "what happens").await?;
                latencies.add(start.elapsed());
            }
            Ok(latencies)
        });
    }
    let mut sum = Latencies::default();
    for latencies in wait::all("publishing", tasks).await? {
        sum.merge(&latencies);
    }
    Ok(sum)
}
