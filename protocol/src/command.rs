//! What the client of a WebSocket asks for, and how it is answered: one JSON object each.
//!
//! A command has a `type` and, where an answer is to be told from others, an `id`, which the answer
//! repeats. Members that a command does not know are refused, so that a slip does not go unnoticed.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::api::object;
use crate::api::publication::{channel_name, check_id};
use crate::api::query::{History, Presence};
use crate::api::{DEFAULT_LIMIT, MAX_LIMIT, Problem};
use crate::content::escape_str;
use crate::number;
use crate::option::{check_event, parse_ttl};
use crate::resume::Epoch;

/// Longest `id` of a command in bytes, as JSON.
pub const MAX_COMMAND_ID: usize = 128;

/// A command, and the id that its answer repeats.
#[derive(Clone, Debug)]
pub struct Command<'a> {
    /// A JSON string or whole number.
    pub id: Option<&'a RawValue>,
    /// What is asked for.
    pub action: Action<'a>,
}

/// What a command asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// To be sent a channel's messages.
    Subscribe {
        /// The channel's name.
        channel: Cow<'a, str>,
        /// The next seq that is wanted; 0: from now on.
        seq: u64,
        /// What the seq belongs to.
        epoch: Option<Epoch>,
        /// The channel's token, or empty.
        token: Cow<'a, str>,
    },
    /// To be sent no more of a channel's messages.
    Unsubscribe {
        /// The channel's name.
        channel: Cow<'a, str>,
    },
    /// A message for a channel.
    Publish {
        /// The channel's name.
        channel: Cow<'a, str>,
        /// The inside of a JSON string, as a message carries it.
        content: Vec<u8>,
        /// Under which it is done once.
        once: Option<Cow<'a, str>>,
        /// How long it lives, in milliseconds, if it has a time of its own.
        ttl: Option<u64>,
        /// The name of its event.
        event: Option<Cow<'a, str>>,
        /// The client, or its user, is not to get it itself.
        exclude: bool,
    },
    /// Who is in a channel.
    Presence(Presence<'a>),
    /// What a channel has buffered.
    History(History<'a>),
    /// A sign of life.
    Ping,
}

impl Action<'_> {
    /// The command's `type`.
    pub fn name(&self) -> &'static str {
        match self {
            Action::Subscribe { .. } => "subscribe",
            Action::Unsubscribe { .. } => "unsubscribe",
            Action::Publish { .. } => "publish",
            Action::Presence(_) => "presence",
            Action::History(_) => "history",
            Action::Ping => "ping",
        }
    }
}

/// Why a command is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// One of a fixed list (docs/protocol.md).
    pub code: &'static str,
    /// What is wrong, and what would be right.
    pub content: Cow<'static, str>,
}

impl Failure {
    /// A failure with a fixed text.
    pub fn new(code: &'static str, content: &'static str) -> Failure {
        Failure {
            code,
            content: content.into(),
        }
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Failure {
        let content = match problem.pointer() {
            Some(pointer) => format!("{pointer}: {}", problem.detail),
            None => problem.detail.into(),
        };
        Failure {
            code: problem.code,
            content: content.into(),
        }
    }
}

const MEMBERS: [&str; 15] = [
    "type", "id", "channel", "seq", "epoch", "token", "content", "once", "since", "limit",
    "reverse", "cursor", "ttl", "event", "exclude",
];

/// The members of a command.
struct Members<'a>([Option<&'a RawValue>; MEMBERS.len()]);

