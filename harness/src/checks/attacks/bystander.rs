//! Somebody who has nothing to do with an attack: publishes, listens, asks for a file, and notes how
//! long it takes.
//!
//! On a thread and a runtime of its own, so that it waits for the server and not for the attackers'
//! tasks. It asks at times that are fixed beforehand: what comes late because the answer before it was
//! late counts from when it was due.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use crate::feed::{Event, Feed, Transport};
use crate::http::{Connection, Response, encode};
use crate::hub::HubAddress;
use crate::latency::Latencies;
use crate::wait;

/// The channel that it listens to.
pub const CHANNEL: &str = "bystander";
/// A file of nginx's own.
pub const FILE: &str = "/file";
/// From one question to the next.
const PACE: Duration = Duration::from_millis(8);
/// No longer than this, however late all is.
const LONGEST: Duration = Duration::from_secs(4);

/// What it noted.
#[derive(Debug, Clone, Default)]
pub struct Noted {
    /// From before a publish until the message has come, or the refusal.
    pub way: Latencies,
    /// A file.
    pub file: Latencies,
    /// What publishes were answered, and how often.
    pub answers: BTreeMap<u16, u64>,
}

struct Order(usize, oneshot::Sender<Result<Noted>>);

/// It, as a check holds it. It goes with this.
pub struct Bystander(mpsc::Sender<Order>);

impl Bystander {
    /// Begins to listen; all its connections are that worker's, if one is named.
    pub async fn start(hub: HubAddress, worker: Option<i32>) -> Result<Self> {
        let (orders, taken) = mpsc::channel::<Order>();
        let (begun, begin) = oneshot::channel();
        std::thread::spawn(move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
            else {
                return;
            };
            runtime.block_on(async {
                let mut person = match wait::within("a bystander", Person::open(hub, worker)).await
                {
                    Ok(person) => person,
                    Err(error) => return drop(begun.send(Err(error))),
                };
                let _ = begun.send(Ok(()));
                // Nothing else is to be done on this thread meanwhile.
                while let Ok(Order(count, reply)) = taken.recv() {
                    let noted = wait::within("a bystander", person.measure(count)).await;
                    let _ = reply.send(noted);
                }
            });
        });
        begin.await.context("no thread")??;
        Ok(Self(orders))
    }

    /// Asks so often, and notes.
    pub async fn measure(&self, count: usize) -> Result<Noted> {
        let (reply, noted) = oneshot::channel();
        self.0
            .send(Order(count, reply))
            .map_err(|_| anyhow::anyhow!("the bystander is gone"))?;
        noted.await.context("the bystander is gone")?
    }
}

/// A connection that this worker serves, or any.
pub async fn open_at(address: SocketAddr, worker: Option<i32>) -> Result<Connection> {
    loop {
        let mut connection = Connection::open(address).await?;
        connection.get("/status", "").await?;
        let response = connection.response().await?;
        if worker.is_none() || response.head.worker() == worker {
            return Ok(connection);
        }
    }
}

struct Person {
    hub: HubAddress,
    feed: Feed,
    publisher: Connection,
    reader: Connection,
    number: u64,
}

impl Person {
    async fn open(hub: HubAddress, worker: Option<i32>) -> Result<Self> {
        let listener = open_at(hub.address, worker).await?;
        let target = hub.front("stream", CHANNEL);
        Ok(Self {
            hub,
            feed: Feed::open(listener, Transport::Stream, &target, "").await?,
            publisher: open_at(hub.address, worker).await?,
            reader: open_at(hub.address, worker).await?,
            number: 0,
        })
    }

    async fn measure(&mut self, count: usize) -> Result<Noted> {
        let mut noted = Noted::default();
        let begin = Instant::now();
        for index in 0..count {
            let due = begin + PACE * index as u32;
            let mut start = due;
            if Instant::now() < due {
                sleep_until(due).await;
                // Whoever wakes late has not waited for the server.
                start = Instant::now();
            }
            if start.duration_since(begin).max(begin.elapsed()) > LONGEST {
                break;
            }
            match index % 8 {
                3 | 7 => {
                    self.reader.get(FILE, "").await?;
                    let response = self.reader.response().await?;
                    ensure!(response.head.status == 200, "a file: {:?}", response.head);
                    noted.file.add(start.elapsed());
                }
                5 => {
                    // One that nobody has asked for.
                    let fresh = format!("fresh-{}", self.number % 1000);
                    let answer = self.publish(&fresh, "x").await?;
                    *noted.answers.entry(answer.head.status).or_default() += 1;
                }
                _ => {
                    let content = format!("m{}", self.number);
                    let answer = self.publish(CHANNEL, &content).await?;
                    *noted.answers.entry(answer.head.status).or_default() += 1;
                    if answer.head.status == 200 {
                        self.hear(&content).await?;
                    }
                    noted.way.add(start.elapsed());
                }
            }
            self.number += 1;
        }
        Ok(noted)
    }

    async fn hear(&mut self, content: &str) -> Result<()> {
        loop {
            match self.feed.next().await? {
                Event::Message(message) if message.content == content => return Ok(()),
                Event::Message(_) => {}
                other => anyhow::bail!("the bystander's stream: {other:?}"),
            }
        }
    }

    async fn publish(&mut self, channel: &str, content: &str) -> Result<Response> {
        let form = format!("cname={}&content={content}", encode(channel));
        let target = self.hub.admin("push");
        self.publisher.post(&target, &form).await?;
        Ok(self.publisher.response().await?)
    }
}
