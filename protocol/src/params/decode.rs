//! `application/x-www-form-urlencoded`, scanned where it stands.

use crate::scan;
use std::borrow::Cow;

/// The raw value of the first pair of that name.
pub(crate) fn find<'a>(source: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut rest = source;
    while !rest.is_empty() {
        let end = scan::find_byte(rest, b'&').unwrap_or(rest.len());
        let pair = &rest[..end];
        rest = rest.get(end + 1..).unwrap_or_default();
        let after = pair.strip_prefix(name);
        if let Some(value) = after.filter(|after| matches!(after.first(), None | Some(b'='))) {
            return Some(value.get(1..).unwrap_or_default());
        }
        // A key's escapes take three bytes for one, so this bounds the search in a long pair.
        let head = &pair[..pair.len().min(name.len() * 3 + 1)];
        if scan::find_url_escape(head).is_none() {
            continue;
        }
        let key_len = match scan::find_byte(head, b'=') {
            Some(len) => len,
            None if head.len() == pair.len() => pair.len(),
            None => continue,
        };
        if decode(&pair[..key_len]) == name {
            return Some(pair.get(key_len + 1..).unwrap_or_default());
        }
    }
    None
}

/// The first of `names` that comes more than once, whatever its case: nginx's `$arg_NAME` ignores case and
/// takes the first, so a rule by it and we would see two values. Of names beyond [`AT_ONCE`] nothing is said.
pub(crate) fn repeated(source: &[u8], names: &[&'static str]) -> Option<&'static str> {
    let longest = names.iter().map(|name| name.len()).max().unwrap_or(0);
    let mut seen = 0u32;
    for pair in source.split(|byte| *byte == b'&') {
        // A key's escapes take three bytes for one: what is longer than this is none of the names.
        let head = &pair[..pair.len().min(longest * 3 + 1)];
        let raw = head.split(|byte| *byte == b'=').next().unwrap_or_default();
        let key = decode(raw);
        let Some(at) = names
            .iter()
            .position(|name| name.as_bytes().eq_ignore_ascii_case(&key))
        else {
            continue;
        };
        let bit = 1u32.checked_shl(at as u32).unwrap_or(0);
        if seen & bit != 0 {
            return names.get(at).copied();
        }
        seen |= bit;
    }
    None
}

/// How many names [`repeated`] looks for.
pub(crate) const AT_ONCE: usize = 32;

/// Percent-decodes `raw`, with `+` as a space. A `%` without two hex digits stands for itself.
pub(crate) fn decode(raw: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = scan::find_url_escape(raw) else {
        return Cow::Borrowed(raw);
    };
    let mut decoded = Vec::new();
    decode_from(raw, first, &mut decoded);
    Cow::Owned(decoded)
}

/// The same; what does not stand in `raw` as it is stands in `scratch`, whose old content goes.
pub(crate) fn decode_in<'a>(raw: &'a [u8], scratch: &'a mut Vec<u8>) -> &'a [u8] {
    let Some(first) = scan::find_url_escape(raw) else {
        return raw;
    };
    scratch.clear();
    decode_from(raw, first, scratch);
    scratch
}

/// Appends `raw` decoded, whose first escape stands at `first`.
fn decode_from(raw: &[u8], first: usize, decoded: &mut Vec<u8>) {
    // Words are stored whole, so one more than there will be is room enough for the last.
    let mut to = decoded.len();
    decoded.resize(to + raw.len() + 8, 0);
    decoded[to..to + first].copy_from_slice(&raw[..first]);
    to += first;
    let mut rest = &raw[first..];
    loop {
        while let (Some(eight), Some(place)) = (rest.first_chunk(), decoded.get_mut(to..to + 8)) {
            place.copy_from_slice(eight);
            let plain = scan::first(scan::url_escapes(scan::word(eight)));
            to += plain;
            rest = &rest[plain..];
            if plain < 8 {
                break;
            }
        }
        let Some((byte, len)) = unescape(rest) else {
            break;
        };
        decoded[to] = byte;
        to += 1;
        rest = &rest[len..];
    }
    decoded.truncate(to);
}

/// The byte that the first of `raw` stand for, and how many they are.
fn unescape(raw: &[u8]) -> Option<(u8, usize)> {
    Some(match raw {
        [] => return None,
        [b'+', ..] => (b' ', 1),
        [b'%', high, low, ..] => match (hex(*high), hex(*low)) {
            (Some(high), Some(low)) => (high << 4 | low, 3),
            _ => (b'%', 1),
        },
        [byte, ..] => (*byte, 1),
    })
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}