impl<'a> Members<'a> {
    fn get(&self, name: &str) -> Option<&'a RawValue> {
        let place = MEMBERS.iter().position(|known| *known == name)?;
        self.0.get(place).copied().flatten()
    }

    /// Refuses members that are not among those.
    fn only(&self, names: &[&str]) -> Result<(), Failure> {
        let stray = MEMBERS.iter().zip(&self.0).find(|(name, value)| {
            value.is_some() && !names.contains(name) && !["type", "id"].contains(*name)
        });
        match stray {
            None => Ok(()),
            Some((name, _)) => Err(Failure {
                code: "unknown_member",
                content: format!("/{name}: this command has no such member").into(),
            }),
        }
    }

    fn channel(&self) -> Result<Cow<'a, str>, Failure> {
        let channel = self.get("channel");
        let channel = channel.ok_or_else(|| missing("/channel: a channel's name is needed"))?;
        Ok(channel_name(channel, "/channel")?)
    }

    fn text(&self, name: &str) -> Result<Option<Cow<'a, str>>, Failure> {
        let value = self.get(name);
        let value = value.map(|value| object::string(value, &format!("/{name}")));
        Ok(value.transpose()?)
    }

    fn flag(&self, name: &str) -> Result<bool, Failure> {
        match self.get(name).map(RawValue::get) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(bad(format!("/{name}: true or false is needed"))),
        }
    }

    fn number(&self, name: &str, max: u64) -> Result<Option<u64>, Failure> {
        let value = self.get(name);
        let read = value.map(|value| {
            let number = number::parse_u64(value.get().as_bytes()).filter(|n| *n <= max);
            number.ok_or_else(|| bad(format!("/{name}: a number from 0 to {max} is needed")))
        });
        read.transpose()
    }
}

fn bad(content: String) -> Failure {
    Failure {
        code: "bad_member",
        content: content.into(),
    }
}

fn missing(content: &'static str) -> Failure {
    Failure::new("missing_member", content)
}

/// Reads a client's text; with a failure comes the id, if there was one.
pub fn read(text: &str) -> Result<Command<'_>, (Option<&RawValue>, Failure)> {
    let none = |problem: Problem| (None, Failure::from(problem));
    let value = object::parse(text.as_bytes()).map_err(none)?;
    let members = Members(object::members(value, &MEMBERS, "").map_err(none)?);
    let id = members.get("id");
    if id.is_some_and(|id| !is_id(id)) {
        let content = "/id: a string of at most 128 bytes or a whole number is needed";
        return Err((None, Failure::new("bad_member", content)));
    }
    match action(&members) {
        Ok(action) => Ok(Command { id, action }),
        Err(failure) => Err((id, failure)),
    }
}

fn is_id(id: &RawValue) -> bool {
    let text = id.get();
    // Half of a surrogate pair is no text, and 1e999 no number that every client could read back.
    let is_kind = object::string(id, "/id").is_ok() || text.parse::<i64>().is_ok();
    is_kind && text.len() <= MAX_COMMAND_ID
}

fn action<'a>(members: &Members<'a>) -> Result<Action<'a>, Failure> {
    let kind = members.text("type")?;
    let kind = kind.ok_or_else(|| missing("/type: the command's name is needed"))?;
    let action = match &*kind {
        "subscribe" => {
            members.only(&["channel", "seq", "epoch", "token"])?;
            let epoch = members.text("epoch")?.filter(|epoch| !epoch.is_empty());
            let epoch = epoch.map(|epoch| Epoch::claimed(epoch.as_bytes()));
            Action::Subscribe {
                channel: members.channel()?,
                seq: members.number("seq", u64::MAX)?.unwrap_or(0),
                epoch,
                token: members.text("token")?.unwrap_or_default(),
            }
        }
        "unsubscribe" => {
            members.only(&["channel"])?;
            Action::Unsubscribe {
                channel: members.channel()?,
            }
        }
        "publish" => {
            members.only(&["channel", "content", "once", "ttl", "event", "exclude"])?;
            let content = members.get("content");
            let content = content.ok_or_else(|| missing("/content: any JSON is needed"))?;
            let mut escaped = Vec::new();
            if content.get().starts_with('"') {
                escape_str(&object::string(content, "/content")?, &mut escaped);
            } else {
                escape_str(content.get(), &mut escaped);
            }
            let once = members.text("once")?;
            if let Some(once) = &once {
                check_id(once).map_err(|detail| bad(format!("/once: {detail}")))?;
            }
            let ttl = members.get("ttl").map(|ttl| parse_ttl(ttl.get()));
            let ttl = ttl.map(|ttl| ttl.map_err(|error| bad(format!("/ttl: {error}"))));
            let event = members.text("event")?;
            if let Some(event) = &event {
                check_event(event.as_bytes()).map_err(|error| bad(format!("/event: {error}")))?;
            }
            Action::Publish {
                channel: members.channel()?,
                content: escaped,
                once,
                ttl: ttl.transpose()?,
                event,
                exclude: members.flag("exclude")?,
            }
        }
        "presence" => {
            members.only(&["channel", "cursor", "limit"])?;
            let cursor = members.text("cursor")?.map(|cursor| {
                let known = number::parse_hex_u64(cursor.as_bytes());
                known.ok_or_else(|| bad("/cursor: what an answer had as cursor is needed".into()))
            });
            Action::Presence(Presence {
                channel: members.channel()?,
                cursor: cursor.transpose()?,
                limit: limit(members)?,
            })
        }
        "history" => {
            members.only(&["channel", "since", "limit", "reverse"])?;
            Action::History(History {
                channel: members.channel()?,
                since: members.number("since", u64::MAX)?.unwrap_or(0),
                limit: limit(members)?,
                reverse: members.flag("reverse")?,
            })
        }
        "ping" => {
            members.only(&[])?;
            Action::Ping
        }
        _ => {
            let content =
                "/type: known are subscribe, unsubscribe, publish, presence, history and ping";
            return Err(Failure::new("unknown_command", content));
        }
    };
    Ok(action)
}

