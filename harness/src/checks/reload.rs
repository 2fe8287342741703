//! Reloads under publishing.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::task::JoinSet;

use crate::config::{Config, Hub};
use crate::feed::Transport;
use crate::follow::{FINAL, Watch, follow};
use crate::hub::{Admin, HubAddress};
use crate::ledger::Publisher;
use crate::nginx::Setup;
use crate::subscriber::Subscriber;
use crate::traffic::{Traffic, progress};
use crate::wait;

const WORKERS: usize = 4;
/// Reloads that wait until the old workers are gone: nobody may notice them.
const CALM: usize = 3;
/// Reloads on each other's heels, after those.
const HASTY: usize = 3;
const SUBSCRIBERS: usize = 200;
/// Subscribers of a channel on which nothing happens: what could end them is the reload alone.
const QUIET: usize = 40;

pub async fn run(setup: Arc<Setup>) -> Result<String> {
    let hub = Hub::new("main")
        .set("zone", "64m")
        .set("max_subscribers_per_channel", 1000)
        // More than what is published while an EventSource waits its retry time.
        .set("channel_buffer_size", 10_000)
        .set("channel_timeout", "300s")
        // No noop but the one of an end.
        .set("polling_timeout", "300s");
    let nginx = setup.start(Config::new(WORKERS, [hub])).await?;
    let hub = HubAddress {
        address: nginx.address,
        name: "main",
    };
    let busy_watch = Arc::new(Watch::default());
    let quiet_watch = Watch::quiet();
    let mut busy = JoinSet::new();
    for index in 0..SUBSCRIBERS {
        let subscriber = subscriber(hub, "busy", index);
        busy.spawn(follow(subscriber, Arc::clone(&busy_watch)));
    }
    let mut quiet = JoinSet::new();
    for index in 0..QUIET {
        let subscriber = subscriber(hub, "quiet", index);
        quiet.spawn(follow(subscriber, Arc::clone(&quiet_watch)));
    }
    let mut admin = Admin::new(hub);
    let counted = async {
        admin.await_subscribers(Some("busy"), SUBSCRIBERS).await?;
        admin.await_subscribers(Some("quiet"), QUIET).await
    };
    wait::first_error(&mut busy, counted).await?;
    let publishers = ["p0", "p1"].map(|name| Publisher::new(hub, "busy", name));
    let traffic = Traffic::start(publishers, Duration::from_millis(20));

    for round in 1..=CALM + HASTY {
        let step = async {
            for watch in [&busy_watch, &quiet_watch] {
                watch.must_stay(round <= CALM);
            }
            progress(&busy_watch.transcript, 20).await?;
            let before = nginx.serving_workers();
            nginx.send("reload").await?;
            nginx.reloaded(&before).await?;
            if round <= CALM || round == CALM + HASTY {
                nginx.renewed(&before).await?;
            }
            if round <= CALM {
                let now = admin.subscribers(Some("quiet")).await?;
                ensure!(now == QUIET as u64, "{now} of {QUIET} quiet subscribers");
            }
            progress(&busy_watch.transcript, 20).await
        };
        wait::first_error(&mut busy, wait::first_error(&mut quiet, step)).await?;
    }
    let attempts = traffic.finish().await?;
    let counted = async {
        admin.await_subscribers(Some("quiet"), QUIET).await?;
        admin.await_subscribers(None, SUBSCRIBERS + QUIET).await
    };
    wait::first_error(&mut busy, counted).await?;
    for channel in ["busy", "quiet"] {
        admin.must_push(channel, FINAL).await?;
    }
    let mut crowd = wait::within("the final message", wait::all("busy", busy)).await?;
    crowd.extend(wait::within("the final message", wait::all("quiet", quiet)).await?);
    busy_watch.transcript.verify(&attempts, &[FINAL])?;
    let streams = crowd.iter().filter(|one| !one.transport.is_poll());
    let whole = streams.clone().filter(|one| one.connections == 1).count();
    let count = streams.count();
    drop((crowd, admin));
    nginx.stop(&[]).await?;
    Ok(format!(
        "{CALM} calm reloads: nobody ended; {HASTY} hasty ones: {} ended; {whole} of {count} streams on their first \
         connection, {} messages each",
        busy_watch.ended() + quiet_watch.ended(),
        busy_watch.transcript.len()
    ))
}

fn subscriber(hub: HubAddress, channel: &str, index: usize) -> Subscriber {
    let by_id = index / Transport::ALL.len() % 2 == 1;
    Subscriber::new(hub, channel, Transport::of(index), 1).by_id(by_id)
}
