//! Parameters of the API. Other than with the old endpoints, one that is not known is a mistake.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::problem::{of_name, shortened};
use super::{DEFAULT_LIMIT, MAX_LIMIT, Problem};
use crate::number;
use crate::params::{MAX_CHANNEL_NAME, Params, check_channel_name, decode};

/// The decoded values of parameters, in the order of `names`; each may be there once.
pub(super) fn parameters<'a, const N: usize>(
    query: &'a [u8],
    names: &[&'static str; N],
) -> Result<[Option<Cow<'a, str>>; N], Problem> {
    let mut values = [const { None }; N];
    for pair in query.split(|byte| *byte == b'&') {
        if pair.is_empty() {
            continue;
        }
        let at = pair.iter().position(|byte| *byte == b'=');
        let (name, value) = match at {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &[][..]),
        };
        let name = decode::decode(name);
        let known = names.iter().position(|known| known.as_bytes() == &*name);
        let Some((slot, name)) = known.and_then(|n| Some((values.get_mut(n)?, names.get(n)?)))
        else {
            let detail = if N == 0 {
                "no parameters are taken here".to_owned()
            } else {
                format!("no such parameter: {} are known", names.join(", "))
            };
            let name = String::from_utf8_lossy(&name);
            return Err(Problem::of_parameter(&name, "unknown_parameter", detail));
        };
        if slot.is_some() {
            let detail = "this parameter is there twice";
            return Err(Problem::of_parameter(name, "duplicate_parameter", detail));
        }
        let text = match decode::decode(value) {
            Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
            Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
        };
        match text {
            Some(text) => *slot = Some(text),
            None => {
                let detail = "the value is not UTF-8";
                return Err(Problem::of_parameter(name, "bad_parameter", detail));
            }
        }
    }
    Ok(values)
}

/// Refuses parameters where none are taken.
pub fn none(query: &[u8]) -> Result<(), Problem> {
    parameters(query, &[]).map(|[]| ())
}

/// The parameters of `history`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct History<'a> {
    /// The channel's name.
    pub channel: Cow<'a, str>,
    /// The last seq that the client has: those after it are wanted.
    pub since: u64,
    /// Most messages.
    pub limit: usize,
    /// From the newest back.
    pub reverse: bool,
}

/// Reads the parameters of `history`.
pub fn history(query: &[u8]) -> Result<History<'_>, Problem> {
    let [channel, since, limit, reverse] =
        parameters(query, &["channel", "since", "limit", "reverse"])?;
    Ok(History {
        channel: required_channel(channel)?,
        since: since_of(since)?,
        limit: limit_of(limit)?,
        reverse: reverse_of(reverse.as_deref())?,
    })
}

/// The same as a subscriber asks for it: its channel's name is found elsewhere, and parameters that are
/// not known here may be the location's.
pub fn history_of<'a>(channel: Cow<'a, str>, params: &Params<'_>) -> Result<History<'a>, Problem> {
    Ok(History {
        channel,
        since: since_of(text_of(params, "since")?)?,
        limit: limit_of(text_of(params, "limit")?)?,
        reverse: reverse_of(text_of(params, "reverse")?.as_deref())?,
    })
}

/// The parameters of `presence`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Presence<'a> {
    /// The channel's name.
    pub channel: Cow<'a, str>,
    /// Where the list of users goes on.
    pub cursor: Option<u64>,
    /// Most users.
    pub limit: usize,
}

/// Reads the parameters of `presence`.
pub fn presence(query: &[u8]) -> Result<Presence<'_>, Problem> {
    let [channel, cursor, limit] = parameters(query, &["channel", "cursor", "limit"])?;
    Ok(Presence {
        channel: required_channel(channel)?,
        cursor: members_cursor(cursor)?,
        limit: limit_of(limit)?,
    })
}

/// The same as a subscriber asks for it, as [`history_of`].
pub fn presence_of<'a>(
    channel: Cow<'a, str>,
    params: &Params<'_>,
) -> Result<Presence<'a>, Problem> {
    Ok(Presence {
        channel,
        cursor: members_cursor(text_of(params, "cursor")?)?,
        limit: limit_of(text_of(params, "limit")?)?,
    })
}

fn members_cursor(cursor: Option<Cow<'_, str>>) -> Result<Option<u64>, Problem> {
    let Some(text) = cursor else { return Ok(None) };
    match number::parse_hex_u64(text.as_bytes()) {
        Some(place) => Ok(Some(place)),
        None => Err(no_cursor()),
    }
}

