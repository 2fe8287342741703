//! `application/x-www-form-urlencoded`, scanned where it stands.

use memchr::{memchr, memchr2};
use std::borrow::Cow;

/// The raw value of the first pair of that name.
pub(super) fn find<'a>(source: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut rest = source;
    while !rest.is_empty() {
        let end = memchr(b'&', rest).unwrap_or(rest.len());
        let pair = &rest[..end];
        rest = rest.get(end + 1..).unwrap_or_default();
        // A key's escapes take three bytes for one, so this bounds the search in a long pair.
        let head = &pair[..pair.len().min(name.len() * 3 + 1)];
        let key_len = match memchr(b'=', head) {
            Some(len) => len,
            None if head.len() == pair.len() => pair.len(),
            None => continue,
        };
        if pair[..key_len] == *name || decode(&pair[..key_len]) == name {
            return Some(pair.get(key_len + 1..).unwrap_or_default());
        }
    }
    None
}

/// Percent-decodes `raw`, with `+` as a space. A `%` without two hex digits stands for itself.
pub(super) fn decode(raw: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr2(b'%', b'+', raw) else {
        return Cow::Borrowed(raw);
    };
    let mut decoded = Vec::with_capacity(raw.len());
    let mut rest = raw;
    let mut next = Some(first);
    while let Some(index) = next {
        decoded.extend_from_slice(&rest[..index]);
        let (byte, len) = match &rest[index..] {
            [b'+', ..] => (b' ', 1),
            [_, high, low, ..] => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, 3),
                _ => (b'%', 1),
            },
            _ => (b'%', 1),
        };
        decoded.push(byte);
        rest = &rest[index + len..];
        next = memchr2(b'%', b'+', rest);
    }
    decoded.extend_from_slice(rest);
    Cow::Owned(decoded)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}
