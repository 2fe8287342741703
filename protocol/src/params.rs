//! Request parameters: the query string and the form body.

pub(crate) mod decode;
mod list;

pub use list::ChannelNames;

use crate::callback::{Callback, CallbackError};
use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;

use crate::number;
use crate::option::has_length;
use crate::option::{self, OptionError};
use crate::resume::Epoch;

/// Longest channel name in bytes.
pub const MAX_CHANNEL_NAME: usize = 256;
pub use crate::option::MAX_USER;
/// Longest `wait` in seconds.
pub const MAX_WAIT: u16 = 3600;
/// Longest `expires` in seconds: 365 days.
pub const MAX_EXPIRES: i64 = 31_536_000;
/// Smallest `expires`: clients of the original send any negative `int` for the default.
pub const MIN_EXPIRES: i64 = i32::MIN as i64;

/// Parameters that come once, whatever the case of their letters.
const KNOWN: [&str; 15] = [
    "cname", "token", "user", "content", "seq", "noop", "cb", "epoch", "wait", "expires", "ttl",
    "event", "detail", "limit", "cursor",
];

/// The parameters of a request, looked up where they stand.
///
/// A body value wins over the query's, and the first of a name wins within each. Values are
/// percent-decoded with `+` as a space; what does not need it is borrowed. A value that is empty
/// counts as absent for all but `cname` and `content`.
#[derive(Clone, Copy, Debug)]
pub struct Params<'a> {
    query: &'a [u8],
    body: Option<&'a [u8]>,
}

impl<'a> Params<'a> {
    /// `query` without its `?`; `body` only if it is `application/x-www-form-urlencoded`.
    pub fn new(query: &'a [u8], body: Option<&'a [u8]>) -> Self {
        Self { query, body }
    }

    /// Refuses a known parameter that comes twice in the query, or twice in the body, in any case of its letters.
    pub fn check_once(&self) -> Result<(), ParameterError> {
        self.check_once_of(&KNOWN)
    }

    /// The same of parameters with those names.
    pub fn check_once_of(&self, names: &[&'static str]) -> Result<(), ParameterError> {
        let body = self.body.unwrap_or_default();
        let twice = names.chunks(decode::AT_ONCE).find_map(|names| {
            decode::repeated(self.query, names).or_else(|| decode::repeated(body, names))
        });
        twice.map_or(Ok(()), |name| Err(ParameterError::Twice { name }))
    }

    /// The decoded value of a parameter; empty for a name without `=`.
    pub fn get(&self, name: &str) -> Option<Cow<'a, [u8]>> {
        self.raw(name).map(decode::decode)
    }

