//! Where a client stopped: `EPOCH-SEQ`, as an SSE id and as an entity tag.
//!
//! EPOCH is the zone's, 16 hex digits; SEQ is the last seq the client has, in decimal.

use crate::number;
use std::fmt;
use std::ops::Deref;

/// Appends `EPOCH-SEQ`.
pub fn format_id(epoch: u64, seq: u64, out: &mut Vec<u8>) {
    let mut id = [0; MAX_ID];
    let len = put_id(epoch, seq, &mut id);
    out.extend_from_slice(&id[..len]);
}

/// Longest id in bytes: 16 hex digits, a dash, the largest seq.
pub(crate) const MAX_ID: usize = 16 + 1 + number::U64_DIGITS;

/// Puts `EPOCH-SEQ` at the start of `buffer` (at least [`MAX_ID`] long); its length.
fn put_id(epoch: u64, seq: u64, buffer: &mut [u8]) -> usize {
    buffer[..16].copy_from_slice(&number::hex_u64(epoch));
    buffer[16] = b'-';
    17 + number::put_u64(seq, &mut buffer[17..])
}

/// Epoch and seq of a `Last-Event-ID`; `None` if it is not one of ours (then it is ignored).
pub fn parse_id(id: &[u8]) -> Option<(u64, u64)> {
    let (epoch, rest) = id.split_at_checked(16)?;
    let seq = rest.strip_prefix(b"-")?;
    Some((number::parse_hex_u64(epoch)?, number::parse_u64(seq)?))
}

/// Channels that an id of several holds at most.
pub const MAX_POSITIONS: usize = 256;

/// Appends where a client of several channels stands: `EPOCH-SEQ.SEQ.SEQ`, in the order in which it named
/// them; each seq is the last it has, in base 36, and nothing where it is not known.
pub fn format_positions(
    epoch: u64,
    positions: impl IntoIterator<Item = Option<u64>>,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(&number::hex_u64(epoch));
    let mut separator = b'-';
    for position in positions {
        out.push(separator);
        separator = b'.';
        if let Some(seq) = position {
            number::write_base36(seq, out);
        }
    }
}

/// Epoch and seqs of an id of several channels, at most [`MAX_POSITIONS`]; `None` if it is not one of
/// ours.
pub fn parse_positions(id: &[u8]) -> Option<(u64, Vec<Option<u64>>)> {
    let (epoch, rest) = id.split_at_checked(16)?;
    let epoch = number::parse_hex_u64(epoch)?;
    let mut positions = Vec::new();
    for part in rest.strip_prefix(b"-")?.split(|byte| *byte == b'.') {
        if positions.len() == MAX_POSITIONS {
            return None;
        }
        positions.push(match part {
            b"" => None,
            digits => Some(number::parse_base36(digits)?),
        });
    }
    Some((epoch, positions))
}

/// The value of an `ETag` header, in place: `"EPOCH-SEQ"` with its quotes.
#[derive(Clone, Copy)]
pub struct Etag {
    bytes: [u8; Etag::MAX_LEN],
    len: usize,
}

impl Etag {
    /// Longest value in bytes: two quotes, 16 hex digits, a dash, the largest seq.
    pub const MAX_LEN: usize = 2 + MAX_ID;

    /// The header's value.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Deref for Etag {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl fmt::Debug for Etag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.as_bytes()))
    }
}

/// The entity tag of an answer after which the client has everything up to `seq`.
pub fn etag(epoch: u64, seq: u64) -> Etag {
    let mut bytes = [0; Etag::MAX_LEN];
    let end = 1 + put_id(epoch, seq, &mut bytes[1..]);
    bytes[0] = b'"';
    bytes[end] = b'"';
    Etag {
        bytes,
        len: end + 1,
    }
}

/// Epoch and seq of an `If-None-Match`; the first tag in it that is one of ours.
///
/// A weak tag (`W/"..."`) is as good: nginx weakens ours when it compresses an answer.
pub fn parse_if_none_match(header: &[u8]) -> Option<(u64, u64)> {
    tags(header).find_map(parse_id)
}

/// The same for several channels: the first tag that tells as many positions.
pub fn parse_if_none_match_of(header: &[u8], channels: usize) -> Option<(u64, Vec<Option<u64>>)> {
    tags(header)
        .filter_map(parse_positions)
        .find(|(_, positions)| positions.len() == channels)
}

/// What stands in quotes.
fn tags(header: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = header;
    std::iter::from_fn(move || {
        let open = memchr::memchr(b'"', rest)?;
        let tag = &rest[open + 1..];
        let close = memchr::memchr(b'"', tag)?;
        rest = &tag[close + 1..];
        Some(&tag[..close])
    })
}