fn no_cursor() -> Problem {
    let detail = "this is no cursor that an answer gave";
    Problem::of_parameter("cursor", "bad_parameter", detail)
}

/// A parameter's value, if it is there.
fn text_of<'a>(params: &Params<'a>, name: &'static str) -> Result<Option<Cow<'a, str>>, Problem> {
    let not_utf8 = || Problem::of_parameter(name, "bad_parameter", "the value is not UTF-8");
    let text = match params.get(name) {
        None => return Ok(None),
        Some(Cow::Borrowed(bytes)) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
        Some(Cow::Owned(bytes)) => String::from_utf8(bytes).ok().map(Cow::Owned),
    };
    text.map(Some).ok_or_else(not_utf8)
}

fn since_of(since: Option<Cow<'_, str>>) -> Result<u64, Problem> {
    since.map_or(Ok(0), |text| integer("since", &text, 0, u64::MAX))
}

fn reverse_of(reverse: Option<&str>) -> Result<bool, Problem> {
    match reverse {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => {
            let detail = "reverse is true or false";
            Err(Problem::of_parameter("reverse", "bad_parameter", detail))
        }
    }
}

/// Where a list of channels goes on; for the client it is a text without meaning.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Cursor {
    /// Two numbers of the engine's.
    pub place: [u32; 2],
    /// A name, or nothing.
    pub after: Vec<u8>,
}

impl Cursor {
    /// The text.
    pub fn to_text(&self) -> String {
        let [shard, bucket] = self.place;
        let after = URL_SAFE_NO_PAD.encode(&self.after);
        format!("{shard:08x}{bucket:08x}{after}")
    }

    /// What a text says, if it is one of ours.
    pub fn parse(text: &str) -> Option<Cursor> {
        let (place, after) = text.as_bytes().split_at_checked(16)?;
        let place = number::parse_hex_u64(place)?;
        let after = URL_SAFE_NO_PAD.decode(after).ok()?;
        (after.len() <= MAX_CHANNEL_NAME).then_some(Cursor {
            place: [(place >> 32) as u32, place as u32],
            after,
        })
    }
}

/// The parameters of `channels`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Channels<'a> {
    /// What the names begin with.
    pub prefix: Cow<'a, str>,
    /// Where the list goes on.
    pub cursor: Cursor,
    /// Most channels.
    pub limit: usize,
}

/// Reads the parameters of `channels`.
pub fn channels(query: &[u8]) -> Result<Channels<'_>, Problem> {
    let [prefix, cursor, limit] = parameters(query, &["prefix", "cursor", "limit"])?;
    let prefix = prefix.unwrap_or_default();
    if !prefix.is_empty() {
        check_channel_name(prefix.as_bytes())
            .map_err(|error| Problem::of_parameter("prefix", "bad_parameter", of_name(error)))?;
    }
    let cursor = match cursor {
        None => Cursor::default(),
        Some(text) => Cursor::parse(&text).ok_or_else(no_cursor)?,
    };
    Ok(Channels {
        prefix,
        cursor,
        limit: limit_of(limit)?,
    })
}

/// A channel's name, which a request must have as a parameter.
pub(super) fn required_channel(channel: Option<Cow<'_, str>>) -> Result<Cow<'_, str>, Problem> {
    let Some(channel) = channel else {
        let detail = "channel is needed, as a parameter of the query";
        return Err(Problem::of_parameter(
            "channel",
            "missing_parameter",
            detail,
        ));
    };
    check_channel_name(channel.as_bytes())
        .map_err(|error| Problem::of_parameter("channel", "bad_parameter", of_name(error)))?;
    Ok(channel)
}

fn limit_of(limit: Option<Cow<'_, str>>) -> Result<usize, Problem> {
    let limit = limit.map_or(Ok(DEFAULT_LIMIT), |text| {
        integer("limit", &text, 1, MAX_LIMIT)
    })?;
    Ok(usize::try_from(limit).unwrap_or_default())
}

fn integer(name: &str, text: &str, min: u64, max: u64) -> Result<u64, Problem> {
    number::parse_u64(text.as_bytes())
        .filter(|value| (min..=max).contains(value))
        .ok_or_else(|| {
            let shown = shortened(text);
            let detail = format!("\"{shown}\" is not a whole number from {min} to {max}");
            Problem::of_parameter(name, "bad_parameter", detail)
        })
}
