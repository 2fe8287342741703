//! Workers killed under publishing.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::sync::watch;
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
const KILLS: usize = 10;
const SUBSCRIBERS: usize = 200;
/// Clients that come and go meanwhile, so that a killed worker is often at the counts.
const CHURNERS: usize = 8;
/// Channels beside the one that is followed, for broadcasts to be busy with.
const OTHERS: usize = 500;
const CHANNEL: &str = "busy";
const FINAL: &str = "final";

/// The workers killed so far.
type Killed = Arc<Mutex<HashSet<i32>>>;

pub async fn run(setup: Arc<Setup>) -> Result<String> {
    let hub = Hub::new("main")
        .set("zone", "64m")
        .set("max_subscribers_per_channel", 1000)
        .set("channel_buffer_size", 10_000)
        .set("channel_timeout", "300s")
        .set("polling_timeout", "300s");
    // The hammered channels are a world of their own, so that they leave no mark on the counts.
    let anvil = Hub::new("anvil")
        .set("zone", "16m")
        .set("channel_timeout", "300s");
    let nginx = setup.start(Config::new(WORKERS, [hub, anvil])).await?;
    let hub = HubAddress {
        address: nginx.address,
        name: "main",
    };
    let anvil = HubAddress {
        address: nginx.address,
        name: "anvil",
    };
    let transcript = Arc::new(Transcript::default());
    let killed = Killed::default();

    let mut crowd = JoinSet::new();
    for index in 0..SUBSCRIBERS {
        let subscriber = Subscriber::new(hub, CHANNEL, Transport::of(index), 1)
            .by_id(index / Transport::ALL.len() % 2 == 1)
            .identified();
        crowd.spawn(follow(
            subscriber,
            Arc::clone(&transcript),
            Arc::clone(&killed),
        ));
    }
    let mut admin = Admin::new(hub);
    wait::first_error(
        &mut crowd,
        admin.await_subscribers(Some(CHANNEL), SUBSCRIBERS),
    )
    .await?;

    for index in 0..OTHERS {
        admin.must_push(&format!("other-{index}"), "hello").await?;
    }
    hammer::prepare(anvil).await?;
    let publishers = [
        Publisher::new(hub, CHANNEL, "p0"),
        Publisher::new(hub, CHANNEL, "p1"),
        Publisher::broadcaster(hub, "all"),
    ];
    let traffic = Traffic::start(publishers, Duration::from_millis(20));
    let mut others = JoinSet::new();
    for index in 0..CHURNERS {
        others.spawn(churn(hub, index, traffic.stopped()));
    }
    others.spawn(hammer::run(anvil, traffic.stopped()));

    // One worker lives through it all: its clients must hear everything on one connection.
    let spared = *fastrand::choice(&nginx.serving_workers()).context("no worker")?;
    for _ in 0..KILLS {
        let step = async {
            progress(&transcript, fastrand::usize(3..30)).await?;
            kill_one(&nginx, &killed, spared).await
        };
        wait::first_error(&mut crowd, step).await?;
    }
    wait::first_error(&mut crowd, progress(&transcript, 20)).await?;
    let attempts = traffic.finish().await?;
    wait::all("clients that come and go", others).await?;

    // No ghosts: the dead workers' subscribers are counted off, the resumed ones counted once.
    let counted = async {
        admin.await_subscribers(Some(CHANNEL), SUBSCRIBERS).await?;
        admin.await_subscribers(None, SUBSCRIBERS).await
    };
    wait::first_error(&mut crowd, counted).await?;
    // None deaf.
    admin.must_push(CHANNEL, FINAL).await?;
    let crowd = wait::within(
        "the final message at every subscriber",
        wait::all("following", crowd),
    )
    .await?;
    transcript.verify(&attempts, &[FINAL])?;
    let whole = crowd
        .iter()
        .filter(|subscriber| subscriber.connections == 1)
        .count();
    let unsure = attempts
        .iter()
        .flatten()
        .filter(|attempt| !attempt.acknowledged)
        .count();
    drop(crowd);
    admin.await_subscribers(None, 0).await?;
    drop(admin);
    nginx.stop(&["exited on signal 9"]).await?;
    Ok(format!(
        "{KILLS} kills, {SUBSCRIBERS} subscribers ({whole} never cut), {} messages each, {unsure} publishes unacknowledged",
        transcript.len()
    ))
}

/// Kills a random worker but `spared`, and waits until nginx has replaced it.
async fn kill_one(nginx: &Nginx, killed: &Killed, spared: i32) -> Result<()> {
    let mut workers = nginx.serving_workers();
    workers.retain(|pid| *pid != spared);
    let pid = *fastrand::choice(&workers).context("no worker to kill")?;
    // Noted first: its clients may be quicker than we are.
    killed
        .lock()
        .map_err(|_| anyhow::anyhow!("a subscriber panicked"))?
        .insert(pid);
    ensure!(
        process::signal(pid, libc::SIGKILL),
        "worker {pid} is gone before its time"
    );
    nginx.renewed(&[pid]).await
}

/// Follows the channel to its final message, and hands back the subscriber with its connection.
async fn follow(
    mut subscriber: Subscriber,
    transcript: Arc<Transcript>,
    killed: Killed,
) -> Result<Subscriber> {
    loop {
        match subscriber.next().await? {
            Step::Message(message) => {
                transcript.note(&message)?;
                if message.content == FINAL {
                    return Ok(subscriber);
                }
            }
            Step::Cut(Some(worker), what) => {
                let killed = killed.lock().map_err(|_| anyhow::anyhow!("poisoned"))?;
                ensure!(
                    killed.contains(&worker),
                    "worker {worker} lives, yet {what}"
                );
            }
            // Killed before it said which worker it was.
            Step::Cut(None, _) => {}
            step => bail!("{}: {step:?} without a reload", subscriber.name()),
        }
    }
}

/// Subscribes, hears a few messages and leaves, again and again.
async fn churn(hub: HubAddress, index: usize, mut stopped: watch::Receiver<bool>) -> Result<()> {
    let mut transport = index;
    while !*stopped.borrow() {
        transport += 1;
        let mut subscriber = Subscriber::new(hub, CHANNEL, Transport::of(transport), 0);
        for _ in 0..3 {
            tokio::select! {
                step = subscriber.next() => {
                    step?;
                }
                _ = stopped.changed() => return Ok(()),
            }
        }
    }
    Ok(())
}
