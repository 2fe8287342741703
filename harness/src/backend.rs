//! A back end that hooks post to, which can be slow, away, or failing.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::BytesMut;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use crate::http::find;
use crate::wait::until;

/// How it behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Takes everything at once.
    Well,
    /// Thinks so long before it takes something.
    Slow(Duration),
    /// Answers with that status, and forgets.
    Failing(u16),
    /// Cuts connections, old and new.
    Away,
    /// Takes everything, and cuts the connection instead of an answer.
    Mute,
    /// Takes connections and requests, and never answers.
    Hanging,
}

/// What it has been told.
#[derive(Debug, Default)]
struct Told {
    /// By id.
    ids: HashSet<String>,
    /// Each once, in the order in which they came.
    events: Vec<Value>,
    /// Events that came once more.
    doubles: usize,
    /// POSTs, whatever the answer.
    posts: usize,
    fault: Option<String>,
}

/// A back end; it ends when it is dropped.
pub struct BackEnd {
    /// Where it listens.
    pub address: SocketAddr,
    told: Arc<Mutex<Told>>,
    mood: watch::Sender<Mood>,
    _tasks: JoinSet<()>,
}

/// What one connection works with.
#[derive(Clone)]
struct Desk {
    told: Arc<Mutex<Told>>,
    mood: watch::Receiver<Mood>,
    secret: &'static str,
}

impl BackEnd {
    /// Listens at an address of loopback (port 0: any) and checks signatures by that secret.
    pub async fn start(
        address: SocketAddr,
        secret: &'static str,
        tls: Option<TlsAcceptor>,
    ) -> Result<BackEnd> {
        let listener = TcpListener::bind(address).await.context("the back end")?;
        let told = Arc::new(Mutex::new(Told::default()));
        let (mood, moods) = watch::channel(Mood::Well);
        let desk = Desk {
            told: Arc::clone(&told),
            mood: moods,
            secret,
        };
        let address = listener.local_addr()?;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (desk, tls) = (desk.clone(), tls.clone());
                connections.spawn(async move { desk.serve_any(stream, tls).await });
            }
        });
        Ok(BackEnd {
            address,
            told,
            mood,
            _tasks: tasks,
        })
    }

    /// From now on it behaves so.
    pub fn be(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Requests that came, whatever became of them.
    pub fn posts(&self) -> usize {
        self.told().posts
    }

    /// Events that came more than once.
    pub fn doubles(&self) -> usize {
        self.told().doubles
    }

    /// How many events of a type it knows.
    pub fn count(&self, kind: &str) -> usize {
        self.told()
            .events
            .iter()
            .filter(|event| event["type"] == kind)
            .count()
    }

    /// Waits for so many events of a type.
    pub async fn await_count(&self, kind: &str, count: usize) -> Result<()> {
        until(&format!("{count} {kind} events"), || async {
            self.check()?;
            let now = self.count(kind);
            Ok((now != count).then(|| now.to_string()))
        })
        .await
    }

    /// Waits until so many requests more have come.
    pub async fn await_posts(&self, more: usize) -> Result<()> {
        let goal = self.posts() + more;
        until("more posts", || async {
            let now = self.posts();
            Ok((now < goal).then(|| format!("{now} of {goal}")))
        })
        .await
    }

    /// The messages' numbers of a channel, by the worker that took them, each in the order in which they
    /// came.
    pub fn published(&self, channel: &str) -> BTreeMap<String, Vec<u64>> {
        let mut found: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for event in &self.told().events {
            if event["type"] == "publish" && event["channel"] == channel {
                let worker = event["worker"].as_str().unwrap_or_default().to_owned();
                let seq = event["message_seq"].as_u64().unwrap_or_default();
                found.entry(worker).or_default().push(seq);
            }
        }
        found
    }

    /// Fails when something was malformed, unsigned, or out of order.
    pub fn check(&self) -> Result<()> {
        match &self.told().fault {
            Some(fault) => anyhow::bail!("the back end: {fault}"),
            None => Ok(()),
        }
    }

    /// Events that are missing between the first and the last of each worker, which came in order.
    pub fn gaps(&self) -> Result<u64> {
        let mut last: BTreeMap<String, u64> = BTreeMap::new();
        let mut missing = 0;
        for event in &self.told().events {
            let worker = event["worker"].as_str().context("no worker")?;
            let seq = event["seq"].as_u64().context("no seq")?;
            let last = last.entry(worker.to_owned()).or_default();
            ensure!(seq > *last, "worker {worker}: {seq} after {last}");
            missing += seq - *last - 1;
            *last = seq;
        }
        Ok(missing)
    }

    /// Fails unless it has each worker's events from the first on, without a gap; how many workers.
    pub fn check_whole(&self) -> Result<usize> {
        self.check()?;
        let mut workers: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for event in &self.told().events {
            let worker = event["worker"]
                .as_str()
                .context("an event without worker")?;
            let seq = event["seq"].as_u64().context("an event without seq")?;
            workers.entry(worker.to_owned()).or_default().push(seq);
        }
        for (worker, seqs) in &workers {
            let whole = seqs.iter().copied().eq(1..=seqs.len() as u64);
            ensure!(
                whole,
                "worker {worker}: {} events, not all from 1 on in order",
                seqs.len()
            );
        }
        Ok(workers.len())
    }
}

