//! Presence: every psub on every worker sees every channel come and go.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};

use crate::body::Decoder;
use crate::config::{Config, Hub};
use crate::crowd::open_all;
use crate::feed::Transport;
use crate::http::Connection;
use crate::hub::{Admin, HubAddress};
use crate::nginx::Setup;
use crate::subscriber::Subscriber;
use crate::wait;

const WORKERS: usize = 4;
const CHANNELS: usize = 60;
/// Channels that come last: their lines push any late repetition before them into view.
const MARKERS: usize = 60;
/// How many repetitions of the online lines are waited for.
const REPEATS: usize = 2;

pub async fn run(setup: Arc<Setup>) -> Result<String> {
    // In one world nothing expires and no line is repeated, so each line must come exactly once;
    // in the other channels expire, and the lines of those that live are repeated.
    let lasting = Hub::new("lasting").set("channel_timeout", "300s");
    let fleeting = Hub::new("fleeting")
        .set("channel_timeout", "2s")
        .set("polling_timeout", "300s");
    let nginx = setup
        .start(Config::new(WORKERS, [lasting, fleeting]))
        .await?;
    let lasting = HubAddress {
        address: nginx.address,
        name: "lasting",
    };
    let fleeting = HubAddress {
        address: nginx.address,
        name: "fleeting",
    };
    once_each(lasting).await?;
    let repeats = expiring(fleeting).await?;
    nginx.stop(&[]).await?;
    Ok(format!(
        "{WORKERS} psubs on {WORKERS} workers saw {CHANNELS} channels come and go once, then {CHANNELS} expire; {repeats} repetitions"
    ))
}

async fn once_each(hub: HubAddress) -> Result<()> {
    let mut watchers = watchers(hub).await?;
    let mut back_ends = back_ends(hub).await?;
    let names: Vec<String> = (0..CHANNELS).map(|index| format!("once-{index}")).collect();
    for (index, name) in names.iter().enumerate() {
        back_ends[index % WORKERS].must_push(name, "hello").await?;
    }
    for watcher in &mut watchers {
        watcher.until(&names, |lines| lines == "1").await?;
    }
    for (index, name) in names.iter().enumerate() {
        // By another worker than the one that created it.
        let target = format!("{}?cname={name}", hub.admin("close"));
        let response = back_ends[(index + 1) % WORKERS].ask(&target).await?;
        ensure!(
            response.body == b"ok 2\n",
            "close {name}: {}",
            response.text()
        );
    }
    for watcher in &mut watchers {
        watcher.until(&names, |lines| lines == "10").await?;
    }
    let markers: Vec<String> = (0..MARKERS)
        .map(|index| format!("marker-{index}"))
        .collect();
    for (index, name) in markers.iter().enumerate() {
        back_ends[index % WORKERS].must_push(name, "hello").await?;
    }
    for watcher in &mut watchers {
        watcher.until(&markers, |lines| lines == "1").await?;
        watcher.expect(&names, |lines| lines == "10")?;
    }
    Ok(())
}

async fn expiring(hub: HubAddress) -> Result<usize> {
    let mut watchers = watchers(hub).await?;
    let mut back_ends = back_ends(hub).await?;
    let living: Vec<String> = (0..WORKERS)
        .map(|index| format!("living-{index}"))
        .collect();
    let crowd = open_all(
        living
            .iter()
            .enumerate()
            .map(|(index, name)| Subscriber::new(hub, name, Transport::of(index + 1), 1)),
    )
    .await?;
    let names: Vec<String> = (0..CHANNELS)
        .map(|index| format!("brief-{index}"))
        .collect();
    for (index, name) in names.iter().enumerate() {
        back_ends[index % WORKERS].must_push(name, "hello").await?;
    }
    let mut repeats = 0;
    for watcher in &mut watchers {
        // Online at least once (the repetition may fall into its short life), offline once.
        watcher.until(&names, came_and_went).await?;
        watcher
            .until(&living, |lines| {
                lines.len() > REPEATS && lines.bytes().all(|line| line == b'1')
            })
            .await?;
        watcher.expect(&names, came_and_went)?;
        let counts: Vec<usize> = living
            .iter()
            .map(|name| watcher.lines(name).len())
            .collect();
        let (least, most) = (counts.iter().min(), counts.iter().max());
        ensure!(
            most.zip(least)
                .is_some_and(|(most, least)| most - least <= 1),
            "channels that all live are repeated {counts:?} times"
        );
        repeats += counts.iter().sum::<usize>() - counts.len();
    }
    drop(crowd);
    for watcher in &mut watchers {
        watcher.until(&living, came_and_went).await?;
    }
    Ok(repeats)
}

