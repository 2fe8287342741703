//! The name of a JSONP callback.

use std::borrow::Cow;
use std::fmt;

/// A checked callback name: a dotted path of JavaScript identifiers (`app.on.message`).
///
/// A value of this type can stand in front of `(` in a script without letting the client say
/// anything else. Only ASCII letters, digits, `_` and `$` are taken for identifiers. Reserved words
/// are not told apart: as a callback they fail in the client's own script, and harm nobody.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Callback<'a>(Cow<'a, str>);

impl Callback<'static> {
    /// The callback of `ping` when the client names none.
    pub const DEFAULT: Self = Self(Cow::Borrowed("icomet_cb"));
}

impl<'a> Callback<'a> {
    /// Longest name, in bytes.
    pub const MAX_LEN: usize = 128;

    /// Checks a decoded `cb` value.
    pub fn new(name: Cow<'a, [u8]>) -> Result<Self, CallbackError> {
        if name.len() > Self::MAX_LEN {
            return Err(CallbackError::TooLong);
        }
        if !name.split(|&byte| byte == b'.').all(is_identifier) {
            return Err(CallbackError::NotAnIdentifierPath);
        }
        match name {
            Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
            Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
        }
        .map(Self)
        .ok_or(CallbackError::NotAnIdentifierPath)
    }

    /// The name as it is written in front of `(`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Begins a script that calls it. The comment keeps the client's own letters from standing first, where
    /// they could make the answer look like a file of another kind.
    pub fn open(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"/**/");
        out.extend_from_slice(self.as_str().as_bytes());
        out.push(b'(');
    }

    /// The name by value, for a record that outlives the request's buffers.
    pub fn into_owned(self) -> Callback<'static> {
        Callback(Cow::Owned(self.0.into_owned()))
    }
}

/// Why a `cb` value is no callback name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CallbackError {
    /// Over [`Callback::MAX_LEN`] bytes.
    TooLong,
    /// Empty, or a part of it is not an identifier.
    NotAnIdentifierPath,
}

impl fmt::Display for CallbackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "cb is longer than {} bytes", Callback::MAX_LEN),
            Self::NotAnIdentifierPath => f.write_str(
                "cb is not a JavaScript identifier path (letters, digits, _ and $, parts joined by dots)",
            ),
        }
    }
}

impl std::error::Error for CallbackError {}

fn is_identifier(part: &[u8]) -> bool {
    let is_start = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || byte == b'$';
    match part {
        [first, rest @ ..] => {
            is_start(*first)
                && rest
                    .iter()
                    .all(|&byte| is_start(byte) || byte.is_ascii_digit())
        }
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(name: &[u8]) -> Result<Callback<'_>, CallbackError> {
        Callback::new(Cow::Borrowed(name))
    }

    #[test]
    fn takes_identifier_paths() {
        for name in [
            "icomet_cb",
            "icomet_cb_0",
            "$",
            "_",
            "a.b.c",
            "jQuery17_1.cb",
            "A9",
        ] {
            assert_eq!(
                check(name.as_bytes()).map(|cb| cb.as_str().to_owned()),
                Ok(name.into())
            );
        }
        assert!(check(&[b'a'; 128]).is_ok());
        assert!(check(Callback::DEFAULT.as_str().as_bytes()).is_ok());
    }

    #[test]
    fn refuses_everything_else() {
        for name in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "1a",
            "a.1",
            "a b",
            "a;b",
            "a(",
            "alert(1)//",
            "a\n",
            "é",
        ] {
            assert_eq!(
                check(name.as_bytes()),
                Err(CallbackError::NotAnIdentifierPath),
                "{name:?}"
            );
        }
        assert_eq!(check(b"\xff"), Err(CallbackError::NotAnIdentifierPath));
        assert_eq!(check(&[b'a'; 129]), Err(CallbackError::TooLong));
    }

    proptest! {
        #[test]
        fn what_passes_has_no_other_characters(name: Vec<u8>) {
            if let Ok(callback) = check(&name) {
                prop_assert_eq!(callback.as_str().as_bytes(), &name[..]);
                prop_assert!(
                    name.iter().all(|b| b.is_ascii_alphanumeric() || b"_$.".contains(b))
                );
            }
        }

        #[test]
        fn paths_pass(name in "[A-Za-z_$][A-Za-z0-9_$]{0,20}(\\.[A-Za-z_$][A-Za-z0-9_$]{0,20}){0,4}") {
            prop_assert!(check(name.as_bytes()).is_ok());
        }
    }
}