fn limit(members: &Members<'_>) -> Result<usize, Failure> {
    let limit = members.number("limit", MAX_LIMIT)?.unwrap_or(DEFAULT_LIMIT);
    Ok(usize::try_from(limit).unwrap_or(usize::MAX).max(1))
}

/// The answer to a command that was done; `answer` is a JSON object, whose members it gets.
pub fn reply(id: Option<&RawValue>, command: &str, answer: &[u8]) -> Vec<u8> {
    let mut reply = b"{\"type\":\"reply\"".to_vec();
    put_id(id, &mut reply);
    reply.extend_from_slice(b",\"command\":\"");
    reply.extend_from_slice(command.as_bytes());
    reply.push(b'"');
    let members = answer.trim_ascii_end();
    match members.strip_prefix(b"{").filter(|rest| *rest != b"}") {
        Some(rest) => {
            reply.push(b',');
            reply.extend_from_slice(rest);
        }
        None => reply.push(b'}'),
    }
    reply
}

/// The answer to a command that was not done.
pub fn failed(id: Option<&RawValue>, failure: &Failure) -> Vec<u8> {
    let mut reply = b"{\"type\":\"error\"".to_vec();
    put_id(id, &mut reply);
    reply.extend_from_slice(b",\"code\":\"");
    reply.extend_from_slice(failure.code.as_bytes());
    reply.extend_from_slice(b"\",\"content\":\"");
    escape_str(&failure.content, &mut reply);
    reply.extend_from_slice(b"\"}");
    reply
}

/// What a client is told that has subscribed.
pub fn subscribed(channel: &str, epoch: Epoch, next_seq: u64) -> Vec<u8> {
    #[derive(Serialize)]
    struct Answer<'a> {
        channel: &'a str,
        epoch: String,
        next_seq: u64,
    }
    let answer = Answer {
        channel,
        epoch: epoch.to_string(),
        next_seq,
    };
    // Texts and a number: there is nothing that could not be written.
    serde_json::to_vec(&answer).unwrap_or_default()
}

/// What a client is told that has left a channel.
pub fn unsubscribed(channel: &str) -> Vec<u8> {
    #[derive(Serialize)]
    struct Answer<'a> {
        channel: &'a str,
    }
    serde_json::to_vec(&Answer { channel }).unwrap_or_default()
}

fn put_id(id: Option<&RawValue>, reply: &mut Vec<u8>) {
    if let Some(id) = id {
        reply.extend_from_slice(b",\"id\":");
        reply.extend_from_slice(id.get().as_bytes());
    }
}
