//! A ledger of channels that expire, are closed and cleared, and begin again under their old names, and of
//! clients that are away meanwhile: what one of them is not sent when it comes back is covered by a
//! `lost`, with its number where that can be known.
//!
//! One task does everything, so the ledger is exact; the order is random, from a seed that is told.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use fastrand::Rng;

use self::Way::{PollEpoch, PollTag, Socket, SseId, StreamEpoch};
use crate::body::Decoder;
use crate::config::{Config, Hub};
use crate::http::{Connection, Response};
use crate::hub::{Admin, HubAddress};
use crate::message::Message;
use crate::nginx::Setup;
use crate::wait;

const CHANNELS: [&str; 4] = ["ledger-a", "ledger-b", "ledger-c", "ledger-d"];
const CLIENTS: usize = 40;
/// After each round a channel is left alone until it is over.
const ROUNDS: usize = 4;
const STEPS: usize = 300;

/// How a client resumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// An SSE id as `Last-Event-ID`.
    SseId,
    /// A long poll's `ETag` as `If-None-Match`.
    PollTag,
    /// `seq` and `epoch` of a long poll.
    PollEpoch,
    /// `seq` and `epoch` of a stream.
    StreamEpoch,
    /// A WebSocket's `subscribe`.
    Socket,
}

const WAYS: [Way; 5] = [SseId, PollTag, PollEpoch, StreamEpoch, Socket];

/// A client between its visits.
struct Client {
    way: Way,
    channel: &'static str,
    /// What it was told to come back with: an id, or an entity tag.
    key: Option<String>,
    epoch: Option<String>,
    /// The next seq that it wants; 0 before its first visit.
    seq: u64,
    /// So many of its channel's messages are accounted for.
    upto: usize,
}

/// All that was published to each channel's name.
type Ledger = HashMap<&'static str, Vec<String>>;

/// What came of all visits.
#[derive(Default)]
struct Tally {
    visits: u64,
    received: u64,
    /// Messages that were told to be lost with their number.
    counted: u64,
    /// Messages that were told to be lost in another life of their channel, which nobody counts.
    of_other_lives: u64,
}

pub async fn run(setup: Arc<Setup>) -> Result<String> {
    let seed = match std::env::var("LEDGER_SEED") {
        Ok(text) => text.parse().context("LEDGER_SEED")?,
        Err(_) => fastrand::u64(..),
    };
    let said = check(setup, seed).await;
    said.with_context(|| format!("seed {seed} (LEDGER_SEED)"))
}

async fn check(setup: Arc<Setup>, seed: u64) -> Result<String> {
    let hub = Hub::new("main")
        .set("zone", "8m")
        .set("channel_timeout", "1s")
        .set("channel_buffer_size", 12)
        .set("max_subscribers_per_channel", 1000)
        .set("polling_timeout", "60s");
    let nginx = setup.start(Config::new(2, [hub])).await?;
    let hub = HubAddress {
        address: nginx.address,
        name: "main",
    };
    let mut world = World {
        hub,
        admin: Admin::new(hub),
        random: Rng::with_seed(seed),
        ledger: Ledger::new(),
        number: 0,
        tally: Tally::default(),
    };
    let mut clients: Vec<Client> = (0..CLIENTS)
        .map(|index| Client {
            way: WAYS[index % WAYS.len()],
            channel: CHANNELS[index / WAYS.len() % CHANNELS.len()],
            key: None,
            epoch: None,
            seq: 0,
            upto: 0,
        })
        .collect();
    for round in 0..ROUNDS {
        for step in 0..STEPS {
            let done = world.step(&mut clients).await;
            done.with_context(|| format!("round {round}, step {step}"))?;
        }
        let channel = CHANNELS[world.random.usize(0..CHANNELS.len())];
        world.await_end(channel).await?;
    }
    for client in &mut clients {
        world.visit(client).await?;
    }
    let Tally {
        visits,
        received,
        counted,
        of_other_lives,
    } = world.tally;
    ensure!(
        counted > 0 && of_other_lives > 0,
        "nothing was lost, so nothing was shown: {counted} and {of_other_lives}"
    );
    drop(world.admin);
    nginx.stop(&[]).await?;
    Ok(format!(
        "seed {seed}: {visits} visits, {received} messages received, {counted} told lost with their number, \
         {of_other_lives} without, as of another life; none missing in silence"
    ))
}

struct World {
    hub: HubAddress,
    admin: Admin,
    random: Rng,
    ledger: Ledger,
    number: u64,
    tally: Tally,
}

impl World {
    async fn step(&mut self, clients: &mut [Client]) -> Result<()> {
        let channel = CHANNELS[self.random.usize(0..CHANNELS.len())];
        match self.random.u8(0..100) {
            0..4 => self.order("close", channel).await,
            4..8 => self.order("clear", channel).await,
            8..60 => {
                for _ in 0..self.random.usize(1..4) {
                    self.publish(channel).await?;
                }
                Ok(())
            }
            _ => {
                let index = self.random.usize(0..clients.len());
                self.visit(&mut clients[index]).await
            }
        }
    }

