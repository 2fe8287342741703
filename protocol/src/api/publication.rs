//! What is to be published: the bodies of `publish` and `batch`.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

use super::problem::{of_name, of_user};
use super::query::{parameters, required_channel};
use super::{MAX_ID, Problem, object};
use crate::content::escape_str;
use crate::option::{OptionError, check_event, check_excluded, has_length, parse_ttl};
use crate::params::{check_channel_name, check_user};

/// What a body is taken for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Media {
    /// `application/json`: says all.
    Json,
    /// `text/plain`: the content; the other members are parameters of the query.
    Text,
    /// `application/octet-stream`: the same, and the content is published as base64.
    Binary,
}

impl Media {
    /// What a `Content-Type` names; `None`: nothing that is taken here.
    pub fn of_content_type(content_type: &[u8]) -> Option<Media> {
        let mut parts = content_type.split(|byte| *byte == b';');
        let is = |part: &[u8], name: &[u8]| part.trim_ascii().eq_ignore_ascii_case(name);
        let media = parts.next()?;
        if is(media, b"application/octet-stream") {
            return Some(Media::Binary);
        }
        // Another charset would be published as something else than was meant.
        let is_utf8 = parts.all(|parameter| {
            let mut halves = parameter.splitn(2, |byte| *byte == b'=');
            if !halves.next().is_some_and(|name| is(name, b"charset")) {
                return true;
            }
            let value = halves.next().unwrap_or_default().trim_ascii();
            let value = value.strip_prefix(b"\"").unwrap_or(value);
            let value = value.strip_suffix(b"\"").unwrap_or(value);
            is(value, b"utf-8") || is(value, b"us-ascii")
        });
        match is_utf8 {
            true if is(media, b"application/json") => Some(Media::Json),
            true if is(media, b"text/plain") => Some(Media::Text),
            _ => None,
        }
    }
}

/// One content for one channel or several.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Publication<'a> {
    /// The channels' names, checked, each once.
    pub channels: Vec<Cow<'a, str>>,
    /// It was told `channel`, not `channels`.
    pub is_single: bool,
    /// The inside of a JSON string, as a message carries it.
    pub content: Vec<u8>,
    /// Under which it is done once for each channel.
    pub id: Option<Cow<'a, str>>,
    /// After how many milliseconds it ends.
    pub ttl: Option<u64>,
    /// The name of its event.
    pub event: Option<Cow<'a, str>>,
    /// The id of the user who does not get it.
    pub exclude: Option<Cow<'a, str>>,
}

const MEMBERS: [&str; 8] = [
    "channel", "channels", "content", "id", "ttl", "event", "exclude", "once",
];

/// `once` is what a WebSocket's command says for `id`, which is the command's there.
const BOTH_IDS: &str = "id and once are the same: one of them is needed";

/// The body of `publish`. `most`: publishes in one request, one for each channel.
pub fn publish(body: &[u8], most: usize) -> Result<Publication<'_>, Problem> {
    let mut left = most;
    publication(object::parse(body)?, "", most, &mut left)
}

/// The body of `batch`: `{"messages":[...]}`, each as for `publish`; `most` is for all of them.
pub fn batch(body: &[u8], most: usize) -> Result<Vec<Publication<'_>>, Problem> {
    let [messages] = object::members(object::parse(body)?, &["messages"], "")?;
    let Some(messages) = messages else {
        return Err(missing("/messages", "an array of messages is needed"));
    };
    let Some(messages) = object::elements(messages, most, "/messages")? else {
        return Err(too_many(most));
    };
    if messages.is_empty() {
        let detail = "at least one message is needed";
        return Err(Problem::at("/messages", "bad_member", detail));
    }
    let mut left = most;
    let numbered = messages.into_iter().enumerate();
    numbered
        .map(|(n, message)| publication(message, &format!("/messages/{n}"), most, &mut left))
        .collect()
}

