//! A worker that stands still inside a lock of the zone: the others serve on, refuse what they cannot do, and say
//! who is to blame. Needs a module built for fault injection, which stops where it is told to.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};

use crate::config::{Config, Hub};
use crate::feed::Transport;
use crate::http::{Connection, Response};
use crate::hub::HubAddress;
use crate::nginx::{Nginx, Setup};
use crate::process::{self, DISARM, STOP, Stopped, is_stopped, orders};
use crate::subscriber::{Step, Subscriber};
use crate::wait::{until, within};

const CHANNEL: &str = "busy";

/// Stores of a publish at most; it has about twenty.
const STORES: i32 = 200;

/// Channels of which some stand in other parts of the zone.
const OTHERS: usize = 16;

/// So often the worker must have stopped where it is in the way.
const ENOUGH: usize = 5;

/// What another worker did meanwhile.
#[derive(Default)]
struct Found {
    /// Stops in which the channel could not be published to.
    busy: usize,
    /// Publishes to other channels that were taken.
    served: usize,
}

pub async fn run(setup: Arc<Setup>) -> Result<String> {
    let hub = Hub::new("main")
        .set("zone", "16m")
        .set("channel_buffer_size", 10_000)
        .set("channel_timeout", "300s")
        .set("polling_timeout", "300s");
    let mut config = Config::new(2, [hub]);
    config.server = "location = /static { alias conf/nginx.conf; }\n";
    let nginx = setup.start(config).await?;
    let hub = HubAddress {
        address: nginx.address,
        name: "main",
    };
    let workers = nginx.serving_workers();
    let [victim, other] = workers[..] else {
        bail!("{} workers", workers.len());
    };
    let mut through_victim = connection_of(hub, victim).await?;
    let mut through_other = connection_of(hub, other).await?;
    // Each answer is one more message.
    push(&mut through_other, CHANNEL).await?;
    is_ok(&within("a publish", through_other.response()).await?)?;
    let mut published = 1u64;
    let mut subscriber = Subscriber::new(hub, CHANNEL, Transport::Stream, 1);
    let mut seen = u64::from(next(&mut subscriber).await?);
    let mut found = Found::default();
    let mut stops = 0;
    for store in 0..STORES {
        ensure!(
            process::signal_with(victim, orders(), STOP - store),
            "worker {victim} is gone"
        );
        push(&mut through_victim, CHANNEL).await?;
        let stopped = Stopped { pids: vec![victim] };
        let Some(response) = answered_or_stopped(&mut through_victim, victim).await? else {
            stops += 1;
            let taken = others_go_on(&nginx, &mut through_other, victim, &mut found).await?;
            published += u64::from(taken);
            drop(stopped);
            let response = within("what was stopped goes on", through_victim.response()).await?;
            is_ok(&response)?;
            published += 1;
            continue;
        };
        is_ok(&response)?;
        published += 1;
        process::signal_with(victim, orders(), DISARM);
        break;
    }
    ensure!(
        found.busy >= ENOUGH,
        "it stopped {stops} times, and was in the way {} times",
        found.busy
    );
    ensure!(found.served > 0, "no other channel was served");
    // Nothing is lost, nothing doubled: the subscriber takes no other seq than the one that is due.
    while seen < published {
        seen += u64::from(next(&mut subscriber).await?);
    }
    ensure!(
        nginx.serving_workers() == workers,
        "a worker did not survive"
    );
    drop(subscriber);
    nginx.stop(&[]).await?;
    Ok(format!(
        "stopped before {stops} stores of a publish: another worker was refused {} times with 503 and Retry-After, \
         {} publishes to other channels were taken, and a file was always served; all {published} messages are there",
        found.busy, found.served
    ))
}

/// What another worker does while one stands still; whether it could publish.
async fn others_go_on(
    nginx: &Nginx,
    other: &mut Connection,
    victim: i32,
    found: &mut Found,
) -> Result<bool> {
    serves_a_file(other).await?;
    push(other, CHANNEL).await?;
    let pushed = within("a publish", other.response()).await?;
    if pushed.head.status == 200 {
        return Ok(true);
    }
    is_busy(&pushed)?;
    // The API, and who subscribes, are told the same.
    other
        .get(&format!("/main-admin/api/presence?channel={CHANNEL}"), "")
        .await?;
    is_busy(&within("presence", other.response()).await?)?;
    other
        .get(&format!("/main/sub?cname={CHANNEL}&seq=1"), "")
        .await?;
    is_busy(&within("a subscribe", other.response()).await?)?;
    // What is not in its hand goes on.
    for index in 0..OTHERS {
        push(other, &format!("other-{index}")).await?;
        let pushed = within("another publish", other.response()).await?;
        match pushed.head.status {
            200 => found.served += 1,
            _ => is_busy(&pushed)?,
        }
    }
    serves_a_file(other).await?;
    if found.busy == 0 {
        let line = format!("process {victim} holds a part of the channels, and does not go on");
        until("the log says who it is", || async {
            Ok((nginx.logged(&line) == 0).then(|| "nothing".to_owned()))
        })
        .await?;
    }
    found.busy += 1;
    Ok(false)
}

async fn serves_a_file(connection: &mut Connection) -> Result<()> {
    connection.get("/static", "").await?;
    is_ok(&within("a file", connection.response()).await?)
}

/// Whether the next thing that a subscriber is told is a message.
async fn next(subscriber: &mut Subscriber) -> Result<bool> {
    match within("the messages", subscriber.next()).await? {
        Step::Message(message) => Ok(message.kind == "data"),
        step => bail!("{step:?}"),
    }
}

fn is_ok(response: &Response) -> Result<()> {
    ensure!(
        response.head.status == 200,
        "{} {}",
        response.head.status,
        response.text()
    );
    Ok(())
}

fn is_busy(response: &Response) -> Result<()> {
    ensure!(
        response.head.status == 503,
        "{} {}",
        response.head.status,
        response.text()
    );
    ensure!(
        response.head.header("retry-after") == Some("1"),
        "no Retry-After"
    );
    Ok(())
}

async fn push(connection: &mut Connection, channel: &str) -> Result<()> {
    let form = format!("cname={channel}&content=x");
    Ok(connection.post("/main-admin/push", &form).await?)
}

/// The answer, or `None` when the worker has stopped before it.
async fn answered_or_stopped(connection: &mut Connection, worker: i32) -> Result<Option<Response>> {
    tokio::select! {
        response = within("an answer", connection.response()) => response.map(Some),
        stopped = until("a stop", || async {
            Ok((!is_stopped(worker)).then(|| "running".to_owned()))
        }) => stopped.map(|()| None),
    }
}

/// A connection that this worker serves.
async fn connection_of(hub: HubAddress, worker: i32) -> Result<Connection> {
    for _ in 0..1000 {
        let mut connection = Connection::open(hub.address).await?;
        connection.get("/status", "").await?;
        let response = within("status", connection.response()).await?;
        let serving = response.head.worker().context("no X-Worker")?;
        if serving == worker {
            return Ok(connection);
        }
    }
    bail!("worker {worker} takes no connections")
}
