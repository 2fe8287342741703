//! One channel, very many subscribers on all workers.

use std::sync::Arc;

use anyhow::Result;
use tokio::task::JoinSet;

use crate::config::{Config, Hub};
use crate::crowd::{Gate, spread};
use crate::feed::Transport;
use crate::hub::{Admin, HubAddress};
use crate::ledger::{Publisher, Transcript};
use crate::nginx::Setup;
use crate::subscriber::{Step, Subscriber};
use crate::wait;

const SUBSCRIBERS: usize = 10_000;
const WORKERS: usize = 4;
const PUBLISHERS: usize = 4;
/// Messages of each publisher.
const EACH: usize = 50;
const CHANNEL: &str = "one";

pub async fn run(setup: Arc<Setup>) -> Result<String> {
    setup.need_files(SUBSCRIBERS as u64 + 200)?;
    let hub = Hub::new("main")
        .set("zone", "64m")
        .set("max_subscribers_per_channel", 2 * SUBSCRIBERS)
        // All messages fit: whoever is late is late, not out.
        .set("channel_buffer_size", 2 * PUBLISHERS * EACH)
        .set("channel_timeout", "300s")
        .set("polling_timeout", "300s");
    let nginx = setup.start(Config::new(WORKERS, [hub])).await?;
    let hub = HubAddress {
        address: nginx.address,
        name: "main",
    };
    let transcript = Arc::new(Transcript::default());
    let last = (PUBLISHERS * EACH) as u64;

    let gate = Gate::new();
    let mut subscribers = JoinSet::new();
    for index in 0..SUBSCRIBERS {
        // Half of them ask for the first message, half for whatever comes next.
        let seq = (index / Transport::ALL.len() % 2) as u64;
        let mut subscriber = Subscriber::new(hub, CHANNEL, Transport::of(index), seq)
            .by_id(index % 3 == 0)
            .identified();
        let (gate, transcript) = (gate.clone(), Arc::clone(&transcript));
        subscribers.spawn(async move {
            gate.open(&mut subscriber).await?;
            while subscriber.due() != Some(last + 1) {
                match subscriber.next().await? {
                    Step::Message(message) => transcript.note(&message)?,
                    step => anyhow::bail!("{}: {step:?}", subscriber.name()),
                }
            }
            Ok(subscriber)
        });
    }
    let mut admin = Admin::new(hub);
    wait::first_error(
        &mut subscribers,
        admin.await_subscribers(Some(CHANNEL), SUBSCRIBERS),
    )
    .await?;

    let mut publishers = JoinSet::new();
    for index in 0..PUBLISHERS {
        let mut publisher = Publisher::new(hub, CHANNEL, &format!("p{index}"));
        publishers.spawn(async move {
            for _ in 0..EACH {
                publisher.publish().await?;
            }
            Ok(publisher.attempts)
        });
    }
    let attempts = wait::all("publishing", publishers).await?;
    let subscribers = wait::within(
        "every message at every subscriber",
        wait::all("receiving", subscribers),
    )
    .await?;
    transcript.verify(&attempts, &[])?;
    spread(&subscribers, WORKERS)?;
    drop(subscribers);
    admin.await_subscribers(Some(CHANNEL), 0).await?;
    drop(admin);
    nginx.stop(&[]).await?;
    Ok(format!(
        "{SUBSCRIBERS} subscribers on {WORKERS} workers, {last} messages each, in order"
    ))
}