    /// A parameter's value as it was sent.
    fn raw(&self, name: &str) -> Option<&'a [u8]> {
        self.body
            .and_then(|body| decode::find(body, name.as_bytes()))
            .or_else(|| decode::find(self.query, name.as_bytes()))
    }

    /// As [`get`](Self::get), with an empty value taken as absent.
    fn get_filled(&self, name: &str) -> Option<Cow<'a, [u8]>> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// `cname`, checked as [`check_channel_name`] does.
    pub fn channel_name(&self) -> Result<Cow<'a, str>, ParameterError> {
        match self
            .get("cname")
            .ok_or(ParameterError::ChannelNameMissing)?
        {
            Cow::Borrowed(name) => check_channel_name(name).map(Cow::Borrowed),
            Cow::Owned(name) => check_channel_name(&name).map(|name| Cow::Owned(name.to_owned())),
        }
    }

    /// `seq`: the next sequence number the client wants; default 0.
    pub fn seq(&self) -> Result<u64, ParameterError> {
        self.unsigned("seq").map(Option::unwrap_or_default)
    }

    /// `noop`: the client's noop counter; default 0.
    pub fn noop(&self) -> Result<u64, ParameterError> {
        self.unsigned("noop").map(Option::unwrap_or_default)
    }

    /// `wait`: the longest wait of a long poll in seconds, if the client sets one.
    pub fn wait(&self) -> Result<Option<u16>, ParameterError> {
        self.integer("wait", 0..=MAX_WAIT.into())?
            .map(|seconds| {
                u16::try_from(seconds).map_err(|_| out_of_range("wait", 0..=MAX_WAIT.into()))
            })
            .transpose()
    }

    /// `detail`: whether `info` tells more; default no.
    pub fn detail(&self) -> Result<bool, ParameterError> {
        Ok(self.integer("detail", 0..=1)? == Some(1))
    }

    /// `expires` in seconds; default -1; 0 or less means the hub's channel_timeout.
    pub fn expires(&self) -> Result<i64, ParameterError> {
        self.integer("expires", MIN_EXPIRES..=MAX_EXPIRES)
            .map(|expires| expires.unwrap_or(-1))
    }

    /// `ttl`: after how many milliseconds a message ends, if its publisher says so.
    pub fn ttl(&self) -> Result<Option<u64>, ParameterError> {
        let Some(value) = self.get_filled("ttl") else {
            return Ok(None);
        };
        let parsed = std::str::from_utf8(&value).map_err(|_| OptionError::Ttl);
        let parsed = parsed.and_then(option::parse_ttl);
        parsed.map(Some).map_err(ParameterError::Option)
    }

    /// `event`: the name of a message's event; empty if it has none.
    pub fn event(&self) -> Result<Cow<'a, str>, ParameterError> {
        let Some(value) = self.get_filled("event") else {
            return Ok(Cow::Borrowed(""));
        };
        let name = match value {
            Cow::Borrowed(name) => option::check_event(name).map(Cow::Borrowed),
            Cow::Owned(name) => option::check_event(&name).map(|name| Cow::Owned(name.to_owned())),
        };
        name.map_err(ParameterError::Option)
    }

    /// `epoch`: what `seq` belongs to, as the server said it; one that is none of ours is another one.
    pub fn epoch(&self) -> Option<Epoch> {
        self.get_filled("epoch").map(|value| Epoch::claimed(&value))
    }

    /// Whether there is an `epoch`, also an empty one: the client wants to be told the channel's.
    pub fn asks_epoch(&self) -> bool {
        self.raw("epoch").is_some()
    }

    /// `lastEventId`, or the same in the other ways in which EventSource polyfills write it: what a
    /// `Last-Event-ID` header would say.
    pub fn last_event_id(&self) -> Option<Cow<'a, [u8]>> {
        let names = ["lastEventId", "Last-Event-ID", "lastEventID"];
        names.into_iter().find_map(|name| self.get_filled(name))
    }

    /// `cb`: the JSONP callback.
    pub fn callback(&self) -> Result<Option<Callback<'a>>, ParameterError> {
        Ok(self.get_filled("cb").map(Callback::new).transpose()?)
    }

    /// `token` as sent; never log it.
    pub fn token(&self) -> Option<Cow<'a, [u8]>> {
        self.get_filled("token")
    }

    /// `user`: who the subscriber says it is, checked as [`check_user`] does.
    pub fn user(&self) -> Result<Option<Cow<'a, str>>, ParameterError> {
        match self.get_filled("user") {
            None => Ok(None),
            Some(Cow::Borrowed(user)) => check_user(user).map(|user| Some(Cow::Borrowed(user))),
            Some(Cow::Owned(user)) => {
                check_user(&user).map(|user| Some(Cow::Owned(user.to_owned())))
            }
        }
    }

    /// `content`; empty if absent.
    pub fn content(&self) -> Cow<'a, [u8]> {
        self.get("content").unwrap_or_default()
    }

    /// The same without memory of its own: what must be decoded stands in `scratch`, whose old
    /// content goes.
    pub fn content_in<'s>(&self, scratch: &'s mut Vec<u8>) -> &'s [u8]
    where
        'a: 's,
    {
        decode::decode_in(self.raw("content").unwrap_or_default(), scratch)
    }

    fn unsigned(&self, name: &'static str) -> Result<Option<u64>, ParameterError> {
        self.get_filled(name)
            .map(|value| number::parse_u64(&value).ok_or_else(|| out_of_range(name, 0..=u64::MAX)))
            .transpose()
    }

    fn integer(
        &self,
        name: &'static str,
        range: RangeInclusive<i64>,
    ) -> Result<Option<i64>, ParameterError> {
        let Some(value) = self.get_filled(name) else {
            return Ok(None);
        };
        let parsed = match value.strip_prefix(b"-") {
            Some(digits) => {
                number::parse_u64(digits).and_then(|value| 0i64.checked_sub_unsigned(value))
            }
            None => number::parse_u64(&value).and_then(|value| i64::try_from(value).ok()),
        };
        match parsed {
            Some(value) if range.contains(&value) => Ok(Some(value)),
            _ => Err(out_of_range(name, range)),
        }
    }
}

