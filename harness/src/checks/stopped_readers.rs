//! Many readers that have stopped reading, on a channel that goes on.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::config::{Config, Hub};
use crate::crowd::open_all;
use crate::feed::Transport;
use crate::hub::{Admin, HubAddress};
use crate::latency::{Latencies, now};
use crate::nginx::{Nginx, Setup};
use crate::process::private_memory;
use crate::subscriber::{Step, Subscriber};
use crate::wait;

const WORKERS: usize = 2;
const CHANNEL: &str = "busy";
const HEALTHY: usize = 20;
const PUBLISHERS: usize = 4;
/// Messages a second, of all publishers.
const RATE: u64 = 1_000;
/// Bytes of a message.
const SIZE: usize = 200;
/// Bytes that a stopped reader may cost.
const COST: u64 = 2_048;

/// How much of it.
#[derive(Clone, Copy)]
struct Scale {
    stopped: usize,
    /// Messages while memory and latency are looked at.
    messages: u64,
}

const SHORT: Scale = Scale {
    stopped: 1_000,
    messages: 2_000,
};
const FULL: Scale = Scale {
    stopped: 5_000,
    messages: 20_000,
};

pub async fn run(setup: Arc<Setup>) -> Result<String> {
    let scale = if setup.full { FULL } else { SHORT };
    setup.need_files(scale.stopped as u64 + 1_000)?;
    let without = measure(
        &setup,
        Scale {
            stopped: 0,
            ..scale
        },
    )
    .await?;
    let with = measure(&setup, scale).await?;
    ensure!(
        with.cost < COST,
        "the workers grew by {} bytes for each stopped reader",
        with.cost
    );
    Ok(format!(
        "{} stopped readers cost {} bytes each; {HEALTHY} others, {RATE} msg/s: p50 {:.2} ms, p99 {:.2} ms \
         (without them {:.2} and {:.2} ms)",
        scale.stopped,
        with.cost,
        with.latencies.percentile(50.0),
        with.latencies.percentile(99.0),
        without.latencies.percentile(50.0),
        without.latencies.percentile(99.0),
    ))
}

/// What was found.
struct Found {
    /// Bytes that the workers grew by for each stopped reader.
    cost: u64,
    latencies: Latencies,
}

async fn measure(setup: &Setup, scale: Scale) -> Result<Found> {
    let hub = Hub::new("main")
        .set("zone", "64m")
        .set("max_subscribers_per_channel", 100_000)
        .set("channel_buffer_size", 2_000)
        .set("channel_timeout", "300s")
        .set("polling_timeout", "300s");
    let mut config = Config::new(WORKERS, [hub]);
    config.listen = " sndbuf=16k";
    let nginx = setup.start(config).await?;
    let hub = HubAddress {
        address: nginx.address,
        name: "main",
    };
    let streams = [Transport::Stream, Transport::Sse, Transport::Iframe];
    let mut admin = Admin::new(hub);
    let healthy = open_all(
        (0..HEALTHY).map(|index| Subscriber::new(hub, CHANNEL, streams[index % streams.len()], 1)),
    )
    .await?;
    // What the workers need for all, they have before.
    let mut followers = JoinSet::new();
    let fill = if scale.stopped == 0 { 0 } else { 400 };
    for subscriber in healthy {
        followers.spawn(follow(subscriber, fill, scale.messages));
    }
    let stopped = open_all((0..scale.stopped).map(|index| {
        Subscriber::new(hub, CHANNEL, streams[index % streams.len()], 1)
            .narrow(4 * 1024)
            .tolerating_lost()
    }))
    .await?;
    let count = scale.stopped + HEALTHY;
    wait::first_error(&mut followers, admin.await_subscribers(None, count)).await?;
    let before = memory(&nginx)?;
    // Until none of them takes any more.
    for seq in 1..=fill {
        wait::first_error(&mut followers, admin.must_push(CHANNEL, &content(seq))).await?;
    }
    let mut publishers = JoinSet::new();
    for _ in 0..PUBLISHERS {
        publishers.spawn(publish(hub, scale.messages / PUBLISHERS as u64));
    }
    wait::within("publishing", wait::all("publishing", publishers)).await?;
    let followers = wait::within("every message", wait::all("following", followers)).await?;
    let grown = memory(&nginx)?.saturating_sub(before);
    let mut latencies = Latencies::default();
    followers.iter().for_each(|(_, one)| latencies.merge(one));
    // None of them was closed, and all are stuck behind.
    admin.await_subscribers(None, count).await?;
    if let Some(mut one) = stopped.into_iter().next() {
        let behind = catch_up(&mut one, fill + scale.messages).await?;
        ensure!(behind > 0, "the stopped readers were not behind");
    }
    drop((followers, admin));
    nginx.stop(&[]).await?;
    Ok(Found {
        cost: grown / scale.stopped.max(1) as u64,
        latencies,
    })
}

fn memory(nginx: &Nginx) -> Result<u64> {
    let workers = nginx.serving_workers();
    workers
        .into_iter()
        .map(|pid| private_memory(pid).context("no RssAnon"))
        .sum()
}

/// A message that says when it was published.
fn content(time: u64) -> String {
    format!("{time:0>SIZE$}")
}

async fn publish(hub: HubAddress, count: u64) -> Result<()> {
    let mut admin = Admin::new(hub);
    let mut pace = interval(Duration::from_secs(1) * PUBLISHERS as u32 / RATE as u32);
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for _ in 0..count {
        pace.tick().await;
        admin.must_push(CHANNEL, &content(now())).await?;
    }
    Ok(())
}

/// Hears every message; how long those took that say their time.
async fn follow(
    mut subscriber: Subscriber,
    fill: u64,
    count: u64,
) -> Result<(Subscriber, Latencies)> {
    let mut latencies = Latencies::default();
    while subscriber.due() != Some(fill + count + 1) {
        match subscriber.next().await? {
            Step::Message(message) if message.seq > fill => {
                let published: u64 = message.content.parse()?;
                let late = now().saturating_sub(published);
                latencies.add(Duration::from_nanos(late));
            }
            Step::Message(_) => {}
            step => bail!("{}: {step:?}", subscriber.name()),
        }
    }
    Ok((subscriber, latencies))
}

/// Reads on to the last message; how many were lost.
async fn catch_up(subscriber: &mut Subscriber, last: u64) -> Result<u64> {
    while subscriber.due() != Some(last + 1) {
        match wait::within("catching up", subscriber.next()).await? {
            Step::Message(_) => {}
            step => bail!("{}: {step:?}", subscriber.name()),
        }
    }
    Ok(subscriber.lost)
}
