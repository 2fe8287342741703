//! A subscriber that resumes: it knows which seq is due next and refuses any other.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use tokio::time::sleep;

use crate::feed::{Event, Feed, Transport, check_head};
use crate::http::{Connection, HttpError};
use crate::hub::HubAddress;
use crate::message::Message;

/// The function that a JSONP client has its messages passed to.
const CALLBACK: &str = "client.take";

/// What happened next.
#[derive(Debug)]
pub enum Step {
    /// A message that was due (data, broadcast), or one that says something (noop, next_seq, lost).
    Message(Message),
    /// SSE `retry:`; it is obeyed before the next connection.
    Retry(u64),
    /// The response ended politely.
    Ended,
    /// There was no room for it (507).
    Refused,
    /// The connection failed; the worker that served it, if it is known.
    Cut(Option<i32>, String),
}

#[derive(Debug)]
enum Link {
    Feed(Box<Feed>),
    Poll(Box<Poll>),
}

#[derive(Debug)]
struct Poll {
    connection: Connection,
    worker: Option<i32>,
    asked: bool,
    /// Whether a response has come on this connection: then a cut may be its idle end.
    reused: bool,
}

/// How far a client is in one of its channels.
#[derive(Debug)]
struct Track {
    channel: String,
    due: Option<u64>,
}

/// A client of one channel or several.
#[derive(Debug)]
pub struct Subscriber {
    hub: HubAddress,
    /// The channel; of several all, with commas between.
    pub channel: String,
    /// How it subscribes.
    pub transport: Transport,
    first: u64,
    tracks: Vec<Track>,
    by_id: bool,
    id: Option<String>,
    noop: u64,
    identify: bool,
    tolerate_lost: bool,
    /// How many messages `lost` told it of.
    pub lost: u64,
    /// How often it opened a connection.
    pub connections: u64,
    narrow: Option<u32>,
    from: Option<Ipv4Addr>,
    retry: Option<u64>,
    failures: u32,
    pending: VecDeque<Message>,
    link: Option<Link>,
}

impl Subscriber {
    /// A subscriber that wants messages from `seq` on (0: from now on).
    pub fn new(hub: HubAddress, channel: &str, transport: Transport, seq: u64) -> Self {
        Self::of_many(hub, &[channel], transport, seq)
    }

    /// A subscriber that wants messages of all these channels from `seq` on.
    pub fn of_many(hub: HubAddress, channels: &[&str], transport: Transport, seq: u64) -> Self {
        let track = |channel: &&str| Track {
            channel: (*channel).to_owned(),
            due: (seq > 0).then_some(seq),
        };
        Self {
            hub,
            channel: channels.join(","),
            transport,
            first: seq,
            tracks: channels.iter().map(track).collect(),
            by_id: false,
            id: None,
            noop: 0,
            identify: false,
            tolerate_lost: false,
            lost: 0,
            connections: 0,
            narrow: None,
            from: None,
            retry: None,
            failures: 0,
            pending: VecDeque::new(),
            link: None,
        }
    }

    /// Resumes by `Last-Event-ID` (SSE) or `If-None-Match` (long poll), with the URL unchanged, as
    /// a browser does.
    pub fn by_id(mut self, yes: bool) -> Self {
        self.by_id = yes && (self.transport.is_poll() || self.transport == Transport::Sse);
        self
    }

    /// Finds out which worker serves a long poll's connection before it polls.
    pub fn identified(mut self) -> Self {
        self.identify = true;
        self
    }

    /// Takes `lost` for an answer (else it is a fault), and counts it.
    pub fn tolerating_lost(mut self) -> Self {
        self.tolerate_lost = true;
        self
    }

    /// Reads through a receive buffer of about so many bytes.
    pub fn narrow(mut self, bytes: u32) -> Self {
        self.narrow = Some(bytes);
        self
    }

    /// Connects from this address of this machine from now on.
    pub fn come_from(&mut self, from: Ipv4Addr) {
        self.from = Some(from);
    }

    /// Lets its connection go.
    pub fn leave(&mut self) {
        self.link = None;
    }

    /// The seq it waits for, when it knows one; of several channels that of the first.
    pub fn due(&self) -> Option<u64> {
        self.tracks.first()?.due
    }

    /// Whether it waits for that seq in each of its channels.
    pub fn waits_for(&self, seq: u64) -> bool {
        self.tracks.iter().all(|track| track.due == Some(seq))
    }

    /// The worker that serves its open connection.
    pub fn worker(&self) -> Option<i32> {
        match &self.link {
            Some(Link::Feed(feed)) => feed.worker,
            Some(Link::Poll(poll)) => poll.worker,
            None => None,
        }
    }