impl Desk {
    async fn serve_any(mut self, stream: TcpStream, tls: Option<TlsAcceptor>) {
        let Some(acceptor) = tls else {
            return self.serve(stream).await;
        };
        if let Ok(stream) = acceptor.accept(stream).await {
            self.serve(stream).await;
        }
    }

    async fn serve(&mut self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut moods = self.mood.clone();
        let away = async {
            let _ = moods.wait_for(|mood| *mood == Mood::Away).await;
        };
        tokio::select! {
            // First, or a request that has come already would be taken.
            biased;
            () = away => {}
            () = self.converse(&mut stream) => {}
        }
    }

    async fn converse(&self, stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
        let mut input = BytesMut::new();
        while let Some((head, body)) = request(stream, &mut input).await {
            let mood = *self.mood.borrow();
            if mood == Mood::Hanging {
                self.told
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .posts += 1;
                // What it has taken in this mood is forgotten.
                let _ = self
                    .mood
                    .clone()
                    .wait_for(|mood| *mood != Mood::Hanging)
                    .await;
                return;
            }
            if let Mood::Slow(time) = mood {
                sleep(time).await;
            }
            let status = {
                let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
                told.posts += 1;
                if !matches!(mood, Mood::Failing(_))
                    && let Err(fault) = note(&mut told, &head, &body, self.secret)
                {
                    told.fault.get_or_insert(format!("{fault:#}"));
                }
                if let Mood::Failing(status) = mood {
                    status
                } else {
                    204
                }
            };
            if mood == Mood::Mute {
                return;
            }
            let answer = format!("HTTP/1.1 {status} Said\r\nContent-Length: 0\r\n\r\n");
            if stream.write_all(&answer.into_bytes()).await.is_err() {
                return;
            }
        }
    }
}

/// The next request; `None` at the end of the connection.
async fn request(
    stream: &mut (impl AsyncRead + Unpin),
    input: &mut BytesMut,
) -> Option<(String, Vec<u8>)> {
    let mut length = None;
    loop {
        if let Some(end) = find(input, b"\r\n\r\n") {
            let head = std::str::from_utf8(&input[..end]).ok()?;
            let needed = field(head, "content-length")?.parse::<usize>().ok()?;
            let whole = end + 4 + needed;
            if input.len() >= whole {
                let head = head.to_owned();
                let bytes = input.split_to(whole);
                return Some((head, bytes[end + 4..].to_vec()));
            }
            length = Some(whole);
        }
        input.reserve(length.unwrap_or(4096));
        if stream.read_buf(input).await.ok()? == 0 {
            return None;
        }
    }
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    fields
        .into_iter()
        .find(|(n, _)| n.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

fn note(told: &mut Told, head: &str, body: &[u8], secret: &str) -> Result<()> {
    let time = field(head, "icomet-timestamp").context("no timestamp")?;
    let signature = field(head, "icomet-signature").context("no signature")?;
    ensure!(
        icomet_hooks::verify(secret.as_bytes(), time, body, signature),
        "a signature is wrong"
    );
    let batch: Value = serde_json::from_slice(body)?;
    for event in batch["events"].as_array().context("no events")? {
        let id = event["id"].as_str().context("an event without id")?;
        if told.ids.insert(id.to_owned()) {
            told.events.push(event.clone());
        } else {
            told.doubles += 1;
        }
    }
    Ok(())
}
