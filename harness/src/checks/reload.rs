//! Reloads under publishing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use tokio::task::JoinSet;

use crate::config::{Config, Hub};
use crate::feed::Transport;
use crate::hub::{Admin, HubAddress};
use crate::ledger::{Publisher, Transcript};
use crate::nginx::Setup;
use crate::subscriber::{Step, Subscriber};
use crate::traffic::{Traffic, progress};
use crate::wait;

const WORKERS: usize = 4;
const RELOADS: usize = 5;
/// So many reloads wait until the old workers are gone; the others follow on each other's heels.
const CALM: usize = 3;
const SUBSCRIBERS: usize = 200;
/// Subscribers of a channel on which nothing happens: what ends them is the reload alone.
const QUIET: usize = 40;
const FINAL: &str = "final";

pub async fn run(setup: Arc<Setup>) -> Result<String> {
    let hub = Hub::new("main")
        .set("zone", "64m")
        .set("max_subscribers_per_channel", 1000)
        // More than what is published while an EventSource waits its retry time.
        .set("channel_buffer_size", 10_000)
        .set("channel_timeout", "300s")
        // No noop but the polite end.
        .set("polling_timeout", "300s");
    let nginx = setup.start(Config::new(WORKERS, [hub])).await?;
    let hub = HubAddress {
        address: nginx.address,
        name: "main",
    };
    let transcript = Arc::new(Transcript::default());
    let polite: Arc<Vec<AtomicUsize>> = Arc::new((0..QUIET).map(|_| AtomicUsize::new(0)).collect());

    let mut busy = JoinSet::new();
    for index in 0..SUBSCRIBERS {
        busy.spawn(follow(
            subscriber(hub, "busy", index),
            Arc::clone(&transcript),
            None,
        ));
    }
    let mut quiet = JoinSet::new();
    for index in 0..QUIET {
        let nothing = Arc::new(Transcript::default());
        let ends = Some((Arc::clone(&polite), index));
        quiet.spawn(follow(subscriber(hub, "quiet", index), nothing, ends));
    }
    let mut admin = Admin::new(hub);
    wait::first_error(
        &mut busy,
        admin.await_subscribers(Some("busy"), SUBSCRIBERS),
    )
    .await?;
    let publishers = ["p0", "p1"].map(|name| Publisher::new(hub, "busy", name));
    let traffic = Traffic::start(publishers, Duration::from_millis(20));

    for round in 1..=RELOADS {
        let step = async {
            progress(&transcript, 20).await?;
            if round <= CALM {
                admin.await_subscribers(Some("quiet"), QUIET).await?;
            }
            polite
                .iter()
                .for_each(|ends| ends.store(0, Ordering::Relaxed));
            let before = nginx.serving_workers();
            nginx.send("reload").await?;
            nginx.reloaded(&before).await?;
            if round <= CALM || round == RELOADS {
                nginx.renewed(&before).await?;
            }
            if round <= CALM {
                wait::until("quiet subscribers ended politely", || async {
                    let ended = polite
                        .iter()
                        .filter(|ends| ends.load(Ordering::Relaxed) > 0);
                    let ended = ended.count();
                    Ok((ended != QUIET).then(|| format!("{ended} of {QUIET}")))
                })
                .await?;
            }
            progress(&transcript, 20).await
        };
        wait::first_error(&mut busy, wait::first_error(&mut quiet, step)).await?;
    }
    let attempts = traffic.finish().await?;
    admin.await_subscribers(Some("quiet"), QUIET).await?;
    admin.await_subscribers(None, SUBSCRIBERS + QUIET).await?;
    for channel in ["busy", "quiet"] {
        admin.must_push(channel, FINAL).await?;
    }
    let ends = wait::within("the final message", wait::all("busy", busy)).await?;
    wait::within("the final message", wait::all("quiet", quiet)).await?;
    transcript.verify(&attempts, &[FINAL])?;
    drop(admin);
    nginx.stop(&[]).await?;
    Ok(format!(
        "{RELOADS} reloads, {SUBSCRIBERS} subscribers resumed {} times, {} messages each, {QUIET} quiet ones ended politely",
        ends.iter().sum::<u64>(),
        transcript.len()
    ))
}

fn subscriber(hub: HubAddress, channel: &str, index: usize) -> Subscriber {
    let by_id = index / Transport::ALL.len() % 2 == 1;
    Subscriber::new(hub, channel, Transport::of(index), 1).by_id(by_id)
}

/// Follows the channel to its final message; answers how often it resumed. Counts polite ends in
/// its place of `ends`.
async fn follow(
    mut subscriber: Subscriber,
    transcript: Arc<Transcript>,
    ends: Option<(Arc<Vec<AtomicUsize>>, usize)>,
) -> Result<u64> {
    let polite = || {
        if let Some((ends, index)) = &ends {
            ends[*index].fetch_add(1, Ordering::Relaxed);
        }
    };
    let mut retry = false;
    loop {
        match subscriber.next().await? {
            Step::Message(message) => {
                transcript.note(&message)?;
                if message.content == FINAL {
                    return Ok(subscriber.connections - 1);
                }
                if message.kind == "noop" {
                    ensure!(
                        subscriber.transport.is_poll(),
                        "{}: a noop on a stream",
                        subscriber.name()
                    );
                    polite();
                }
            }
            Step::Retry(ms) => {
                ensure!(
                    (500..=3000).contains(&ms),
                    "{}: retry {ms}",
                    subscriber.name()
                );
                retry = true;
            }
            Step::Ended => {
                ensure!(
                    retry == (subscriber.transport == Transport::Sse),
                    "{}: ended with retry: {retry}",
                    subscriber.name()
                );
                retry = false;
                polite();
            }
            // nginx closes idle connections on a reload; a poll sent at that moment meets it.
            Step::Cut(_, what) if what.contains("between polls") => {}
            Step::Cut(_, what) => bail!(what),
            Step::Refused => bail!("{}: refused", subscriber.name()),
        }
    }
}
