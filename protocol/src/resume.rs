//! Where a client stopped: `EPOCH-SEQ`, as an SSE id and as an entity tag.
//!
//! EPOCH names a zone and one life of a channel in it ([`Epoch`]); SEQ is the last seq that the client has,
//! in decimal. For several channels the zone stands once ([`format_positions`]).

use crate::number;
use std::fmt;
use std::ops::Deref;

/// What a seq belongs to: a zone, and a channel of it in one of its lives.
///
/// Clients get it as a text that they need not understand: 16 hex digits, a dot, a number in base 36.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Epoch {
    /// The zone's.
    pub zone: u64,
    /// Which life of its name the channel is; 0: none that there is or was.
    pub incarnation: u64,
}

impl Epoch {
    /// No channel's: what cannot be placed is taken for it.
    pub const NONE: Epoch = Epoch {
        zone: 0,
        incarnation: 0,
    };

    /// Longest text in bytes.
    pub const MAX_LEN: usize = 16 + 1 + number::BASE36_DIGITS;

    /// Appends it.
    pub fn write(self, out: &mut Vec<u8>) {
        let mut bytes = [0; Epoch::MAX_LEN];
        let len = self.put(&mut bytes);
        out.extend_from_slice(&bytes[..len]);
    }

    /// Puts it at the start of `buffer` (at least [`Epoch::MAX_LEN`] long); its length.
    fn put(self, buffer: &mut [u8]) -> usize {
        buffer[..16].copy_from_slice(&number::hex_u64(self.zone));
        buffer[16] = b'.';
        17 + number::put_base36(self.incarnation, &mut buffer[17..])
    }

    /// The epoch of that text; `None` if it is not one of ours.
    pub fn parse(text: &[u8]) -> Option<Epoch> {
        let (zone, rest) = text.split_at_checked(16)?;
        Some(Epoch {
            zone: number::parse_hex_u64(zone)?,
            incarnation: number::parse_base36(rest.strip_prefix(b".")?)?,
        })
    }

    /// What a client says that its seq belongs to: [`Epoch::NONE`] if it is not one of ours.
    pub fn claimed(text: &[u8]) -> Epoch {
        Epoch::parse(text).unwrap_or(Epoch::NONE)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0; Epoch::MAX_LEN];
        let len = self.put(&mut bytes);
        f.write_str(std::str::from_utf8(&bytes[..len]).unwrap_or_default())
    }
}

/// What a client says of where it stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stopped<T> {
    /// Nothing.
    Unsaid,
    /// Something that cannot be placed: it may have lost anything.
    Unplaced,
    /// There.
    At(T),
}

/// Appends `EPOCH-SEQ`.
pub fn format_id(epoch: Epoch, seq: u64, out: &mut Vec<u8>) {
    let mut id = [0; MAX_ID];
    let len = put_id(epoch, seq, &mut id);
    out.extend_from_slice(&id[..len]);
}

/// Longest id in bytes: an epoch, a dash, the largest seq.
pub(crate) const MAX_ID: usize = Epoch::MAX_LEN + 1 + number::U64_DIGITS;

/// Puts `EPOCH-SEQ` at the start of `buffer` (at least [`MAX_ID`] long); its length.
fn put_id(epoch: Epoch, seq: u64, buffer: &mut [u8]) -> usize {
    let len = epoch.put(buffer);
    buffer[len] = b'-';
    len + 1 + number::put_u64(seq, &mut buffer[len + 1..])
}

/// Epoch and seq of an id; `None` if it is not one of ours.
pub fn parse_id(id: &[u8]) -> Option<(Epoch, u64)> {
    let dash = memchr::memchr(b'-', id)?;
    let epoch = Epoch::parse(&id[..dash])?;
    Some((epoch, number::parse_u64(&id[dash + 1..])?))
}

/// Where a `Last-Event-ID` says that the client stopped.
pub fn last_event_id(value: &[u8]) -> Stopped<(Epoch, u64)> {
    said(value, parse_id)
}

