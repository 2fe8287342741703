//! Readers that stop reading on a busy channel.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail, ensure};
use tokio::task::JoinSet;

use crate::config::{Config, Hub};
use crate::crowd::open_all;
use crate::feed::Transport;
use crate::hub::{Admin, HubAddress};
use crate::nginx::Setup;
use crate::process::private_memory;
use crate::subscriber::{Step, Subscriber};
use crate::wait;

const WORKERS: usize = 2;
const SLOW: usize = 20;
const FAST: usize = 8;
const MESSAGES: u64 = 600;
/// Bytes of a message: all together many times what the sockets hold.
const SIZE: usize = 60_000;
const BUFFER: u64 = 10;
/// How far the publisher runs ahead of the fast readers: never out of the buffer.
const AHEAD: u64 = BUFFER / 2;
/// A worker that kept the messages for its stopped readers would need some 34 MiB even if they
/// shared them.
const MEMORY: u64 = 16 << 20;
const CHANNEL: &str = "busy";

pub async fn run(setup: Arc<Setup>) -> Result<String> {
    let hub = Hub::new("main")
        .set("zone", "64m")
        .set("max_subscribers_per_channel", 1000)
        .set("channel_buffer_size", BUFFER)
        .set("channel_timeout", "300s")
        .set("polling_timeout", "300s");
    let mut config = Config::new(WORKERS, [hub]);
    config.listen = " sndbuf=64k";
    let nginx = setup.start(config).await?;
    let hub = HubAddress {
        address: nginx.address,
        name: "main",
    };

    let slow = open_all((0..SLOW).map(|_| {
        Subscriber::new(hub, CHANNEL, Transport::Sse, 1)
            .narrow(16 * 1024)
            .tolerating_lost()
    }))
    .await?;
    let seen: Arc<Vec<AtomicU64>> = Arc::new((0..FAST).map(|_| AtomicU64::new(0)).collect());
    let mut fast = JoinSet::new();
    for index in 0..FAST {
        let mut subscriber = Subscriber::new(hub, CHANNEL, Transport::of(index), 1);
        let seen = Arc::clone(&seen);
        fast.spawn(async move {
            for seq in 1..=MESSAGES {
                match subscriber.next().await? {
                    Step::Message(message) => ensure!(message.content == content(seq)),
                    step => bail!("{}: {step:?}", subscriber.name()),
                }
                seen[index].store(seq, Ordering::Relaxed);
            }
            Ok(subscriber)
        });
    }
    let mut admin = Admin::new(hub);
    let mut counter = Admin::new(hub);
    wait::first_error(
        &mut fast,
        counter.await_subscribers(Some(CHANNEL), SLOW + FAST),
    )
    .await?;
    let memory = || -> Result<Vec<u64>> {
        let workers = nginx.serving_workers();
        workers
            .into_iter()
            .map(|pid| private_memory(pid).context("no RssAnon"))
            .collect()
    };
    let before: u64 = memory()?.iter().sum();

    for seq in 1..=MESSAGES {
        wait::within("push", admin.push(CHANNEL, &content(seq))).await?;
        let caught_up = wait::until("fast readers hear everything", || async {
            let slowest = seen
                .iter()
                .map(|seq| seq.load(Ordering::Relaxed))
                .min()
                .unwrap_or(0);
            Ok((slowest + AHEAD < seq).then(|| format!("{slowest} of {seq}")))
        });
        if seq > AHEAD && seq < MESSAGES {
            wait::first_error(&mut fast, caught_up).await?;
        }
    }
    let fast = wait::within("every message at the fast readers", wait::all("fast", fast)).await?;
    let grown = memory()?.iter().sum::<u64>().saturating_sub(before);
    ensure!(
        grown < MEMORY,
        "the workers grew by {} KiB for {SLOW} readers that had stopped",
        grown / 1024
    );

    let mut tasks = JoinSet::new();
    for subscriber in slow {
        tasks.spawn(resume(subscriber));
    }
    let slow = wait::within("stopped readers catch up", wait::all("slow", tasks)).await?;
    let lost: u64 = slow.iter().map(|subscriber| subscriber.lost).sum();
    drop((slow, fast));
    counter.await_subscribers(Some(CHANNEL), 0).await?;
    drop((admin, counter));
    nginx.stop(&[]).await?;
    Ok(format!(
        "{SLOW} stopped readers were told of {lost} lost of {} messages, {FAST} others got all, workers grew by {} KiB",
        MESSAGES * SLOW as u64,
        grown / 1024
    ))
}

/// Reads on: every message in order, or told how many are missing, up to the last one.
async fn resume(mut subscriber: Subscriber) -> Result<Subscriber> {
    while subscriber.due() != Some(MESSAGES + 1) {
        match subscriber.next().await? {
            Step::Message(message) if message.kind == "data" => ensure!(
                message.content == content(message.seq),
                "{}: seq {} has another's content",
                subscriber.name(),
                message.seq
            ),
            Step::Message(_) => {}
            step => bail!("{}: {step:?}", subscriber.name()),
        }
    }
    Ok(subscriber)
}

/// A message that says its seq, and is long.
fn content(seq: u64) -> String {
    format!("{seq:0>width$}", width = SIZE)
}
