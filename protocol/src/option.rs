//! What a publisher may say of a message beside its content, wherever it says it.

use std::fmt;

/// Longest name of an event in characters.
pub const MAX_EVENT: usize = 64;
/// Longest time of a message of its own, in seconds: 365 days.
pub const MAX_TTL: u64 = 31_536_000;
/// Longest id of a user in characters.
pub const MAX_USER: usize = 128;

/// Checks the name of an event: 1 to [`MAX_EVENT`] characters of UTF-8, none of them a control character, so
/// that it can stand in a line.
pub fn check_event(name: &[u8]) -> Result<&str, OptionError> {
    let text = std::str::from_utf8(name).map_err(|_| OptionError::Event)?;
    let is_good = has_length(text, MAX_EVENT) && !text.chars().any(char::is_control);
    is_good.then_some(text).ok_or(OptionError::Event)
}

/// A time in seconds, a number as JSON writes it; in milliseconds, and at least one.
pub fn parse_ttl(text: &str) -> Result<u64, OptionError> {
    let seconds: f64 = serde_json::from_str(text).map_err(|_| OptionError::Ttl)?;
    if seconds > 0.0 && seconds <= MAX_TTL as f64 {
        Ok(((seconds * 1000.0).round() as u64).max(1))
    } else {
        Err(OptionError::Ttl)
    }
}

/// Checks the id of a user whom a message is kept from, as [`params::check_user`](crate::params::check_user)
/// does.
pub fn check_excluded(user: &str) -> Result<(), OptionError> {
    let checked = crate::params::check_user(user.as_bytes());
    checked.map(drop).map_err(|_| OptionError::User)
}

/// Whether a text has 1 to `most` characters. Characters are what descriptions of an API can count.
pub(crate) fn has_length(text: &str, most: usize) -> bool {
    !text.is_empty() && text.len() <= 4 * most && text.chars().count() <= most
}

/// What is wrong with an option, in words that name no parameter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OptionError {
    /// No name of an event.
    Event,
    /// No time, or out of range.
    Ttl,
    /// No id of a user.
    User,
}

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OptionError::Event => write!(
                f,
                "an event's name has 1 to {MAX_EVENT} characters of UTF-8, none of them a control character"
            ),
            OptionError::Ttl => write!(
                f,
                "a ttl is a number of seconds, more than 0 and at most {MAX_TTL}"
            ),
            OptionError::User => write!(
                f,
                "a user's id has 1 to {MAX_USER} characters, none of them a control character"
            ),
        }
    }
}

impl std::error::Error for OptionError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ttl_is_a_number_of_seconds() {
        for (text, milliseconds) in [
            ("1", 1000),
            ("0.25", 250),
            ("1e2", 100_000),
            ("1e-300", 1),
            ("31536000", 31_536_000_000),
        ] {
            assert_eq!(parse_ttl(text), Ok(milliseconds), "{text}");
        }
        for text in [
            "", "0", "-1", "31536001", "1e400", "inf", "nan", "1s", "0x1", "\"1\"", "+1", "01",
        ] {
            assert_eq!(parse_ttl(text), Err(OptionError::Ttl), "{text}");
        }
    }

    #[test]
    fn an_event_has_a_name_of_one_line() {
        assert_eq!(
            check_event("größer \"als\"".as_bytes()),
            Ok("größer \"als\"")
        );
        let longest = "\u{1d11e}".repeat(MAX_EVENT);
        assert!(check_event(longest.as_bytes()).is_ok());
        for name in [
            &b""[..],
            b"a\nb",
            b"a\rb",
            b"a\0",
            b"\x7f",
            b"\xff",
            "\u{85}".as_bytes(),
            &[b'e'; MAX_EVENT + 1],
        ] {
            assert_eq!(check_event(name), Err(OptionError::Event), "{name:?}");
        }
    }

    #[test]
    fn a_user_has_a_bounded_id() {
        assert!(check_excluded("alice").is_ok() && check_excluded(&"é".repeat(MAX_USER)).is_ok());
        assert!(check_excluded("").is_err() && check_excluded(&"x".repeat(MAX_USER + 1)).is_err());
    }
}
