//! A graceful end with many subscribers.

use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use tokio::task::JoinSet;

use crate::config::{Config, Hub};
use crate::crowd::open_all;
use crate::feed::Transport;
use crate::hub::{Admin, HubAddress};
use crate::nginx::Setup;
use crate::subscriber::{Step, Subscriber};
use crate::wait;

const WORKERS: usize = 2;
const SUBSCRIBERS: usize = 1_000;

pub async fn run(setup: Arc<Setup>) -> Result<String> {
    setup.need_files(SUBSCRIBERS as u64 + 200)?;
    let hub = Hub::new("main")
        .set("max_subscribers_per_channel", SUBSCRIBERS)
        .set("channel_timeout", "300s")
        .set("polling_timeout", "300s");
    let mut nginx = setup.start(Config::new(WORKERS, [hub])).await?;
    let hub = HubAddress {
        address: nginx.address,
        name: "main",
    };
    let crowd = open_all(
        (0..SUBSCRIBERS).map(|index| Subscriber::new(hub, "channel", Transport::of(index), 1)),
    )
    .await?;
    let mut admin = Admin::new(hub);
    admin.await_subscribers(None, SUBSCRIBERS).await?;

    let mut tasks = JoinSet::new();
    for subscriber in crowd {
        tasks.spawn(polite_end(subscriber));
    }
    nginx.send("quit").await?;
    wait::within("polite ends", wait::all("shutting down", tasks)).await?;
    nginx.exited().await?;
    nginx.check_log(&[])?;
    Ok(format!(
        "{SUBSCRIBERS} subscribers ended politely, nginx exited"
    ))
}

/// A noop for a long poll; `retry:` and the end of the response for SSE; the end for the others.
async fn polite_end(mut subscriber: Subscriber) -> Result<()> {
    let mut step = subscriber.next().await?;
    if subscriber.transport == Transport::Sse {
        match step {
            Step::Retry(ms) => ensure!((500..=3000).contains(&ms), "retry: {ms}"),
            other => bail!("{}: {other:?} instead of retry", subscriber.name()),
        }
        step = subscriber.next().await?;
    }
    match (&step, subscriber.transport) {
        (Step::Message(message), transport) if transport.is_poll() && message.kind == "noop" => {}
        (
            Step::Ended,
            Transport::Stream | Transport::Sse | Transport::Iframe | Transport::WebSocket,
        ) => {}
        _ => bail!("{}: {step:?}", subscriber.name()),
    }
    let Some(connection) = subscriber.connection() else {
        return Ok(());
    };
    // And then the connection closes.
    connection.closed().await?;
    Ok(())
}
