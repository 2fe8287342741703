//! A broadcast to very many channels, beside other requests on the same worker.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use tokio::task::JoinSet;

use crate::config::{Config, Hub};
use crate::crowd::open_all;
use crate::feed::Transport;
use crate::http::Connection;
use crate::hub::{Admin, HubAddress};
use crate::message::Message;
use crate::nginx::Setup;
use crate::subscriber::{Step, Subscriber};
use crate::wait;

const CHANNELS: usize = 100_000;
const BACK_ENDS: usize = 16;
/// Every so manyth channel has a subscriber, the one after it is read afterwards.
const STRIDE: usize = 250;
/// How many requests, each sent after the last one's answer, must be answered before the
/// broadcast is. One or two could have been in the worker's hands already when it began.
const BETWEEN: usize = 4;
/// A client that gets no processor time sends too few requests meanwhile: then the next broadcast
/// decides. A worker that is held up lets none through, however often it is asked.
const TRIES: usize = 10;
const FINAL: &str = "final";

pub async fn run(setup: Arc<Setup>) -> Result<String> {
    let hub = Hub::new("main")
        .set("zone", "256m")
        .set("channel_buffer_size", 2 * TRIES)
        .set("channel_timeout", "600s")
        .set("polling_timeout", "300s");
    let nginx = setup.start(Config::new(1, [hub])).await?;
    let hub = HubAddress {
        address: nginx.address,
        name: "main",
    };
    create(hub).await?;

    let watched: Vec<usize> = (0..CHANNELS).step_by(STRIDE).collect();
    let crowd = open_all(watched.iter().map(|index| {
        Subscriber::new(
            hub,
            &channel(*index),
            Transport::of(index / STRIDE),
            first_seq(*index),
        )
    }))
    .await?;
    let mut admin = Admin::new(hub);
    admin.await_subscribers(None, watched.len()).await?;

    let mut counts = Vec::new();
    while counts.last().is_none_or(|between| *between < BETWEEN) {
        ensure!(
            counts.len() < TRIES,
            "{counts:?} other requests were answered before a broadcast was: it holds up the worker"
        );
        let count = broadcast_among_others(hub, &mut admin, &content(counts.len())).await?;
        counts.push(count);
    }
    let tries = counts.len();

    // One more message on each channel: had the broadcast come twice, it would be in between.
    for index in &watched {
        admin.must_push(&channel(*index), FINAL).await?;
    }
    let mut tasks = JoinSet::new();
    for subscriber in crowd {
        tasks.spawn(once(subscriber, tries));
    }
    let crowd = wait::within("the broadcast", wait::all("broadcast", tasks)).await?;
    for index in &watched {
        unwatched(hub, &mut admin, index + 1, tries).await?;
    }
    drop(crowd);
    drop(admin);
    nginx.stop(&[]).await?;
    Ok(format!(
        "{CHANNELS} channels; {counts:?} other requests answered meanwhile; once on each of {} channels looked at",
        2 * watched.len()
    ))
}

fn channel(index: usize) -> String {
    format!("channel-{index}")
}

/// Even channels are made by a push, which is their message 1; odd ones by a sign.
fn first_seq(index: usize) -> u64 {
    if index.is_multiple_of(2) { 2 } else { 1 }
}

async fn create(hub: HubAddress) -> Result<()> {
    let mut tasks = JoinSet::new();
    for first in 0..BACK_ENDS {
        tasks.spawn(async move {
            let mut admin = Admin::new(hub);
            for index in (first..CHANNELS).step_by(BACK_ENDS) {
                if index.is_multiple_of(2) {
                    admin.must_push(&channel(index), "first").await?;
                } else {
                    admin.sign(&channel(index)).await?;
                }
            }
            Ok(())
        });
    }
    wait::all("creating channels", tasks).await?;
    Ok(())
}

/// The content of a broadcast.
fn content(number: usize) -> String {
    format!("to-all-{number}")
}

/// Broadcasts, and counts the pings and pushes that are answered before the broadcast is.
async fn broadcast_among_others(
    hub: HubAddress,
    admin: &mut Admin,
    content: &str,
) -> Result<usize> {
    // A socket outside of the runtime: a look at it sees what has arrived, not what was polled.
    let broadcast = TcpStream::connect(hub.address)?;
    let look = broadcast.try_clone()?;
    broadcast.set_nonblocking(true)?;
    let mut broadcast = Connection::from_stream(tokio::net::TcpStream::from_std(broadcast)?)?;
    let mut front = Connection::open(hub.address).await?;
    // Connected and known to the worker before the broadcast begins.
    admin.must_push("beside", "0").await?;

    let target = format!("{}?content={content}", hub.admin("broadcast"));
    broadcast.get(&target, "").await?;
    let mut between = 0;
    loop {
        front.get(&hub.front("ping", "beside"), "").await?;
        let ping = wait::within("ping", front.response()).await?;
        ensure!(
            ping.text().starts_with("icomet_cb({\"type\":\"ping\""),
            "ping: {}",
            ping.text()
        );
        if arrived(&look)? {
            break;
        }
        between += 1;
        admin.must_push("beside", &between.to_string()).await?;
        if arrived(&look)? {
            break;
        }
        between += 1;
    }
    let answer = wait::within("broadcast", broadcast.response()).await?;
    ensure!(
        answer.head.status == 200 && answer.body == b"ok\n",
        "broadcast: {} {:?}",
        answer.head.status,
        answer.text()
    );
    Ok(between)
}

fn arrived(socket: &TcpStream) -> Result<bool> {
    match socket.peek(&mut [0]) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => bail!(error),
    }
}

/// The broadcasts, each with its next_seq, then the final message, and nothing else.
async fn once(mut subscriber: Subscriber, tries: usize) -> Result<Subscriber> {
    let mut due: Vec<_> = (0..tries)
        .flat_map(|number| [("broadcast", content(number)), ("next_seq", String::new())])
        .collect();
    due.push(("data", FINAL.to_owned()));
    for (kind, content) in due {
        match subscriber.next().await? {
            Step::Message(message) => ensure!(
                message.kind == kind && message.content == content,
                "{}: {kind} was due, {message:?} came",
                subscriber.name()
            ),
            step => bail!("{}: {step:?}", subscriber.name()),
        }
    }
    Ok(subscriber)
}

/// A channel without a subscriber has the broadcasts in its buffer, once.
async fn unwatched(hub: HubAddress, admin: &mut Admin, index: usize, tries: usize) -> Result<()> {
    let seq = first_seq(index);
    let target = format!("{}&seq={seq}&wait=0", hub.front("sub", &channel(index)));
    let response = admin.ask(&target).await?;
    let batch = Message::parse_batch(&response.body).map_err(anyhow::Error::msg)?;
    let got: Vec<_> = batch
        .iter()
        .map(|message| (message.kind.as_str(), message.seq))
        .collect();
    let want: Vec<_> = (seq..seq + tries as u64)
        .flat_map(|seq| [("broadcast", seq), ("next_seq", seq + 1)])
        .collect();
    ensure!(
        got == want,
        "{} holds {got:?} from seq {seq} on",
        channel(index)
    );
    Ok(())
}
