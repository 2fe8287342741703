//! nginx exits and is started again, under publishing: what was acknowledged is in the state file.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::task::JoinSet;

use crate::config::{Config, Hub};
use crate::feed::Transport;
use crate::hammer;
use crate::hub::{Admin, HubAddress};
use crate::ledger::{Publisher, Transcript};
use crate::nginx::{Nginx, Setup};
use crate::process;
use crate::subscriber::{Step, Subscriber};
use crate::traffic::{Traffic, progress};
use crate::wait;

const WORKERS: usize = 4;
const SUBSCRIBERS: usize = 120;
const CHANNEL: &str = "busy";
const FINAL: &str = "final";

/// How nginx is ended, and whether a worker is killed in front of it.
const ROUNDS: [(&str, bool); 6] = [
    ("quit", false),
    ("stop", false),
    ("quit", true),
    ("stop", true),
    ("quit", true),
    ("stop", false),
];

pub async fn run(setup: Arc<Setup>) -> Result<String> {
    let hub = Hub::new("main")
        .set("zone", "64m")
        .set("state_file", "main.state")
        .set("max_subscribers_per_channel", 1000)
        // More than what is published while nginx is away and an EventSource waits its retry time.
        .set("channel_buffer_size", 10_000)
        .set("channel_timeout", "300s")
        .set("polling_timeout", "300s");
    // Many channels that are published to without a pause, so that each exit comes amid that.
    let anvil = Hub::new("anvil")
        .set("zone", "16m")
        .set("state_file", "anvil.state")
        .set("channel_timeout", "300s");
    let mut nginx = setup.start(Config::new(WORKERS, [hub, anvil])).await?;
    let address = |name| HubAddress {
        address: nginx.address,
        name,
    };
    let (hub, anvil) = (address("main"), address("anvil"));
    let transcript = Arc::new(Transcript::default());

    let mut crowd = JoinSet::new();
    for index in 0..SUBSCRIBERS {
        let subscriber = Subscriber::new(hub, CHANNEL, Transport::of(index), 1)
            .by_id(index / Transport::ALL.len() % 2 == 1);
        crowd.spawn(follow(subscriber, Arc::clone(&transcript)));
    }
    let mut admin = Admin::new(hub);
    wait::first_error(
        &mut crowd,
        admin.await_subscribers(Some(CHANNEL), SUBSCRIBERS),
    )
    .await?;
    let token = admin.sign("signed").await?["token"].clone();
    hammer::prepare(anvil).await?;
    let publishers = [
        Publisher::new(hub, CHANNEL, "p0"),
        Publisher::new(hub, CHANNEL, "p1"),
        Publisher::broadcaster(hub, "all"),
    ];
    let traffic = Traffic::start(publishers, Duration::from_millis(10));
    let mut others = JoinSet::new();
    others.spawn(hammer::run(anvil, traffic.stopped()));

    for (signal, kill) in ROUNDS {
        let step = async {
            progress(&transcript, fastrand::usize(10..40)).await?;
            if kill {
                kill_one(&nginx)?;
            }
            nginx.send(signal).await?;
            nginx.exited().await?;
            nginx.start_again().await?;
            progress(&transcript, 10).await?;
            // All have come back, and nobody is counted that went with the last nginx.
            admin.await_subscribers(Some(CHANNEL), SUBSCRIBERS).await?;
            let again = admin.sign("signed").await?;
            ensure!(again["token"] == token, "{signal}: the token has changed");
            Ok(())
        };
        wait::first_error(&mut crowd, step)
            .await
            .with_context(|| format!("{signal}, a worker killed before: {kill}"))?;
    }
    let attempts = traffic.finish().await?;
    wait::all("hammering", others).await?;
    admin.must_push(CHANNEL, FINAL).await?;
    let resumed = wait::within("the final message", wait::all("following", crowd)).await?;
    transcript.verify(&attempts, &[FINAL])?;
    let unsure = attempts
        .iter()
        .flatten()
        .filter(|attempt| !attempt.acknowledged)
        .count();
    drop(admin);
    nginx.stop(&["exited on signal 9"]).await?;
    Ok(format!(
        "{} restarts, {SUBSCRIBERS} subscribers resumed {} times, {} messages each, {unsure} publishes unacknowledged",
        ROUNDS.len(),
        resumed.iter().sum::<u64>(),
        transcript.len()
    ))
}

/// Kills a worker amid its work; nginx is told to exit before or while it starts another.
fn kill_one(nginx: &Nginx) -> Result<()> {
    let pid = *fastrand::choice(&nginx.serving_workers()).context("no worker to kill")?;
    ensure!(
        process::signal(pid, libc::SIGKILL),
        "worker {pid} is gone before its time"
    );
    Ok(())
}

/// Follows the channel to its final message; how often it connected again. Any message that is
/// missing, repeated, out of order, or `lost`, is an error of the subscriber's.
async fn follow(mut subscriber: Subscriber, transcript: Arc<Transcript>) -> Result<u64> {
    loop {
        match subscriber.next().await? {
            Step::Message(message) => {
                transcript.note(&message)?;
                if message.content == FINAL {
                    return Ok(subscriber.connections - 1);
                }
                if message.kind == "noop" && !subscriber.transport.is_poll() {
                    bail!("{}: a noop on a stream", subscriber.name());
                }
            }
            // Polite with quit; cut with stop, or by the kill; refused while nginx is away.
            Step::Retry(_) | Step::Ended | Step::Cut(..) => {}
            Step::Refused => bail!("{}: refused", subscriber.name()),
        }
    }
}