/// A body that is the content, with the other members in the query.
pub fn plain<'a>(media: Media, query: &'a [u8], body: &[u8]) -> Result<Publication<'a>, Problem> {
    let names = ["channel", "id", "ttl", "event", "exclude", "once"];
    let [channel, id, ttl, event, exclude, once] = parameters(query, &names)?;
    let channel = required_channel(channel)?;
    let (name, id) = match (id, once) {
        (Some(_), Some(_)) => return Err(Problem::of_parameter("once", "bad_parameter", BOTH_IDS)),
        (None, once @ Some(_)) => ("once", once),
        (id, None) => ("id", id),
    };
    if let Some(id) = &id {
        check_id(id).map_err(|detail| Problem::of_parameter(name, "bad_parameter", detail))?;
    }
    let bad = |name: &'static str| {
        move |error: OptionError| Problem::of_parameter(name, "bad_parameter", error.to_string())
    };
    let ttl = ttl.map(|ttl| parse_ttl(&ttl).map_err(bad("ttl")));
    let ttl = ttl.transpose()?;
    if let Some(event) = &event {
        check_event(event.as_bytes()).map_err(bad("event"))?;
    }
    if let Some(user) = &exclude {
        check_excluded(user).map_err(bad("exclude"))?;
    }
    let mut content = Vec::new();
    if media == Media::Binary {
        // Nothing of its alphabet is escaped in JSON.
        content = STANDARD.encode(body).into_bytes();
    } else {
        let text = std::str::from_utf8(body).map_err(|error| {
            let at = error.valid_up_to();
            let detail =
                format!("the body is not UTF-8 at byte {at}: send it as application/octet-stream");
            Problem::new(400, "not_utf8", detail)
        })?;
        escape_str(text, &mut content);
    }
    Ok(Publication {
        channels: vec![channel],
        is_single: true,
        content,
        id,
        ttl,
        event,
        exclude,
    })
}

fn publication<'a>(
    value: &'a RawValue,
    pointer: &str,
    most: usize,
    left: &mut usize,
) -> Result<Publication<'a>, Problem> {
    let [channel, channels, content, id, ttl, event, exclude, once] =
        object::members(value, &MEMBERS, pointer)?;
    let (channels, is_single) = match (channel, channels) {
        (Some(channel), None) => (
            vec![channel_name(channel, &format!("{pointer}/channel"))?],
            true,
        ),
        (None, Some(channels)) => {
            let pointer = format!("{pointer}/channels");
            (channel_names(channels, &pointer, most)?, false)
        }
        (Some(_), Some(_)) => {
            let detail = "channel and channels are both there: one of them is needed";
            return Err(Problem::at(
                format!("{pointer}/channels"),
                "bad_member",
                detail,
            ));
        }
        (None, None) => {
            let pointer = format!("{pointer}/channel");
            return Err(missing(&pointer, "channel or channels is needed"));
        }
    };
    *left = left
        .checked_sub(channels.len())
        .ok_or_else(|| too_many(most))?;
    let Some(content) = content else {
        let detail = "content is needed: any JSON value";
        return Err(missing(&format!("{pointer}/content"), detail));
    };
    let mut escaped = Vec::new();
    if content.get().starts_with('"') {
        let text = object::string(content, &format!("{pointer}/content"))?;
        escape_str(&text, &mut escaped);
    } else {
        escape_str(content.get(), &mut escaped);
    }
    let (name, id) = match (id, once) {
        (Some(_), Some(_)) => {
            let pointer = format!("{pointer}/once");
            return Err(Problem::at(pointer, "bad_member", BOTH_IDS));
        }
        (None, once @ Some(_)) => ("once", once),
        (id, None) => ("id", id),
    };
    let id = match id {
        None => None,
        Some(id) => {
            let pointer = format!("{pointer}/{name}");
            let id = object::string(id, &pointer)?;
            check_id(&id).map_err(|detail| Problem::at(pointer, "bad_member", detail))?;
            Some(id)
        }
    };
    Ok(Publication {
        channels,
        is_single,
        content: escaped,
        id,
        ttl: ttl.map(|ttl| seconds(ttl, pointer)).transpose()?,
        event: checked(event, &format!("{pointer}/event"), |event| {
            check_event(event.as_bytes()).map(drop)
        })?,
        exclude: checked(exclude, &format!("{pointer}/exclude"), check_excluded)?,
    })
}

/// A `ttl`, in milliseconds.
fn seconds(value: &RawValue, pointer: &str) -> Result<u64, Problem> {
    let pointer = format!("{pointer}/ttl");
    if !value
        .get()
        .starts_with(|c: char| c == '-' || c.is_ascii_digit())
    {
        return Err(Problem::at(pointer, "wrong_type", "a number is needed"));
    }
    let ttl = parse_ttl(value.get());
    ttl.map_err(|error| Problem::at(pointer, "bad_member", error.to_string()))
}

