//! The scenarios. Their names are stable: reports of different days are compared by them.

mod delivery;
mod fanout;
mod large;
mod memory;
mod million;
mod publish;
mod scaling;
mod websocket;

use anyhow::{Result, anyhow};

use crate::config::Shape;
use crate::crowd::{Crowd, Want};
use crate::http::Client;
use crate::options::Options;
use crate::report::Report;
use crate::server::Server;
use crate::target::{Kind, Transport};

/// All names, and what each is about.
pub const ALL: [(&str, &str); 14] = [
    (
        "memory-idle",
        "memory of an idle subscriber, all on one channel",
    ),
    ("memory-channels", "the same, with a channel each"),
    (
        "memory-after-traffic",
        "the first again, after 20 messages to all",
    ),
    ("delivery-cpu", "server CPU of one SSE delivery, one worker"),
    (
        "longpoll-cpu",
        "server CPU of one answered and repeated long poll, one worker",
    ),
    (
        "fanout-last",
        "from publishing to the last of many, and the publisher's answer",
    ),
    (
        "publish-closed",
        "messages a second to channels with one subscriber, 1 and 2 workers",
    ),
    (
        "latency",
        "from publishing to receiving, at a rate, a channel each",
    ),
    ("idle-cpu", "CPU of many idle subscribers"),
    (
        "scaling",
        "memory and CPU over numbers of subscribers and workers",
    ),
    (
        "ws-memory",
        "memory of many idle WebSockets, plain and compressing, and after 20 messages",
    ),
    (
        "ws-delivery-cpu",
        "server CPU of one delivery by WebSocket, one worker",
    ),
    (
        "ws-deflate",
        "CPU and bytes of JSON texts to compressing WebSockets, and to others",
    ),
    ("c1000k", "a million subscribers"),
];

/// The names of what `run` does by itself: all but the million.
pub fn usual() -> Vec<String> {
    let names = ALL.iter().map(|(name, _)| (*name).to_owned());
    names.filter(|name| name != "c1000k").collect()
}

/// Checks a name.
pub fn named(name: &str) -> Result<String> {
    let known = ALL.iter().any(|(known, _)| *known == name);
    known
        .then(|| name.to_owned())
        .ok_or_else(|| anyhow!("there is no scenario {name}; see: icomet-bench list"))
}

/// Scenarios that are measured together, and what does it.
type Group<'a> = (&'static [&'static str], fn(&mut Bench<'a>) -> Result<()>);

/// What all scenarios work with.
pub struct Bench<'a> {
    /// What was asked for.
    pub options: &'a Options,
    /// What was measured.
    pub report: Report,
}

impl<'a> Bench<'a> {
    /// Runs what was asked for. What fails is noted, and the rest goes on.
    pub fn run(&mut self) {
        let groups: [Group<'a>; 11] = [
            (
                &["memory-idle", "memory-channels", "memory-after-traffic"],
                memory::run,
            ),
            (&["delivery-cpu"], delivery::sse),
            (&["longpoll-cpu"], delivery::long_poll),
            (&["fanout-last"], fanout::run),
            (&["publish-closed"], publish::run),
            (&["latency", "idle-cpu"], large::run),
            (&["scaling"], scaling::run),
            (&["ws-memory"], websocket::memory),
            (&["ws-delivery-cpu"], delivery::websocket),
            (&["ws-deflate"], websocket::deflate),
            (&["c1000k"], million::run),
        ];
        for (names, run) in groups {
            let wanted: Vec<_> = names.iter().filter(|name| self.wants(name)).collect();
            let (Some(first), false) = (wanted.first(), wanted.is_empty()) else {
                continue;
            };
            println!(
                "{}",
                wanted
                    .iter()
                    .map(|name| **name)
                    .collect::<Vec<_>>()
                    .join(", ")
            );
            if let Err(error) = run(self) {
                self.report.note(format!("{first}: {error:#}"));
            }
        }
    }

    /// Whether a scenario was asked for.
    pub fn wants(&self, scenario: &str) -> bool {
        self.options.scenarios.iter().any(|name| name == scenario)
    }

    /// The servers that were asked for, of these.
    pub fn servers(&self, of: &[Kind]) -> Vec<Kind> {
        let wanted = self.options.servers.iter().copied();
        wanted.filter(|kind| of.contains(kind)).collect()
    }

    /// Starts a server and opens its subscribers.
    pub fn open(&mut self, kind: Kind, shape: Shape, want: Want) -> Result<Subject> {
        let shape = Shape {
            access_log: self.options.access_log,
            ..shape
        };
        let server = Server::start(&self.options.programs, kind, shape)?;
        let memory_before = server.pss();
        let crowd = Crowd::open(server.target, want)?;
        server.quiet();
        println!(
            "    {}: {} {} subscribers in {:.1} s, {} workers",
            kind.name(),
            want.count,
            want.transport.name(),
            crowd.opened_in.as_secs_f64(),
            shape.workers
        );
        Ok(Subject {
            kind,
            crowd,
            memory_before,
            server,
        })
    }

    /// Starts several, all with the same subscribers. One that cannot be started is left out.
    pub fn open_all(&mut self, kinds: &[Kind], shape: Shape, want: Want) -> Vec<Subject> {
        let mut all = Vec::new();
        for kind in kinds {
            match self.open(*kind, shape, want) {
                Ok(subject) => all.push(subject),
                Err(error) => self.report.note(format!("{}: {error:#}", kind.name())),
            }
        }
        all
    }

    /// Looks at whether all went well, and ends a server.
    pub fn close(&mut self, scenario: &str, subject: Subject) {
        let name = subject.kind.name();
        // The floor may leave out a slow reader; the others may not.
        if let Err(error) = subject.crowd.verify() {
            self.report.note(format!("{scenario}, {name}: {error:#}"));
        }
        let alarms = subject.server.alarms();
        if let Some(first) = alarms.first() {
            let count = alarms.len();
            self.report.note(format!(
                "{scenario}, {name}: {count} alarms in its log: {first}"
            ));
        }
    }
}

/// A server with its subscribers. The subscribers are dropped first.
pub struct Subject {
    /// What it is.
    pub kind: Kind,
    /// Its subscribers.
    pub crowd: Crowd,
    /// Its memory before them.
    pub memory_before: u64,
    /// The server.
    pub server: Server,
}

impl Subject {
    /// Bytes a subscriber, the preallocated slot included.
    pub fn bytes_each(&self) -> f64 {
        let count = self.crowd.want.count;
        self.server.growth(self.memory_before, count) as f64 / count as f64
    }
}

/// Subscribers as curl would be, by SSE.
pub fn sse(count: usize, own_channels: bool) -> Want {
    Want {
        count,
        transport: Transport::Sse,
        client: Client::Curl,
        own_channels,
    }
}
