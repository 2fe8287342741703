//! What a hook costs who publishes: the same publishes without one, with one whose back end is well, and with
//! one whose back end takes connections and never answers.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use tokio::task::JoinSet;

use super::hooks::SECRET;
use crate::backend::{BackEnd, Mood};
use crate::config::{Config, Hub};
use crate::hub::{Admin, HubAddress};
use crate::latency::Latencies;
use crate::nginx::Setup;
use crate::wait;

/// Publishers, each of which waits for its answer before it publishes again.
const PUBLISHERS: usize = 4;

pub async fn run(setup: Arc<Setup>) -> Result<String> {
    let (rounds, each) = if setup.full { (15, 1_000) } else { (2, 100) };
    let back_end = BackEnd::start(([127, 0, 0, 1], 0).into(), SECRET, None).await?;
    let hanging = BackEnd::start(([127, 0, 0, 1], 0).into(), SECRET, None).await?;
    hanging.be(Mood::Hanging);
    let secret = tempfile::NamedTempFile::new()?;
    std::fs::write(secret.path(), SECRET)?;
    let hook = |back_end: &BackEnd| {
        format!(
            "http://{}/hook events=publish timeout=1s secret={}",
            back_end.address,
            secret.path().display()
        )
    };
    let hub = || Hub::new("main").set("zone", "16m");
    // An nginx each, of one worker, so that what one's hook does is not in another's way.
    let mut servers = Vec::new();
    for (name, hub) in [
        ("no hook", hub()),
        ("well", hub().set("hook", hook(&back_end))),
        ("hanging", hub().set("hook", hook(&hanging))),
    ] {
        let nginx = setup.start(Config::new(1, [hub])).await?;
        servers.push((name, nginx, Latencies::default()));
    }
    // In turns, so that what else this machine does meets all three alike. The first round warms up.
    for round in 0..=rounds {
        for (_, nginx, latencies) in &mut servers {
            let hub = HubAddress {
                address: nginx.address,
                name: "main",
            };
            let found = publish(hub, each).await?;
            if round > 0 {
                latencies.merge(&found);
            }
        }
    }
    let all = (rounds + 1) * each * PUBLISHERS;
    back_end.await_count("publish", all).await?;
    back_end.check()?;
    ensure!(hanging.posts() > 0, "the hanging back end was not asked");
    let base = servers[0].2.clone();
    let mut texts = Vec::new();
    for (name, nginx, latencies) in servers {
        let figures = [50.0, 99.0].map(|percent| {
            let time = latencies.percentile(percent);
            format!("{time:.3} ({:.2})", time / base.percentile(percent))
        });
        texts.push(format!("{name} {} and {}", figures[0], figures[1]));
        nginx.stop(&[]).await?;
    }
    Ok(format!(
        "{} publishes each, ms of 50 and 99 % (to that without a hook): {}",
        all - each * PUBLISHERS,
        texts.join(", ")
    ))
}

async fn publish(hub: HubAddress, each: usize) -> Result<Latencies> {
    let mut tasks = JoinSet::new();
    for publisher in 0..PUBLISHERS {
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