/// A member that is a string, if it is there.
fn checked<'a>(
    value: Option<&'a RawValue>,
    pointer: &str,
    check: impl FnOnce(&str) -> Result<(), OptionError>,
) -> Result<Option<Cow<'a, str>>, Problem> {
    let Some(value) = value else {
        return Ok(None);
    };
    let text = object::string(value, pointer)?;
    check(&text).map_err(|error| Problem::at(pointer, "bad_member", error.to_string()))?;
    Ok(Some(text))
}

fn channel_names<'a>(
    value: &'a RawValue,
    pointer: &str,
    most: usize,
) -> Result<Vec<Cow<'a, str>>, Problem> {
    let Some(names) = object::elements(value, most, pointer)? else {
        return Err(too_many(most));
    };
    if names.is_empty() {
        let detail = "at least one channel is needed";
        return Err(Problem::at(pointer, "bad_member", detail));
    }
    let numbered = names.into_iter().enumerate();
    let names = numbered
        .map(|(n, name)| channel_name(name, &format!("{pointer}/{n}")))
        .collect::<Result<Vec<_>, _>>()?;
    let mut sorted: Vec<&str> = names.iter().map(|name| &**name).collect();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        let detail = "a channel is named twice";
        return Err(Problem::at(pointer, "bad_member", detail));
    }
    Ok(names)
}

/// A member that is a channel's name.
pub(crate) fn channel_name<'a>(
    value: &'a RawValue,
    pointer: &str,
) -> Result<Cow<'a, str>, Problem> {
    let name = object::string(value, pointer)?;
    check_channel_name(name.as_bytes())
        .map_err(|error| Problem::at(pointer, "bad_member", of_name(error)))?;
    Ok(name)
}

/// What `disconnect` is asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Disconnect<'a> {
    /// Who is ended.
    pub whom: Whom<'a>,
    /// They are told to stay away.
    pub stay_away: bool,
    /// The channel's token is taken away first.
    pub revoke: bool,
}

/// Whom `disconnect` ends.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Whom<'a> {
    /// All subscribers of a channel.
    Channel(Cow<'a, str>),
    /// A user's, on one channel or on all.
    User(Cow<'a, str>, Option<Cow<'a, str>>),
}

/// The body of `disconnect`: `{"channel":NAME}`, `{"user":ID}` or both, and what more is wanted.
pub fn disconnect(body: &[u8]) -> Result<Disconnect<'_>, Problem> {
    let [channel, user, stay_away, revoke] = object::members(
        object::parse(body)?,
        &["channel", "user", "stay_away", "revoke"],
        "",
    )?;
    let channel = channel.map(|channel| channel_name(channel, "/channel"));
    let channel = channel.transpose()?;
    let whom = match (user, channel) {
        (Some(user), channel) => {
            let user = object::string(user, "/user")?;
            check_user(user.as_bytes())
                .map_err(|error| Problem::at("/user", "bad_member", of_user(error)))?;
            Whom::User(user, channel)
        }
        (None, Some(channel)) => Whom::Channel(channel),
        (None, None) => return Err(missing("/channel", "channel, user or both are needed")),
    };
    let stay_away = object::flag(stay_away, "/stay_away")?;
    let revoke = object::flag(revoke, "/revoke")?;
    if revoke && matches!(whom, Whom::User(_, None)) {
        let detail = "a token is a channel's: name the channel whose token is to be revoked";
        return Err(Problem::at("/revoke", "bad_member", detail));
    }
    Ok(Disconnect {
        whom,
        stay_away,
        revoke,
    })
}

pub(crate) fn check_id(id: &str) -> Result<(), String> {
    has_length(id, MAX_ID)
        .then_some(())
        .ok_or_else(|| format!("an id has 1 to {MAX_ID} characters"))
}

fn missing(pointer: &str, detail: &str) -> Problem {
    Problem::at(pointer, "missing_member", detail)
}

fn too_many(most: usize) -> Problem {
    let detail = format!(
        "more than {most} publishes in one request (max_batch); each channel of a message is one"
    );
    Problem::new(413, "too_many_publishes", detail)
}
