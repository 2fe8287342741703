//! More is published than a small zone holds, by a back end that does not stop; subscribers listen
//! meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::{Config, Hub};
use crate::crowd::open_all;
use crate::feed::Transport;
use crate::hub::{Admin, HubAddress};
use crate::nginx::Setup;
use crate::subscriber::{Step, Subscriber};
use crate::wait;

const WORKERS: usize = 2;
const PUBLISHERS: usize = 8;
/// Publishes of each publisher, in the short form.
const SHORT: u64 = 400;
/// How long they go on, in the long one.
const LONG: Duration = Duration::from_secs(60);
const CHANNELS: usize = 2_000;
/// Bytes of the messages.
const SIZES: [usize; 5] = [20, 500, 3_000, 60_000, 300_000];
/// Channels of the flood that somebody listens to.
const HEARD: usize = 12;
const LISTENERS: usize = 12;
const LIVE: &str = "live";
const FINAL: &str = "final";

pub async fn run(setup: Arc<Setup>) -> Result<String> {
    let mut told = Vec::new();
    for mode in ["refuse", "evict"] {
        told.push(flood(&setup, mode).await.context(mode)?);
    }
    Ok(told.join("; "))
}

/// Answers, by what they were.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    taken: u64,
    refused: u64,
}

async fn flood(setup: &Setup, mode: &'static str) -> Result<String> {
    let hub = Hub::new("main")
        .set("zone", "16m")
        .set("on_full", mode)
        .set("max_subscribers_per_channel", 100)
        .set("channel_buffer_size", 20)
        .set("channel_timeout", "1s");
    let nginx = setup.start(Config::new(WORKERS, [hub])).await?;
    let hub = HubAddress {
        address: nginx.address,
        name: "main",
    };
    let streams = [Transport::Stream, Transport::Sse, Transport::Iframe];
    let listeners = (0..LISTENERS + HEARD).map(|index| {
        let channel = match index.checked_sub(LISTENERS) {
            None => LIVE.to_owned(),
            Some(index) => channel(index),
        };
        Subscriber::new(hub, &channel, streams[index % streams.len()], 1).tolerating_lost()
    });
    let (over, ended) = watch::channel(false);
    let mut crowd = JoinSet::new();
    for subscriber in open_all(listeners).await? {
        crowd.spawn(follow(subscriber));
    }
    let mut admin = Admin::new(hub);
    admin.await_subscribers(None, LISTENERS + HEARD).await?;

    let mut publishers = JoinSet::new();
    let start = Instant::now();
    let until = setup.full.then(|| start + LONG);
    for index in 0..PUBLISHERS {
        publishers.spawn(publish(hub, index, until));
    }
    let mut live = JoinSet::new();
    live.spawn(publish_live(hub, ended));
    let flooded = wait::first_error(&mut crowd, async {
        let mut all = Tally::default();
        while let Some(done) = publishers.join_next().await {
            let done = done.context("a publisher panicked")??;
            all.taken += done.taken;
            all.refused += done.refused;
        }
        Ok(all)
    })
    .await?;
    let stopped = Instant::now();
    let detail = admin.detail().await?;
    over.send_replace(true);
    let live = wait::all("publishing live", live).await?;
    let live = live.first().copied().unwrap_or_default();

    // Normal again: nothing is refused any more, on channels that are there and on others.
    let again = wait::until("publishes are taken again", || async {
        let mut admin = Admin::new(hub);
        for name in ["fresh", "fresh too", "and another", LIVE] {
            let status = admin.try_push(name, &"y".repeat(60_000)).await?;
            if status != 200 {
                return Ok(Some(format!("{status}")));
            }
        }
        Ok(None)
    });
    wait::first_error(&mut crowd, again).await?;
    let normal = stopped.elapsed();
    for name in (0..HEARD).map(channel).chain([LIVE.to_owned()]) {
        admin.must_push(&name, FINAL).await?;
    }
    let crowd = wait::within("the final message", wait::all("listening", crowd)).await?;
    let lost: u64 = crowd.iter().map(|subscriber| subscriber.lost).sum();
    drop(crowd);
    admin.await_subscribers(None, 0).await?;

    let evictions = detail["evictions"].as_u64().context("no evictions")?;
    let refused = admin.detail().await?["refused"]["publishes"]
        .as_u64()
        .context("no refusals")?;
    ensure!(flooded.taken > 0, "nothing was taken");
    match mode {
        "refuse" => ensure!(
            flooded.refused > 0 && evictions == 0,
            "{flooded:?}, {evictions} evictions"
        ),
        _ => ensure!(evictions > 0, "nothing was evicted: {flooded:?}"),
    }
    let answered = flooded.refused + live.refused;
    ensure!(
        refused >= answered,
        "{refused} refusals told, {answered} answered"
    );
    drop(admin);
    nginx.stop(&[]).await?;
    Ok(format!(
        "{mode}: {} publishes in {:.0} s, {} answered 200, {} 507, {evictions} evictions, {lost} told lost to \
         {} subscribers, all taken again after {:.2} s",
        flooded.taken + flooded.refused,
        (stopped - start).as_secs_f64(),
        flooded.taken,
        flooded.refused,
        LISTENERS + HEARD,
        normal.as_secs_f64(),
    ))
}

fn channel(index: usize) -> String {
    format!("flooded-{index}")
}

/// Publishes messages of all sizes to all channels; any answer but 200 and 507 is a fault.
async fn publish(hub: HubAddress, index: usize, until: Option<Instant>) -> Result<Tally> {
    let mut admin = Admin::new(hub);
    let contents = SIZES.map(|size| "x".repeat(size));
    let mut tally = Tally::default();
    for round in index.. {
        let done = match until {
            Some(until) => Instant::now() >= until,
            None => tally.taken + tally.refused == SHORT,
        };
        if done {
            break;
        }
        let name = channel(fastrand::usize(..CHANNELS));
        let content = &contents[round % contents.len()];
        tally.add(wait::within("push", admin.try_push(&name, content)).await?)?;
    }
    Ok(tally)
}

/// Publishes small messages where somebody listens, without a pause, until the flood is over.
async fn publish_live(hub: HubAddress, ended: watch::Receiver<bool>) -> Result<Tally> {
    let mut admin = Admin::new(hub);
    let mut tally = Tally::default();
    while !*ended.borrow() {
        tally.add(wait::within("push", admin.try_push(LIVE, "z")).await?)?;
    }
    Ok(tally)
}

impl Tally {
    fn add(&mut self, status: u16) -> Result<()> {
        match status {
            200 => self.taken += 1,
            507 => self.refused += 1,
            other => bail!("a publish was answered {other}"),
        }
        Ok(())
    }
}

/// Takes every message in order, or is told what is lost, to the final one.
async fn follow(mut subscriber: Subscriber) -> Result<Subscriber> {
    loop {
        match subscriber.next().await? {
            Step::Message(message) if message.content == FINAL => return Ok(subscriber),
            Step::Message(_) => {}
            step => bail!("{}: {step:?}", subscriber.name()),
        }
    }
}