/// Checks a channel name, from a parameter or from elsewhere: 1 to [`MAX_CHANNEL_NAME`] bytes of
/// UTF-8 without control characters.
pub fn check_channel_name(name: &[u8]) -> Result<&str, ParameterError> {
    if name.is_empty() {
        return Err(ParameterError::ChannelNameEmpty);
    }
    if name.len() > MAX_CHANNEL_NAME {
        return Err(ParameterError::ChannelNameTooLong);
    }
    let name = std::str::from_utf8(name).map_err(|_| ParameterError::ChannelNameNotUtf8)?;
    if name.chars().any(char::is_control) {
        return Err(ParameterError::ChannelNameControl);
    }
    Ok(name)
}

/// Checks a user's id, from a parameter or from elsewhere: 1 to [`MAX_USER`] characters of UTF-8, none of
/// them a control character.
pub fn check_user(user: &[u8]) -> Result<&str, ParameterError> {
    let user = std::str::from_utf8(user).map_err(|_| ParameterError::UserNotUtf8)?;
    if !has_length(user, MAX_USER) {
        return Err(ParameterError::UserLength);
    }
    if user.chars().any(char::is_control) {
        return Err(ParameterError::UserControl);
    }
    Ok(user)
}

/// What is wrong with a parameter. Its text also says what would be right, and repeats no input.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ParameterError {
    /// No `cname` at all.
    ChannelNameMissing,
    /// An empty `cname`.
    ChannelNameEmpty,
    /// A `cname` over [`MAX_CHANNEL_NAME`] bytes.
    ChannelNameTooLong,
    /// A `cname` that is not UTF-8.
    ChannelNameNotUtf8,
    /// A `cname` with a control character.
    ChannelNameControl,
    /// A parameter that comes twice, whatever the case of its letters.
    Twice {
        /// The parameter.
        name: &'static str,
    },
    /// One channel named twice.
    ChannelNameTwice,
    /// More channels than a subscriber may have.
    TooManyChannels {
        /// How many it may have.
        max: usize,
    },
    /// Not one value for each channel.
    ListLength {
        /// The parameter.
        name: &'static str,
    },
    /// A `user` that is empty, or over [`MAX_USER`] characters.
    UserLength,
    /// A `user` that is not UTF-8.
    UserNotUtf8,
    /// A `user` with a control character.
    UserControl,
    /// Not a number, or out of its range.
    Number {
        /// The parameter.
        name: &'static str,
        /// The smallest value it takes.
        min: i64,
        /// The largest value it takes.
        max: u64,
    },
    /// A `cb` that is no callback name.
    Callback(CallbackError),
    /// A `ttl` or `event` that is none.
    Option(OptionError),
}

fn out_of_range<T>(name: &'static str, range: RangeInclusive<T>) -> ParameterError
where
    T: Copy + TryInto<i64> + TryInto<u64>,
{
    let (min, max) = range.into_inner();
    ParameterError::Number {
        name,
        min: min.try_into().unwrap_or(i64::MIN),
        max: max.try_into().unwrap_or(u64::MAX),
    }
}

impl From<CallbackError> for ParameterError {
    fn from(error: CallbackError) -> Self {
        Self::Callback(error)
    }
}

impl fmt::Display for ParameterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ChannelNameMissing => {
                f.write_str("cname is missing: a channel name of 1 to 256 bytes is needed")
            }
            Self::ChannelNameEmpty => {
                f.write_str("cname is empty: a channel name of 1 to 256 bytes is needed")
            }
            Self::ChannelNameTooLong => f.write_str("cname is longer than 256 bytes"),
            Self::ChannelNameNotUtf8 => f.write_str("cname is not valid UTF-8"),
            Self::ChannelNameControl => {
                f.write_str("cname has a control character: only printable characters are taken")
            }
            Self::ChannelNameTwice => f.write_str("cname names a channel twice"),
            Self::Twice { name } => {
                write!(
                    f,
                    "{name} comes twice, in upper or lower case: give it once"
                )
            }
            Self::TooManyChannels { max } => {
                write!(f, "cname names more than {max} channels")
            }
            Self::ListLength { name } => {
                write!(f, "{name} has not one value for each channel of cname")
            }
            Self::UserLength => f.write_str("user has 1 to 128 characters"),
            Self::UserNotUtf8 => f.write_str("user is not valid UTF-8"),
            Self::UserControl => {
                f.write_str("user has a control character: only printable characters are taken")
            }
            Self::Number { name, min, max } => {
                write!(f, "{name} is not a number from {min} to {max}")
            }
            Self::Callback(error) => error.fmt(f),
            Self::Option(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ParameterError {}
