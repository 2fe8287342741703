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
    let mut rest = header;
    loop {
        let open = memchr::memchr(b'"', rest)?;
        let tag = &rest[open + 1..];
        let close = memchr::memchr(b'"', tag)?;
        if let Some(position) = parse_id(&tag[..close]) {
            return Some(position);
        }
        rest = &tag[close + 1..];
    }
}
