//! The content of a message, as the inside of a JSON string.

use crate::{number, scan};
use std::fmt;

/// Appends `raw` as the inside of a JSON string, without the outer quotes.
///
/// For `push` and `broadcast`, whose content is any bytes. Invalid UTF-8 becomes U+FFFD. Quotes,
/// backslashes and all control characters are escaped (also DEL, which JSON would let pass).
pub fn escape_raw(raw: &[u8], out: &mut Vec<u8>) {
    out.reserve(raw.len());
    // Almost all content is UTF-8, and is looked through as a whole far faster than by chunks.
    if let Ok(text) = std::str::from_utf8(raw) {
        return escape_str(text, out);
    }
    for chunk in raw.utf8_chunks() {
        escape_str(chunk.valid(), out);
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

/// Appends `text` as the inside of a JSON string, without the outer quotes.
pub fn escape_str(text: &str, out: &mut Vec<u8>) {
    let mut rest = text.as_bytes();
    while let Some(index) = first_special(rest) {
        let byte = rest[index];
        out.extend_from_slice(&rest[..index]);
        rest = &rest[index + 1..];
        match ESCAPES[usize::from(byte)] {
            b'u' => {
                out.extend_from_slice(b"\\u00");
                number::write_hex_byte(byte, out);
            }
            escape => out.extend_from_slice(&[b'\\', escape]),
        }
    }
    out.extend_from_slice(rest);
}

/// Where the first byte stands that [`ESCAPES`] has an escape for.
fn first_special(bytes: &[u8]) -> Option<usize> {
    scan::find(bytes, scan::json_specials, |byte| {
        ESCAPES[usize::from(byte)] != 0
    })
}

/// For each byte what follows the backslash of its escape; 0: the byte stands for itself.
const ESCAPES: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = b'u';
        byte += 1;
    }
    table[0x7f] = b'u';
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table[b'\n' as usize] = b'n';
    table[b'\r' as usize] = b'r';
    table[b'\t' as usize] = b't';
    table[0x08] = b'b';
    table[0x0c] = b'f';
    table
};

/// Checks that `content` is the inside of a JSON string, as `pub` takes it.
///
/// What passes stands between quotes in a message and neither ends the string early nor keeps a
/// client from parsing it. Half a surrogate pair (`\ud83d` alone) is refused too: it has no UTF-8,
/// and the parsers of many clients refuse the whole message for it.
pub fn check_encoded(content: &[u8]) -> Result<(), ContentError> {
    let fault = |offset, fault| Err(ContentError { offset, fault });
    if let Err(error) = std::str::from_utf8(content) {
        return fault(error.valid_up_to(), ContentFault::NotUtf8);
    }
    let mut offset = 0;
    while let Some(&byte) = content.get(offset) {
        offset += match byte {
            b'"' => return fault(offset, ContentFault::BareQuote),
            0..0x20 => return fault(offset, ContentFault::ControlCharacter),
            b'\\' => match escape_len(&content[offset + 1..]) {
                Ok(len) => len + 1,
                Err(why) => return fault(offset, why),
            },
            _ => 1,
        };
    }
    Ok(())
}

/// The length of the escape whose backslash precedes `rest`, without that backslash.
fn escape_len(rest: &[u8]) -> Result<usize, ContentFault> {
    match rest {
        [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => Ok(1),
        [b'u', rest @ ..] => match code_unit(rest).ok_or(ContentFault::BadEscape)? {
            0xd800..0xdc00 => match rest.get(4..6) {
                Some(b"\\u") => match rest.get(6..).and_then(code_unit) {
                    Some(0xdc00..0xe000) => Ok(11),
                    Some(_) => Err(ContentFault::LoneSurrogate),
                    None => Err(ContentFault::BadEscape),
                },
                _ => Err(ContentFault::LoneSurrogate),
            },
            0xdc00..0xe000 => Err(ContentFault::LoneSurrogate),
            _ => Ok(5),
        },
        _ => Err(ContentFault::BadEscape),
    }
}

/// The four hex digits after `\u`.
fn code_unit(text: &[u8]) -> Option<u32> {
    text.get(..4)?.iter().try_fold(0, |value, &byte| {
        Some(value << 4 | char::from(byte).to_digit(16)?)
    })
}

/// Where and why content is not the inside of a JSON string.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ContentError {
    /// Byte offset of the fault in the decoded content.
    pub offset: usize,
    /// What is wrong there.
    pub fault: ContentFault,
}

/// What can be wrong with the inside of a JSON string.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ContentFault {
    /// Bytes that are not UTF-8.
    NotUtf8,
    /// A quote without a backslash, which would end the string.
    BareQuote,
    /// A raw control character (below 0x20).
    ControlCharacter,
    /// A backslash that starts none of JSON's escapes.
    BadEscape,
    /// A `\u` escape that is half of a surrogate pair.
    LoneSurrogate,
}

impl fmt::Display for ContentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.fault {
            ContentFault::NotUtf8 => "is not UTF-8",
            ContentFault::BareQuote => "has a quote that is not escaped",
            ContentFault::ControlCharacter => "has a control character that is not escaped",
            ContentFault::BadEscape => "has a backslash that starts no JSON escape",
            ContentFault::LoneSurrogate => "has half of a surrogate pair",
        };
        write!(
            f,
            "content {what} at byte {}: it must be the inside of a JSON string \
             (push takes raw content)",
            self.offset
        )
    }
}

impl std::error::Error for ContentError {}

/// Where encoded content is going to stand.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    /// JSON by itself: anything that is JSON may stand there.
    Json,
    /// A script by itself (JSONP).
    Script,
    /// HTML, inside a `<script>` or as the text of an answer.
    Html,
}

/// Appends JSON string content, with what would break out of `place` escaped once more.
///
/// U+2028 and U+2029 end a line, and so a string, in scripts before ES2019. `<` in HTML could start
/// `</script` or a tag. Neither can be part of a JSON escape, so replacing them keeps the value.
pub(crate) fn write_encoded(encoded: &[u8], place: Place, out: &mut Vec<u8>) {
    /// The first byte of U+2028 and U+2029.
    const SEPARATOR: u8 = 0xe2;
    let mut rest = encoded;
    let mut searched = 0;
    loop {
        let tail = &rest[searched..];
        let found = match place {
            Place::Json => None,
            Place::Script => memchr::memchr(SEPARATOR, tail),
            Place::Html => memchr::memchr2(SEPARATOR, b'<', tail),
        };
        let Some(index) = found.map(|found| found + searched) else {
            break;
        };
        let (escape, len): (&[u8], usize) = match &rest[index..] {
            [b'<', ..] => (b"\\u003c", 1),
            [SEPARATOR, 0x80, 0xa8, ..] => (b"\\u2028", 3),
            [SEPARATOR, 0x80, 0xa9, ..] => (b"\\u2029", 3),
            _ => {
                searched = index + 1;
                continue;
            }
        };
        out.extend_from_slice(&rest[..index]);
        out.extend_from_slice(escape);
        rest = &rest[index + len..];
        searched = 0;
    }
    out.extend_from_slice(rest);
}

/// Appends a name or other text as the inside of a JSON string at `place`.
pub(crate) fn write_text(text: &str, place: Place, out: &mut Vec<u8>) {
    if first_special(text.as_bytes()).is_none() {
        return write_encoded(text.as_bytes(), place, out);
    }
    if place == Place::Json {
        return escape_str(text, out);
    }
    let mut escaped = Vec::with_capacity(text.len() + 16);
    escape_str(text, &mut escaped);
    write_encoded(&escaped, place, out);
}