    /// The open connection, for a client that misbehaves.
    pub fn connection(&mut self) -> Option<&mut Connection> {
        match &mut self.link {
            Some(Link::Feed(feed)) => Some(&mut feed.connection),
            Some(Link::Poll(poll)) => Some(&mut poll.connection),
            None => None,
        }
    }

    /// Opens the response (streams) or sends the poll, unless that is done already.
    pub async fn open(&mut self) -> Result<(), HttpError> {
        if self.link.is_none() {
            self.link = Some(self.connect().await?);
            self.connections += 1;
        }
        let to_ask = matches!(&self.link, Some(Link::Poll(poll)) if !poll.asked);
        if to_ask && self.pending.is_empty() {
            let (target, headers) = self.request();
            if let Some(Link::Poll(poll)) = &mut self.link {
                poll.asked = true;
                poll.connection.get(&target, &headers).await?;
            }
        }
        Ok(())
    }

    async fn connect(&self) -> Result<Link, HttpError> {
        let mut connection = match (self.narrow, self.from) {
            (Some(bytes), _) => Connection::open_narrow(self.hub.address, bytes).await?,
            (None, Some(from)) => Connection::open_from(self.hub.address, from).await?,
            (None, None) => Connection::open(self.hub.address).await?,
        };
        if self.transport.is_poll() {
            let mut worker = None;
            if self.identify {
                connection
                    .get(&self.hub.front("ping", &self.channel), "")
                    .await?;
                worker = connection.response().await?.head.worker();
            }
            let poll = Poll {
                connection,
                worker,
                asked: false,
                reused: self.identify,
            };
            return Ok(Link::Poll(Box::new(poll)));
        }
        let (target, headers) = self.request();
        let feed = Feed::open(connection, self.transport, &target, &headers).await?;
        Ok(Link::Feed(Box::new(feed)))
    }

    /// The target and the headers of the next subscribe request.
    fn request(&self) -> (String, String) {
        let (seq, headers) = match (self.by_id, &self.id) {
            (true, Some(id)) if self.transport == Transport::Sse => {
                (self.first, format!("Last-Event-ID: {id}\r\n"))
            }
            (true, Some(tag)) => (self.first, format!("If-None-Match: {tag}\r\n")),
            _ => (0, String::new()),
        };
        let seqs: Vec<_> = self
            .tracks
            .iter()
            .map(|track| match seq {
                0 => track.due.unwrap_or(self.first),
                seq => seq,
            })
            .map(|seq| seq.to_string())
            .collect();
        let seq = seqs.join(",");
        let names = self.tracks.iter().map(|track| track.channel.as_str());
        let front = self.hub.front_many(self.transport.endpoint(), names);
        let callback = match self.transport {
            Transport::Jsonp => format!("&cb={CALLBACK}"),
            _ => String::new(),
        };
        (
            format!("{front}&seq={seq}&noop={}{callback}", self.noop),
            headers,
        )
    }

    /// What happens next; opens a connection when there is none. An error is a fault of the
    /// server's: a message lost, repeated, out of order, or nonsense.
    pub async fn next(&mut self) -> Result<Step> {
        if let Some(message) = self.pending.pop_front() {
            return self.account(message);
        }
        if self.link.is_none() {
            if let Some(ms) = self.retry {
                sleep(Duration::from_millis(ms)).await;
                self.retry = None;
            } else if self.failures > 0 {
                let ms = fastrand::u64(2..10) << self.failures.min(5);
                sleep(Duration::from_millis(ms)).await;
            }
        }
        match self.advance().await {
            Ok(step) => {
                self.failures = 0;
                Ok(step)
            }
            Err(HttpError::Cut(error)) => {
                let worker = self.worker();
                let idle = matches!(&self.link, Some(Link::Poll(poll)) if poll.reused);
                self.link = None;
                self.failures += 1;
                let what = if idle {
                    "between polls"
                } else {
                    "inside a response"
                };
                Ok(Step::Cut(
                    worker,
                    format!("{} cut {what}: {error}", self.name()),
                ))
            }
            Err(HttpError::Refused(_)) => {
                self.link = None;
                self.failures += 1;
                Ok(Step::Refused)
            }
            Err(error) => bail!("{}: {error}", self.name()),
        }
    }

    /// Resets its connection: what was not read to the end is asked for again.
    pub fn reset(&mut self) {
        match self.link.take() {
            Some(Link::Feed(feed)) => feed.connection.reset(),
            Some(Link::Poll(poll)) => poll.connection.reset(),
            None => {}
        }
    }