    async fn order(&mut self, what: &str, channel: &str) -> Result<()> {
        let target = format!("{}?cname={channel}", self.hub.admin(what));
        let response = self.admin.ask(&target).await?;
        // 404: it is over already.
        let status = response.head.status;
        ensure!(matches!(status, 200 | 404), "{what}: {status}");
        Ok(())
    }

    async fn publish(&mut self, channel: &'static str) -> Result<String> {
        self.number += 1;
        let content = format!("m{}", self.number);
        self.admin.must_push(channel, &content).await?;
        let all = self.ledger.entry(channel).or_default();
        all.push(content.clone());
        Ok(content)
    }

    async fn await_end(&mut self, channel: &str) -> Result<()> {
        let target = format!("{}?cname={channel}", self.hub.admin("check"));
        let admin = tokio::sync::Mutex::new(&mut self.admin);
        wait::until(&format!("{channel} is over"), || async {
            let text = admin.lock().await.ask(&target).await?.text();
            Ok((text != "{}\n").then_some(text))
        })
        .await
    }

    async fn visit(&mut self, client: &mut Client) -> Result<()> {
        let what = format!("{:?} on {}", client.way, client.channel);
        let done = async {
            match client.way {
                PollTag | PollEpoch => self.poll(client).await,
                SseId | StreamEpoch => self.stream(client).await,
                Socket => self.socket(client).await,
            }
        };
        let visit = wait::within(&what, done).await?;
        self.settle(client, visit).context(what)
    }

    /// Holds what a client was told against the ledger.
    fn settle(&mut self, client: &mut Client, visit: Visit) -> Result<()> {
        let all = self.ledger.entry(client.channel).or_default();
        let is_first = client.seq == 0;
        let (mut received, mut lost, mut next) = (Vec::new(), Vec::new(), client.seq);
        for message in &visit.messages {
            match message.kind.as_str() {
                "epoch" => {}
                "next_seq" if is_first => next = message.seq,
                "lost" => {
                    lost.push(message.content.as_str());
                    next = message.seq;
                }
                "data" => {
                    ensure!(
                        message.seq == next,
                        "seq {} where {next} was due: {:?}",
                        message.seq,
                        visit.messages
                    );
                    received.push(&message.content);
                    next += 1;
                }
                other => bail!("{other}: {:?}", visit.messages),
            }
        }
        if is_first {
            // It hears from now on.
            client.upto = all.len() - received.len();
        }
        let due = &all[client.upto..];
        ensure!(
            received.len() <= due.len(),
            "more than there was: {:?}, due {due:?}",
            visit.messages
        );
        let (missing, present) = due.split_at(due.len() - received.len());
        ensure!(
            present.iter().eq(received.iter().copied()),
            "{:?}, due {due:?}",
            visit.messages
        );
        let changed = client
            .epoch
            .as_ref()
            .is_some_and(|known| *known != visit.epoch);
        match lost.as_slice() {
            [] => ensure!(
                missing.is_empty() && !changed,
                "{missing:?} missing in silence, from {:?} at {} to {}: {:?}",
                client.epoch,
                client.seq,
                visit.epoch,
                visit.messages
            ),
            [""] => {
                ensure!(changed, "lost without a number in one life");
                self.tally.of_other_lives += missing.len() as u64;
            }
            [count] => {
                ensure!(!changed, "lost with a number over lives");
                let count: usize = count.parse()?;
                ensure!(
                    count == missing.len(),
                    "{count} lost, {} missing",
                    missing.len()
                );
                self.tally.counted += count as u64;
            }
            several => bail!("lost told {several:?}"),
        }
        self.tally.visits += 1;
        self.tally.received += received.len() as u64;
        client.upto = all.len();
        client.seq = next;
        client.epoch = Some(visit.epoch);
        client.key = visit.key;
        Ok(())
    }

    /// A poll that does not wait.
    async fn poll(&mut self, client: &Client) -> Result<Visit> {
        let mut target = format!("{}&wait=0", self.hub.front("sub", client.channel));
        let mut headers = String::new();
        match (client.way, &client.key, &client.epoch) {
            (PollTag, Some(tag), _) => headers = format!("If-None-Match: {tag}\r\n"),
            (PollTag, None, _) => {}
            (_, _, epoch) => {
                let epoch = epoch.as_deref().unwrap_or_default();
                target = format!("{target}&seq={}&epoch={epoch}", client.seq);
            }
        }
        let mut connection = Connection::open(self.hub.address).await?;
        connection.get(&target, &headers).await?;
        let response: Response = connection.response().await?;
        let messages = Message::parse_batch(&response.body).map_err(anyhow::Error::msg)?;
        let tag = response.head.header("etag").context("no ETag")?.to_owned();
        let epoch = match client.way {
            PollEpoch => told(&messages)?,
            _ => epoch_of(tag.trim_matches('"'))?,
        };
        Ok(Visit {
            messages,
            epoch,
            key: Some(tag),
        })
    }

