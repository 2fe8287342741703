//! What happened, and how a batch of it is written.

use serde::Serialize;

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A channel was made.
    Online,
    /// A channel was freed or closed.
    Offline,
    /// A client waits for messages.
    Subscribe,
    /// It does no longer.
    Unsubscribe,
    /// A message was taken.
    Publish,
}

const ALL: [Kind; 5] = [
    Kind::Online,
    Kind::Offline,
    Kind::Subscribe,
    Kind::Unsubscribe,
    Kind::Publish,
];

impl Kind {
    /// Its name in a configuration and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Online => "online",
            Kind::Offline => "offline",
            Kind::Subscribe => "subscribe",
            Kind::Unsubscribe => "unsubscribe",
            Kind::Publish => "publish",
        }
    }

    /// The names of all, for a message.
    pub fn names() -> String {
        ALL.map(Kind::name).join(", ")
    }
}

/// A set of kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds(u8);

impl Kinds {
    /// Reads `online,publish`; `Err` is the word that names none, or stands twice.
    pub fn parse(text: &str) -> Result<Kinds, &str> {
        let mut kinds = Kinds::default();
        for word in text.split(',') {
            match ALL.into_iter().find(|kind| kind.name() == word) {
                Some(kind) if !kinds.has(kind) => kinds.0 |= 1 << kind as u8,
                _ => return Err(word),
            }
        }
        Ok(kinds)
    }

    /// Whether a kind is in it.
    pub fn has(self, kind: Kind) -> bool {
        self.0 & 1 << kind as u8 != 0
    }

    /// Both together.
    pub fn union(self, other: Kinds) -> Kinds {
        Kinds(self.0 | other.0)
    }
}

/// What more there is to say of an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", untagged)]
pub enum About {
    /// Nothing.
    #[default]
    Nothing,
    /// Of a channel that came or went.
    Channel {
        /// Grows with each of these events of the hub, over all workers: of two about one channel the
        /// higher one is the later one.
        order: u64,
    },
    /// Of a subscriber.
    Subscriber {
        /// `poll`, `stream`, `sse`, ...
        transport: &'static str,
    },
    /// Of a message.
    Message {
        /// Its number in the channel.
        message_seq: u64,
        /// Bytes of its content, JSON-escaped.
        size: usize,
        /// Who was subscribed at that moment, on all workers.
        subscribers: u32,
    },
    /// Of a message to all channels.
    Broadcast {
        /// Always true.
        broadcast: bool,
        /// Bytes of its content, JSON-escaped.
        size: usize,
    },
}

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its kind.
    pub kind: Kind,
    /// The channel; none of a broadcast.
    pub channel: Option<Box<str>>,
    /// Who the subscriber is, of an event about one or of a channel that it made, if that is known.
    pub user: Option<Box<str>>,
    /// When, in milliseconds since 1970.
    pub time: u64,
    /// Its number among those of this hook and worker, from 1 on. A number that never arrives was left
    /// out because the queue was full.
    pub seq: u64,
    /// What more there is to say.
    pub about: About,
}

/// What all events of a hook and a worker have in common.
#[derive(Clone, Debug)]
pub struct Names {
    /// The node that reports.
    pub node: String,
    /// The hub.
    pub hub: String,
    /// The epoch of the hub's zone, 16 hex digits.
    pub epoch: String,
    /// This life of this worker, and this hook: no two of anything have the same.
    pub worker: String,
}

#[derive(Serialize)]
struct Written<'a> {
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    node: &'a str,
    hub: &'a str,
    epoch: &'a str,
    worker: &'a str,
    seq: u64,
    time: u64,
    channel: Option<&'a str>,
    #[serde(flatten)]
    about: About,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
}

#[derive(Serialize)]
struct Batch<'a> {
    version: u32,
    events: Vec<Written<'a>>,
}

/// The body of a POST.
pub(crate) fn write(names: &Names, events: &[Event]) -> Result<Vec<u8>, serde_json::Error> {
    let events = events.iter().map(|event| Written {
        id: format!("{}-{}", names.worker, event.seq),
        kind: event.kind.name(),
        node: &names.node,
        hub: &names.hub,
        epoch: &names.epoch,
        worker: &names.worker,
        seq: event.seq,
        time: event.time,
        channel: event.channel.as_deref(),
        about: event.about,
        user: event.user.as_deref(),
    });
    serde_json::to_vec(&Batch {
        version: 1,
        events: events.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_by_name() {
        let kinds = Kinds::parse("online,publish").unwrap_or_default();
        assert!(kinds.has(Kind::Online) && kinds.has(Kind::Publish) && !kinds.has(Kind::Offline));
        assert_eq!(Kinds::parse("online,,publish"), Err(""));
        assert_eq!(Kinds::parse("online,online"), Err("online"));
        assert_eq!(Kinds::parse("all"), Err("all"));
    }

    #[test]
    fn a_batch_is_written_as_documented() -> Result<(), serde_json::Error> {
        let names = Names {
            node: "a".into(),
            hub: "main".into(),
            epoch: "00000000000000ff".into(),
            worker: "0123456789abcdef".into(),
        };
        let event = |kind, channel: Option<&str>, seq, about| Event {
            kind,
            channel: channel.map(Into::into),
            user: (kind == Kind::Subscribe).then(|| "ann".into()),
            time: 7,
            seq,
            about,
        };
        let message = About::Message {
            message_seq: 5,
            size: 2,
            subscribers: 3,
        };
        let broadcast = About::Broadcast {
            broadcast: true,
            size: 2,
        };
        let events = [
            event(Kind::Online, Some("x\"y"), 1, About::Channel { order: 9 }),
            event(
                Kind::Subscribe,
                Some("x"),
                2,
                About::Subscriber { transport: "sse" },
            ),
            event(Kind::Publish, Some("x"), 3, message),
            event(Kind::Publish, None, 4, broadcast),
        ];
        let common =
            r#""node":"a","hub":"main","epoch":"00000000000000ff","worker":"0123456789abcdef""#;
        let written = [
            ("online", 1, r#""x\"y","order":9"#),
            ("subscribe", 2, r#""x","transport":"sse","user":"ann""#),
            ("publish", 3, r#""x","message_seq":5,"size":2,"subscribers":3"#),
            ("publish", 4, r#"null,"broadcast":true,"size":2"#),
        ]
        .map(|(kind, seq, rest)| {
            format!(
                r#"{{"id":"0123456789abcdef-{seq}","type":"{kind}",{common},"seq":{seq},"time":7,"channel":{rest}}}"#
            )
        });
        let expected = format!(r#"{{"version":1,"events":[{}]}}"#, written.join(","));
        assert_eq!(String::from_utf8_lossy(&write(&names, &events)?), expected);
        Ok(())
    }
}