fn came_and_went(lines: &str) -> bool {
    lines
        .strip_suffix('0')
        .is_some_and(|online| !online.is_empty() && online.bytes().all(|line| line == b'1'))
}

/// A back end on each worker.
async fn back_ends(hub: HubAddress) -> Result<Vec<Admin>> {
    let mut found: HashMap<i32, Admin> = HashMap::new();
    for _ in 0..1000 {
        let mut admin = Admin::new(hub);
        let response = admin.ask(&hub.admin("info")).await?;
        found
            .entry(response.head.worker().context("no X-Worker")?)
            .or_insert(admin);
        if found.len() == WORKERS {
            return Ok(found.into_values().collect());
        }
    }
    bail!(
        "1000 connections reached only {} of {WORKERS} workers",
        found.len()
    )
}

/// A psub on each worker.
async fn watchers(hub: HubAddress) -> Result<Vec<Watcher>> {
    let mut found = Vec::new();
    let mut workers = HashSet::new();
    for _ in 0..1000 {
        let mut connection = Connection::open(hub.address).await?;
        // Which worker it is decides before it counts as a psub.
        connection.get(&hub.admin("info"), "").await?;
        let worker = wait::within("info", connection.response())
            .await?
            .head
            .worker();
        if workers.insert(worker.context("no X-Worker")?) {
            found.push(Watcher::open(connection, hub).await?);
        }
        if found.len() == WORKERS {
            return Ok(found);
        }
    }
    bail!(
        "1000 connections reached only {} of {WORKERS} workers",
        found.len()
    )
}

/// An open psub, and the lines it has seen of each channel ("1" and "0" in order).
struct Watcher {
    connection: Connection,
    decoder: Decoder,
    text: Vec<u8>,
    seen: HashMap<String, String>,
}

impl Watcher {
    async fn open(mut connection: Connection, hub: HubAddress) -> Result<Self> {
        connection.get(&hub.admin("psub"), "").await?;
        let head = wait::within("psub", connection.head()).await?;
        ensure!(head.status == 200, "psub: {}", head.status);
        let decoder = Decoder::new(&head)?;
        Ok(Self {
            connection,
            decoder,
            text: Vec::new(),
            seen: HashMap::new(),
        })
    }

    fn lines(&self, name: &str) -> &str {
        self.seen.get(name).map_or("", String::as_str)
    }

    /// Reads until what was seen of each of the channels is as wanted.
    async fn until(&mut self, names: &[String], wanted: fn(&str) -> bool) -> Result<()> {
        loop {
            let missing: BTreeSet<_> = names
                .iter()
                .filter(|name| !wanted(self.lines(name)))
                .map(|name| (name.as_str(), self.lines(name)))
                .collect();
            if missing.is_empty() {
                return Ok(());
            }
            let what = format!(
                "psub: {} channels, first {:?}",
                missing.len(),
                missing.first()
            );
            wait::within(&what, self.read()).await?;
        }
    }

    /// Fails unless what was seen of each of the channels is as wanted.
    fn expect(&self, names: &[String], wanted: fn(&str) -> bool) -> Result<()> {
        for name in names {
            ensure!(
                wanted(self.lines(name)),
                "psub saw {:?} of {name}",
                self.lines(name)
            );
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<()> {
        self.connection.fill().await?;
        self.decoder
            .decode(&mut self.connection.input, &mut self.text)?;
        ensure!(!self.decoder.is_done(), "psub ended");
        while let Some(end) = self.text.iter().position(|byte| *byte == b'\n') {
            let line = String::from_utf8(self.text.drain(..=end).collect())?;
            match line.trim_end_matches('\n').split_once(' ') {
                Some((state @ ("0" | "1"), name)) => {
                    self.seen
                        .entry(name.to_owned())
                        .or_default()
                        .push_str(state);
                }
                _ => bail!("psub line {line:?}"),
            }
        }
        Ok(())
    }
}
