//! Clients of three channels each, which cut themselves off at random while all three are published to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use anyhow::{Result, bail, ensure};
use tokio::task::JoinSet;

use crate::config::{Config, Hub};
use crate::feed::Transport;
use crate::hub::{Admin, HubAddress};
use crate::nginx::Setup;
use crate::subscriber::{Step, Subscriber};
use crate::wait;

const CHANNELS: [&str; 3] = ["first", "second", "third"];
const WORKERS: usize = 4;
/// Clients of each transport; every second one resumes by what a browser sends by itself.
const EACH: usize = 8;
/// Messages of each channel.
const MESSAGES: u64 = 1_000;
/// A client resets its connection after one of so many messages.
const CUT: u32 = 25;

pub async fn run(setup: Arc<Setup>) -> Result<String> {
    let hub = Hub::new("main")
        .set("max_subscribers_per_channel", 1_000)
        .set("channel_buffer_size", MESSAGES)
        .set("channel_timeout", "300s")
        .set("polling_timeout", "300s");
    let nginx = setup.start(Config::new(WORKERS, [hub])).await?;
    let hub = HubAddress {
        address: nginx.address,
        name: "main",
    };
    let cuts = Arc::new(AtomicU64::new(0));
    let mut clients = JoinSet::new();
    for index in 0..EACH * Transport::ALL.len() {
        let client = Subscriber::of_many(hub, &CHANNELS, Transport::of(index), 1)
            .by_id(index / Transport::ALL.len() % 2 == 1);
        clients.spawn(follow(client, Arc::clone(&cuts)));
    }
    let mut publishers = JoinSet::new();
    for channel in CHANNELS {
        publishers.spawn(async move {
            let mut admin = Admin::new(hub);
            for seq in 1..=MESSAGES {
                admin.push(channel, &content(channel, seq)).await?;
            }
            Ok(())
        });
    }
    wait::all("publishing", publishers).await?;
    let clients = wait::all("every message at every client", clients).await?;
    let connections: u64 = clients.iter().map(|client| client.connections).sum();
    drop(clients);
    for channel in CHANNELS {
        Admin::new(hub).await_subscribers(Some(channel), 0).await?;
    }
    nginx.stop(&[]).await?;
    let cuts = cuts.load(Relaxed);
    ensure!(cuts > 0, "nobody was cut off");
    Ok(format!(
        "{} clients of {} channels with {MESSAGES} messages each, cut off {cuts} times, on {connections} connections: each message once and in order",
        EACH * Transport::ALL.len(),
        CHANNELS.len(),
    ))
}

fn content(channel: &str, seq: u64) -> String {
    format!("{channel} {seq}")
}

/// Reads to the last message of each channel; that none is missing, doubled or out of order the
/// subscriber itself sees to.
async fn follow(mut client: Subscriber, cuts: Arc<AtomicU64>) -> Result<Subscriber> {
    while !client.waits_for(MESSAGES + 1) {
        match client.next().await? {
            Step::Message(message) => {
                ensure!(
                    message.content == content(&message.cname, message.seq),
                    "{}: {message:?}",
                    client.name()
                );
                if fastrand::u32(..CUT) == 0 && client.is_connected() {
                    client.reset();
                    cuts.fetch_add(1, Relaxed);
                }
            }
            step => bail!("{}: {step:?}", client.name()),
        }
    }
    Ok(client)
}