    /// Whether it has a connection.
    pub fn is_connected(&self) -> bool {
        self.link.is_some()
    }

    /// Who it is, for error texts.
    pub fn name(&self) -> String {
        format!(
            "{} subscriber of {} (due {:?}, connection {})",
            format!("{:?}", self.transport).to_lowercase(),
            self.channel,
            self.tracks
                .iter()
                .map(|track| track.due)
                .collect::<Vec<_>>(),
            self.connections
        )
    }

    async fn advance(&mut self) -> Result<Step, HttpError> {
        self.open().await?;
        let event = match &mut self.link {
            Some(Link::Feed(feed)) => feed.next().await?,
            Some(Link::Poll(poll)) => {
                let response = poll.connection.response().await?;
                if let Err(error) = check_head(&response.head, self.transport) {
                    self.link = None;
                    return Err(error);
                }
                poll.asked = false;
                poll.reused = true;
                poll.worker = response.head.worker();
                let close = response.head.header("connection") == Some("close");
                let batch = match self.transport {
                    Transport::Jsonp => Message::parse_jsonp(&response.body, CALLBACK),
                    _ => Message::parse_batch(&response.body),
                };
                self.pending = batch.map_err(HttpError::Malformed)?.into();
                if let Some(tag) = response.head.header("etag") {
                    self.id = Some(tag.to_owned());
                }
                if close {
                    self.link = None;
                }
                match self.pending.pop_front() {
                    Some(message) => Event::Message(message),
                    None => return Err(HttpError::Malformed("an empty batch".into())),
                }
            }
            None => Event::End,
        };
        match event {
            Event::Message(message) => self
                .account(message)
                .map_err(|error| HttpError::Malformed(format!("{error:#}"))),
            Event::Retry(ms) => {
                self.retry = Some(ms);
                Ok(Step::Retry(ms))
            }
            Event::End => {
                self.link = None;
                Ok(Step::Ended)
            }
        }
    }

    /// Holds a message against what is due, and moves on.
    fn account(&mut self, message: Message) -> Result<Step> {
        if message.kind == "noop" {
            // Of several channels it is of none.
            let cname = match self.tracks.as_slice() {
                [track] => track.channel.as_str(),
                _ => "",
            };
            ensure!(message.cname == cname, "a noop of {:?}", message.cname);
            ensure!(
                message.seq == self.noop,
                "noop {} came, the counter was {}",
                message.seq,
                self.noop
            );
            self.noop += 1;
            return Ok(Step::Message(message));
        }
        let track = self.tracks.iter_mut();
        let Some(track) = track
            .into_iter()
            .find(|track| track.channel == message.cname)
        else {
            bail!("a message of channel {:?}", message.cname);
        };
        let due = track.due.unwrap_or(message.seq);
        match message.kind.as_str() {
            "data" | "broadcast" => {
                ensure!(
                    message.seq == due,
                    "seq {} came, {due} was due",
                    message.seq
                );
                track.due = Some(message.seq + 1);
            }
            "next_seq" => {
                ensure!(
                    message.seq == due,
                    "next_seq {} came, {due} was due",
                    message.seq
                );
                track.due = Some(message.seq);
            }
            "lost" if self.tolerate_lost => {
                let count: u64 = message.content.parse()?;
                ensure!(
                    count > 0 && due + count == message.seq,
                    "lost {count} before {} came, {due} was due",
                    message.seq
                );
                self.lost += count;
                track.due = Some(message.seq);
            }
            kind => bail!("{kind} came, seq {} {:?}", message.seq, message.content),
        }
        if message.id.is_some() {
            self.id = message.id.clone();
            if self.tracks.len() > 1 {
                self.check_positions()?;
            }
        }
        Ok(Step::Message(message))
    }

    /// An id of several channels says what it has of each.
    fn check_positions(&self) -> Result<()> {
        let id = self.id.as_deref().unwrap_or_default();
        let positions = id.split_once('-').map_or("", |(_, positions)| positions);
        let told: Vec<_> = positions
            .split('.')
            .map(|position| {
                let (_, seq) = position.split_once('_')?;
                u64::from_str_radix(seq, 36).ok()
            })
            .collect();
        let had: Vec<_> = self
            .tracks
            .iter()
            .map(|track| Some(track.due.unwrap_or(self.first).saturating_sub(1)))
            .collect();
        // A channel that the server has not come to yet has none: its seq stands in the query.
        let same = |(told, had): (&Option<u64>, &Option<u64>)| told.is_none() || told == had;
        ensure!(
            told.len() == had.len() && told.iter().zip(&had).all(same),
            "id {id:?}, and it had {had:?}"
        );
        Ok(())
    }
}
