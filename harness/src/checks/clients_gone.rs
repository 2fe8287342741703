//! Clients that vanish, and connections that go on.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;

use crate::config::{Config, Hub};
use crate::crowd::open_all;
use crate::feed::Transport;
use crate::hub::{Admin, HubAddress};
use crate::nginx::Setup;
use crate::subscriber::{Step, Subscriber};
use crate::wait;

const WORKERS: usize = 2;
const CLIENTS: usize = 2_000;
const CHANNELS: usize = 20;
/// Long polls on one connection.
const POLLS: u64 = 50;
const POLLERS: usize = 8;

pub async fn run(setup: Arc<Setup>) -> Result<String> {
    setup.need_files(CLIENTS as u64 + 200)?;
    let hub = Hub::new("main")
        .set("max_subscribers_per_channel", CLIENTS)
        .set("channel_timeout", "300s")
        .set("polling_timeout", "300s");
    let nginx = setup.start(Config::new(WORKERS, [hub])).await?;
    let hub = HubAddress {
        address: nginx.address,
        name: "main",
    };
    let mut admin = Admin::new(hub);

    let crowd = open_all((0..CLIENTS).map(|index| {
        let channel = format!("channel-{}", index % CHANNELS);
        Subscriber::new(hub, &channel, Transport::of(index / CHANNELS), 1)
    }))
    .await?;
    admin.await_subscribers(None, CLIENTS).await?;
    let mut half_closed = Vec::new();
    for (index, mut subscriber) in crowd.into_iter().enumerate() {
        let socket = subscriber.connection().context("no connection")?.socket();
        match index % 3 {
            0 => drop(subscriber),
            1 => {
                socket.set_zero_linger()?;
                drop(subscriber);
            }
            _ => {
                socket.shutdown().await?;
                half_closed.push(subscriber);
            }
        }
    }
    admin.await_subscribers(None, 0).await?;
    for index in 0..CHANNELS {
        let channel = format!("channel-{index}");
        let count = admin.subscribers(Some(&channel)).await?;
        ensure!(count == 0, "{channel} still counts {count}");
    }
    drop(half_closed);
    keepalive(hub).await?;
    drop(admin);
    nginx.stop(&[]).await?;
    Ok(format!(
        "{CLIENTS} clients closed, reset or half-closed: none counted; {POLLERS} connections served {POLLS} long polls each"
    ))
}

/// Many long polls, each answered by a push, on the same connections.
async fn keepalive(hub: HubAddress) -> Result<()> {
    let mut tasks = JoinSet::new();
    for index in 0..POLLERS {
        let channel = format!("poll-{index}");
        let mut subscriber = Subscriber::new(hub, &channel, Transport::LongPoll, 1).identified();
        tasks.spawn(async move {
            let mut admin = Admin::new(hub);
            subscriber.open().await?;
            let worker = subscriber.worker();
            for seq in 1..=POLLS {
                subscriber.open().await?;
                admin.await_subscribers(Some(&channel), 1).await?;
                admin.must_push(&channel, "next").await?;
                match wait::within("long poll", subscriber.next()).await? {
                    Step::Message(message) => ensure!(message.seq == seq && message.kind == "data"),
                    step => bail!("{}: {step:?}", subscriber.name()),
                }
            }
            ensure!(
                subscriber.connections == 1,
                "{} connections",
                subscriber.connections
            );
            ensure!(
                subscriber.worker() == worker,
                "another worker answers on the connection"
            );
            Ok(())
        });
    }
    wait::all("long polls on one connection", tasks).await?;
    Ok(())
}
