//! Query string and form body: what each parameter is, against a plain reading of the URL standard.
//!
//! Input: the query, and after the first line end, if there is one, the form body.

#![no_main]

use icomet_protocol::Params;
use icomet_protocol::callback::{Callback, CallbackError};
use icomet_protocol::params::{
    MAX_CHANNEL_NAME, MAX_EXPIRES, MAX_WAIT, MIN_EXPIRES, ParameterError,
};
use icomet_protocol::resume::Epoch;
use libfuzzer_sys::fuzz_target;

/// The protocol's names, and some that `icomet_channel arg_NAME` could bring.
const NAMES: [&str; 12] = [
    "cname", "seq", "noop", "wait", "expires", "epoch", "cb", "token", "content", "a b", "%", "c",
];

fuzz_target!(|data: &[u8]| {
    let (query, body) = match data.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&data[..end], Some(&data[end + 1..])),
        None => (data, None),
    };
    let params = Params::new(query, body);
    for name in NAMES {
        assert_eq!(
            params.get(name).as_deref(),
            expected(query, body, name).as_deref(),
            "{name}"
        );
    }
    let value = |name| expected(query, body, name);
    // Empty is absent for all that are no text.
    let filled = |name| value(name).filter(|value| !value.is_empty());

    let mut scratch = b"what was there".to_vec();
    let content = params.content_in(&mut scratch);
    assert_eq!(content, value("content").unwrap_or_default());
    assert_eq!(content, &params.content()[..]);
    assert_eq!(params.token().as_deref(), filled("token").as_deref());

    for (name, read) in [("seq", params.seq()), ("noop", params.noop())] {
        match filled(name).as_deref().map(unsigned) {
            None => assert_eq!(read, Ok(0)),
            Some(Some(number)) => assert_eq!(read, Ok(number)),
            Some(None) => told(read),
        }
    }
    match filled("wait").as_deref().map(unsigned) {
        None => assert_eq!(params.wait(), Ok(None)),
        Some(Some(seconds)) if seconds <= u64::from(MAX_WAIT) => {
            assert_eq!(params.wait(), Ok(Some(seconds as u16)));
        }
        // "-0" is a number too, and in the range.
        Some(None) if params.wait() == Ok(Some(0)) => {
            assert!(filled("wait").is_some_and(|text| text.starts_with(b"-0")));
        }
        Some(_) => told(params.wait()),
    }
    match filled("expires").as_deref().map(signed) {
        None => assert_eq!(params.expires(), Ok(-1)),
        Some(Some(seconds)) if (MIN_EXPIRES.into()..=MAX_EXPIRES.into()).contains(&seconds) => {
            assert_eq!(params.expires().map(i128::from), Ok(seconds));
        }
        Some(_) => told(params.expires()),
    }
    match filled("epoch") {
        None => assert_eq!(params.epoch(), None),
        Some(text) => {
            let epoch = params.epoch().expect("any text is an epoch");
            // Which epochs there are, the target `resume` says.
            assert_eq!(epoch, Epoch::claimed(&text));
        }
    }
    channel_name(&params, value("cname"));
    callback(&params, filled("cb"));
});

/// `cname`: what is taken can be shown and logged as it is.
fn channel_name(params: &Params<'_>, value: Option<Vec<u8>>) {
    match (params.channel_name(), value) {
        (Ok(name), Some(value)) => {
            assert_eq!(name.as_bytes(), value);
            assert!(!name.is_empty() && name.len() <= MAX_CHANNEL_NAME);
            assert!(!name.chars().any(char::is_control));
        }
        (Err(error), value) => {
            let bad = value.is_none_or(|value| {
                value.is_empty()
                    || value.len() > MAX_CHANNEL_NAME
                    || String::from_utf8(value)
                        .map_or(true, |name| name.chars().any(char::is_control))
            });
            assert!(bad, "refused: {error}");
        }
        (Ok(name), None) => panic!("a name from nowhere: {name:?}"),
    }
}

/// `cb`: what is taken says nothing but a name in a script.
fn callback(params: &Params<'_>, value: Option<Vec<u8>>) {
    let identifier = |part: &[u8]| {
        part.first().is_some_and(|first| !first.is_ascii_digit())
            && part
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_$".contains(byte))
    };
    match (params.callback(), value) {
        (Ok(None), None) => {}
        (Ok(Some(callback)), Some(value)) => {
            assert_eq!(callback.as_str().as_bytes(), value);
            assert!(value.len() <= Callback::MAX_LEN);
            assert!(value.split(|byte| *byte == b'.').all(identifier));
            assert_eq!(callback.clone().into_owned().as_str(), callback.as_str());
        }
        (Err(ParameterError::Callback(CallbackError::TooLong)), Some(value)) => {
            assert!(value.len() > Callback::MAX_LEN);
        }
        (Err(error), Some(value)) => {
            assert!(!value.split(|byte| *byte == b'.').all(identifier));
            assert_eq!(
                error,
                ParameterError::Callback(CallbackError::NotAnIdentifierPath)
            );
        }
        (read, value) => panic!("{value:?} was read as {read:?}"),
    }
}

/// A bad value is told in ASCII, so that no input gets into the answer or the log.
fn told<T: std::fmt::Debug>(read: Result<T, ParameterError>) {
    let error = read.expect_err("not a value of this parameter");
    assert!(
        error
            .to_string()
            .bytes()
            .all(|byte| (b' '..=b'~').contains(&byte))
    );
}

/// The value of the first pair of that name, the body's before the query's.
fn expected(query: &[u8], body: Option<&[u8]>, name: &str) -> Option<Vec<u8>> {
    body.into_iter().chain([query]).find_map(|source| {
        source.split(|byte| *byte == b'&').find_map(|pair| {
            if pair.is_empty() {
                return None;
            }
            let mut parts = pair.splitn(2, |byte| *byte == b'=');
            let key = decoded(parts.next().unwrap_or_default());
            (key == name.as_bytes()).then(|| decoded(parts.next().unwrap_or_default()))
        })
    })
}

/// application/x-www-form-urlencoded percent-decoding, byte by byte.
fn decoded(raw: &[u8]) -> Vec<u8> {
    let hex = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let mut out = Vec::new();
    let mut at = 0;
    while at < raw.len() {
        let escape = match raw[at..] {
            [b'%', high, low, ..] => hex(high).zip(hex(low)),
            _ => None,
        };
        match (escape, raw[at]) {
            (Some((high, low)), _) => {
                out.push(high << 4 | low);
                at += 2;
            }
            (None, b'+') => out.push(b' '),
            (None, byte) => out.push(byte),
        }
        at += 1;
    }
    out
}

/// Digits alone, within 64 bits.
fn unsigned(text: &[u8]) -> Option<u64> {
    text.iter().all(u8::is_ascii_digit).then_some(())?;
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The same with a minus allowed in front.
fn signed(text: &[u8]) -> Option<i128> {
    match text.strip_prefix(b"-") {
        Some(digits) => unsigned(digits).map(|number| -i128::from(number)),
        None => unsigned(text).map(i128::from),
    }
}