    /// A stream that is left once a message has come that is published to it.
    async fn stream(&mut self, client: &Client) -> Result<Visit> {
        let is_sse = client.way == SseId;
        let endpoint = if is_sse { "sse" } else { "stream" };
        let mut target = self.hub.front(endpoint, client.channel);
        let mut headers = String::new();
        match (&client.key, &client.epoch) {
            (Some(id), _) if is_sse => headers = format!("Last-Event-ID: {id}\r\n"),
            _ if is_sse => {}
            (_, epoch) => {
                let epoch = epoch.as_deref().unwrap_or_default();
                target = format!("{target}&seq={}&epoch={epoch}", client.seq);
            }
        }
        let mut connection = Connection::open(self.hub.address).await?;
        connection.get(&target, &headers).await?;
        let head = connection.head().await?;
        let mut decoder = Decoder::new(&head)?;
        let last = self.publish(client.channel).await?;
        let (mut body, mut messages, mut key) = (Vec::new(), Vec::new(), None);
        while messages
            .last()
            .is_none_or(|message: &Message| message.content != last)
        {
            let Some(end) = body.iter().position(|byte| *byte == b'\n') else {
                connection.fill().await?;
                decoder.decode(&mut connection.input, &mut body)?;
                continue;
            };
            let line: Vec<u8> = body.drain(..=end).collect();
            let line = std::str::from_utf8(&line)?.trim_end();
            if let Some(id) = line.strip_prefix("id: ") {
                key = Some(id.to_owned());
            }
            let json = if is_sse {
                line.strip_prefix("data: ")
            } else {
                Some(line)
            };
            if let Some(json) = json {
                messages.push(Message::parse(json.as_bytes()).map_err(anyhow::Error::msg)?);
            }
        }
        let epoch = match &key {
            Some(id) => epoch_of(id)?,
            None => told(&messages)?,
        };
        Ok(Visit {
            messages,
            epoch,
            key,
        })
    }

    /// The same on a WebSocket.
    async fn socket(&mut self, client: &Client) -> Result<Visit> {
        let mut connection = Connection::open(self.hub.address).await?;
        let target = format!("/{}/ws", self.hub.name);
        let headers = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
        connection.get(&target, headers).await?;
        let status = connection.head().await?.status;
        ensure!(status == 101, "status {status}");
        let (channel, seq) = (client.channel, client.seq);
        let epoch = client.epoch.as_deref().unwrap_or_default();
        let command = format!(
            r#"{{"type":"subscribe","channel":"{channel}","seq":{seq},"epoch":"{epoch}"}}"#
        );
        send(&mut connection, &command).await?;
        let reply: serde_json::Value = serde_json::from_str(&frame(&mut connection).await?)?;
        let epoch = reply["epoch"].as_str();
        let epoch = epoch.with_context(|| reply.to_string())?.to_owned();
        let last = self.publish(client.channel).await?;
        let mut messages: Vec<Message> = Vec::new();
        while messages
            .last()
            .is_none_or(|message| message.content != last)
        {
            let text = frame(&mut connection).await?;
            messages.push(Message::parse(text.as_bytes()).map_err(anyhow::Error::msg)?);
        }
        Ok(Visit {
            messages,
            epoch,
            key: None,
        })
    }
}

/// What a client was told on one visit.
struct Visit {
    messages: Vec<Message>,
    /// What the channel's seqs belong to.
    epoch: String,
    key: Option<String>,
}

/// The epoch in an id.
fn epoch_of(id: &str) -> Result<String> {
    let (epoch, _) = id.rsplit_once('-').with_context(|| format!("id {id:?}"))?;
    Ok(epoch.to_owned())
}

/// The epoch that a client was told because it asked.
fn told(messages: &[Message]) -> Result<String> {
    match messages.first() {
        Some(message) if message.kind == "epoch" => Ok(message.content.clone()),
        other => bail!("no epoch: {other:?}"),
    }
}

/// Sends a text message, short, and masked with zeros.
async fn send(connection: &mut Connection, text: &str) -> Result<()> {
    use tokio::io::AsyncWriteExt;
    let length = u16::try_from(text.len())?.to_be_bytes();
    let mut bytes = vec![0x81, 0x80 | 126, length[0], length[1], 0, 0, 0, 0];
    bytes.extend_from_slice(text.as_bytes());
    Ok(connection.socket().write_all(&bytes).await?)
}

/// The next text message, short.
async fn frame(connection: &mut Connection) -> Result<String> {
    loop {
        let input = &mut connection.input;
        let head = match input.as_ref() {
            [0x81, length, ..] if *length < 126 => Some((2, usize::from(*length))),
            [0x81, 126, high, low, ..] => Some((4, usize::from(u16::from_be_bytes([*high, *low])))),
            [first, ..] if *first != 0x81 => bail!("frame {first:#x}"),
            _ => None,
        };
        if let Some((head, length)) = head
            && input.len() >= head + length
        {
            let bytes = input.split_to(head + length);
            return Ok(std::str::from_utf8(&bytes[head..])?.to_owned());
        }
        connection.fill().await?;
    }
}
