//! Very many channels with one subscriber each.

use std::sync::Arc;

use anyhow::{Result, ensure};
use tokio::task::JoinSet;

use crate::config::{Config, Hub};
use crate::crowd::{Gate, spread};
use crate::feed::Transport;
use crate::hub::{Admin, HubAddress};
use crate::nginx::Setup;
use crate::subscriber::{Step, Subscriber};
use crate::wait;

const CHANNELS: usize = 10_000;
const WORKERS: usize = 4;
const PUBLISHERS: usize = 16;
/// Messages of each channel.
const MESSAGES: u64 = 10;

pub async fn run(setup: Arc<Setup>) -> Result<String> {
    setup.need_files(CHANNELS as u64 + 200)?;
    let hub = Hub::new("main")
        .set("channel_timeout", "300s")
        .set("polling_timeout", "300s");
    let nginx = setup.start(Config::new(WORKERS, [hub])).await?;
    let hub = HubAddress {
        address: nginx.address,
        name: "main",
    };

    let gate = Gate::new();
    let mut subscribers = JoinSet::new();
    for index in 0..CHANNELS {
        let seq = (index / Transport::ALL.len() % 2) as u64;
        let mut subscriber =
            Subscriber::new(hub, &channel(index), Transport::of(index), seq).identified();
        let gate = gate.clone();
        subscribers.spawn(async move {
            gate.open(&mut subscriber).await?;
            while subscriber.due() != Some(MESSAGES + 1) {
                match subscriber.next().await? {
                    Step::Message(message) if message.kind == "data" => ensure!(
                        message.content == content(&subscriber.channel, message.seq),
                        "{}: seq {} is {:?}",
                        subscriber.name(),
                        message.seq,
                        message.content
                    ),
                    Step::Message(message) if message.kind == "next_seq" => {}
                    step => anyhow::bail!("{}: {step:?}", subscriber.name()),
                }
            }
            Ok(subscriber)
        });
    }
    let mut admin = Admin::new(hub);
    wait::first_error(&mut subscribers, admin.await_subscribers(None, CHANNELS)).await?;

    let mut publishers = JoinSet::new();
    for first in 0..PUBLISHERS {
        publishers.spawn(async move {
            let mut admin = Admin::new(hub);
            for seq in 1..=MESSAGES {
                for index in (first..CHANNELS).step_by(PUBLISHERS) {
                    let channel = channel(index);
                    admin.must_push(&channel, &content(&channel, seq)).await?;
                }
            }
            Ok(())
        });
    }
    wait::all("publishing", publishers).await?;
    let subscribers = wait::within(
        "every message at every subscriber",
        wait::all("receiving", subscribers),
    )
    .await?;
    spread(&subscribers, WORKERS)?;
    drop(subscribers);
    admin.await_subscribers(None, 0).await?;
    drop(admin);
    nginx.stop(&[]).await?;
    Ok(format!(
        "{CHANNELS} channels on {WORKERS} workers, {MESSAGES} messages each, in order"
    ))
}

fn channel(index: usize) -> String {
    format!("channel-{index}")
}

fn content(channel: &str, seq: u64) -> String {
    format!("{channel} #{seq}")
}
