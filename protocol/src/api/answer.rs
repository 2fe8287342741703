//! The answers of the API.

use serde::Serialize;

use super::Problem;
use crate::content::{self, Place};
use crate::number;
use crate::resume::Epoch;

/// 16 hex digits.
fn hex(number: u64) -> String {
    format!("{number:016x}")
}

fn json(value: &impl Serialize) -> Vec<u8> {
    // Texts, numbers and lists of them: there is nothing that could not be written.
    let mut body = serde_json::to_vec(value).unwrap_or_default();
    body.push(b'\n');
    body
}

/// A publish to one channel that was done.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Published {
    /// The message's seq.
    pub seq: u64,
    /// What it belongs to; written beside it.
    #[serde(skip)]
    pub epoch: Epoch,
    /// Subscribers of the channel at that moment.
    pub subscribers: u32,
    /// It was done before, under its id; this is what was told then.
    pub duplicate: bool,
}

/// What became of a message on one of its channels.
#[derive(Debug, Serialize)]
pub struct Outcome<'a> {
    /// In a batch: the message's place, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<usize>,
    /// The channel.
    pub channel: &'a str,
    /// What its seq belongs to, if it was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<String>,
    /// How it ended.
    #[serde(flatten)]
    pub ended: Ended,
}

/// How a publish to one channel ended.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Ended {
    /// It was taken.
    Done(Published),
    /// It was not.
    Refused {
        /// The HTTP status that it would have by itself.
        status: u16,
        /// The problem's.
        code: &'static str,
        /// The problem's.
        detail: Box<str>,
    },
}

impl From<Problem> for Ended {
    fn from(problem: Problem) -> Ended {
        Ended::Refused {
            status: problem.status,
            code: problem.code,
            detail: problem.detail,
        }
    }
}

/// The answer to a publish to `channel` alone.
pub fn published(channel: &str, published: &Published) -> Vec<u8> {
    #[derive(Serialize)]
    struct Answer<'a> {
        channel: &'a str,
        epoch: String,
        #[serde(flatten)]
        published: &'a Published,
    }
    json(&Answer {
        channel,
        epoch: published.epoch.to_string(),
        published,
    })
}

/// The answer to a publish to `channels`, or a batch: its status and body; `epoch` is the zone's. 207: not
/// all was done.
pub fn outcomes(epoch: u64, results: &[Outcome<'_>]) -> (u16, Vec<u8>) {
    #[derive(Serialize)]
    struct Answer<'a> {
        epoch: String,
        results: &'a [Outcome<'a>],
    }
    let all = results
        .iter()
        .all(|outcome| matches!(outcome.ended, Ended::Done(_)));
    let body = json(&Answer {
        epoch: hex(epoch),
        results,
    });
    (if all { 200 } else { 207 }, body)
}

/// What there is to tell of a channel's messages, beside them.
#[derive(Clone, Copy, Debug)]
pub struct History<'a> {
    /// The channel's name.
    pub channel: &'a str,
    /// The channel's epoch.
    pub epoch: Epoch,
    /// The smallest buffered seq, else the next.
    pub first_seq: u64,
    /// The next seq.
    pub next_seq: u64,
    /// Messages after `since` that are not buffered any more.
    pub lost: u64,
    /// There are more than were told.
    pub more: bool,
}

/// One message of a history.
#[derive(Clone, Copy, Debug)]
pub struct HistoryMessage<'a> {
    /// Its seq.
    pub seq: u64,
    /// It was sent to all channels.
    pub is_broadcast: bool,
    /// Milliseconds since it was published.
    pub age: u64,
    /// The inside of a JSON string.
    pub content: &'a [u8],
    /// The name of its event; empty when it has none.
    pub event: &'a str,
}

/// The answer of `history`.
pub fn history<'m>(
    history: &History<'_>,
    messages: impl Iterator<Item = HistoryMessage<'m>>,
) -> Vec<u8> {
    let mut out = b"{\"channel\":\"".to_vec();
    content::write_text(history.channel, Place::Json, &mut out);
    out.extend_from_slice(b"\",\"epoch\":\"");
    history.epoch.write(&mut out);
    out.push(b'"');
    let numbers = [
        ("first_seq", history.first_seq),
        ("next_seq", history.next_seq),
        ("lost", history.lost),
    ];
    for (name, value) in numbers {
        out.extend_from_slice(format!(",\"{name}\":{value}").as_bytes());
    }
    out.extend_from_slice(format!(",\"more\":{},\"messages\":[", history.more).as_bytes());
    for (n, message) in messages.enumerate() {
        if n > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"seq\":");
        number::write_u64(message.seq, &mut out);
        out.extend_from_slice(if message.is_broadcast {
            b",\"type\":\"broadcast\",\"age_ms\":"
        } else {
            b",\"type\":\"data\",\"age_ms\":"
        });
        number::write_u64(message.age, &mut out);
        out.extend_from_slice(b",\"content\":\"");
        out.extend_from_slice(message.content);
        if !message.event.is_empty() {
            out.extend_from_slice(b"\",\"event\":\"");
            content::write_text(message.event, Place::Json, &mut out);
        }
        out.extend_from_slice(b"\"}");
    }
    out.extend_from_slice(b"]}\n");
    out
}

/// A user among a channel's subscribers.
#[derive(Clone, Debug, Serialize)]
pub struct Member {
    /// Its id.
    pub user: String,
    /// Its subscribers of the channel.
    pub connections: u32,
}

/// What `presence` tells of a channel.
#[derive(Clone, Copy, Debug, Default)]
pub struct Presence<'a> {
    /// Its subscribers.
    pub subscribers: u32,
    /// Users among them.
    pub users: u32,
    /// A page of these.
    pub members: &'a [Member],
    /// Where the list goes on; without it, it was the last page.
    pub cursor: Option<u64>,
}

/// The answer of `presence`.
pub fn presence(channel: &str, presence: &Presence<'_>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Answer<'a> {
        channel: &'a str,
        subscribers: u32,
        users: u32,
        members: &'a [Member],
        #[serde(skip_serializing_if = "Option::is_none")]
        cursor: Option<String>,
    }
    json(&Answer {
        channel,
        subscribers: presence.subscribers,
        users: presence.users,
        members: presence.members,
        cursor: presence.cursor.map(hex),
    })
}

/// One channel of a list.
#[derive(Clone, Debug, Serialize)]
pub struct Channel {
    /// Its name.
    pub channel: String,
    /// What its seqs belong to.
    pub epoch: String,
    /// Its subscribers.
    pub subscribers: u32,
    /// The smallest buffered seq, else the next.
    pub first_seq: u64,
    /// The next seq.
    pub next_seq: u64,
}

/// The answer of `channels`; `epoch` is the zone's; without a cursor it is the last page.
pub fn channels(epoch: u64, channels: &[Channel], cursor: Option<String>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Answer<'a> {
        epoch: String,
        channels: &'a [Channel],
        #[serde(skip_serializing_if = "Option::is_none")]
        cursor: Option<String>,
    }
    json(&Answer {
        epoch: hex(epoch),
        channels,
        cursor,
    })
}

/// The answer of `disconnect`. `revoked`: whether there was a token to revoke, if that was asked.
pub fn disconnected(
    channel: Option<&str>,
    user: Option<&str>,
    disconnected: u64,
    revoked: Option<bool>,
) -> Vec<u8> {
    #[derive(Serialize)]
    struct Answer<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        channel: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<&'a str>,
        disconnected: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        revoked: Option<bool>,
    }
    json(&Answer {
        channel,
        user,
        disconnected,
        revoked,
    })
}