fn said<T>(value: &[u8], parse: impl FnOnce(&[u8]) -> Option<T>) -> Stopped<T> {
    if value.is_empty() {
        return Stopped::Unsaid;
    }
    parse(value).map_or(Stopped::Unplaced, Stopped::At)
}

/// Channels that an id of several holds at most.
pub const MAX_POSITIONS: usize = 256;

/// Where a client stands in one of several channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct Position {
    /// The channel's incarnation.
    pub incarnation: u64,
    /// The last seq that the client has.
    pub seq: u64,
}

/// Positions of the channels of one zone, in the order in which the client named them; `None` where it is not
/// known.
pub type Positions = (u64, Vec<Option<Position>>);

/// Appends where a client of several channels stands: `ZONE-LIFE_SEQ.LIFE_SEQ`, in the order in which it
/// named them, both numbers in base 36, and nothing where it is not known.
pub fn format_positions(
    zone: u64,
    positions: impl IntoIterator<Item = Option<Position>>,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(&number::hex_u64(zone));
    let mut separator = b'-';
    for position in positions {
        out.push(separator);
        separator = b'.';
        if let Some(Position { incarnation, seq }) = position {
            number::write_base36(incarnation, out);
            out.push(b'_');
            number::write_base36(seq, out);
        }
    }
}

/// Zone and positions of an id of several channels, at most [`MAX_POSITIONS`]; `None` if it is not one of
/// ours.
pub fn parse_positions(id: &[u8]) -> Option<Positions> {
    let (zone, rest) = id.split_at_checked(16)?;
    let zone = number::parse_hex_u64(zone)?;
    let mut positions = Vec::new();
    for part in rest.strip_prefix(b"-")?.split(|byte| *byte == b'.') {
        if positions.len() == MAX_POSITIONS {
            return None;
        }
        positions.push(match part {
            b"" => None,
            part => Some(parse_position(part)?),
        });
    }
    Some((zone, positions))
}

fn parse_position(text: &[u8]) -> Option<Position> {
    let middle = memchr::memchr(b'_', text)?;
    Some(Position {
        incarnation: number::parse_base36(&text[..middle])?,
        seq: number::parse_base36(&text[middle + 1..])?,
    })
}

/// Where a `Last-Event-ID` says that the client of so many channels stopped.
pub fn last_event_id_of(value: &[u8], channels: usize) -> Stopped<Positions> {
    said(value, |value| positions_of(value, channels))
}

fn positions_of(id: &[u8], channels: usize) -> Option<Positions> {
    parse_positions(id).filter(|(_, positions)| positions.len() == channels)
}

/// The value of an `ETag` header, in place: `"EPOCH-SEQ"` with its quotes.
#[derive(Clone, Copy)]
pub struct Etag {
    bytes: [u8; Etag::MAX_LEN],
    len: usize,
}

impl Etag {
    /// Longest value in bytes: two quotes and the longest id.
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
pub fn etag(epoch: Epoch, seq: u64) -> Etag {
    let mut bytes = [0; Etag::MAX_LEN];
    let end = 1 + put_id(epoch, seq, &mut bytes[1..]);
    bytes[0] = b'"';
    bytes[end] = b'"';
    Etag {
        bytes,
        len: end + 1,
    }
}

/// Where an `If-None-Match` says that the client stopped: the one tag in it that is one of ours.
///
/// A weak tag (`W/"..."`) is as good: nginx weakens ours when it compresses an answer. Two of ours that
/// differ say nothing.
pub fn if_none_match(header: &[u8]) -> Stopped<(Epoch, u64)> {
    only(header, parse_id)
}

/// The same for several channels: the one tag that tells as many positions.
pub fn if_none_match_of(header: &[u8], channels: usize) -> Stopped<Positions> {
    only(header, |tag| positions_of(tag, channels))
}

fn only<T: PartialEq>(header: &[u8], parse: impl Fn(&[u8]) -> Option<T>) -> Stopped<T> {
    if header.trim_ascii().is_empty() {
        return Stopped::Unsaid;
    }
    let mut ours = tags(header).filter_map(parse);
    match ours.next() {
        Some(tag) if ours.all(|other| other == tag) => Stopped::At(tag),
        _ => Stopped::Unplaced,
    }
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
