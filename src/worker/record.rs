//! What is kept of each parked request, in as few bytes as it takes: for the log line and the head of
//! the answer when the subscription ends.
//!
//! A record is some 100 bytes: fixed fields, then the request's target, then the variables
//! that a fresh request could not answer ([`crate::config::kept`]). Long values of those are mostly
//! the same for many clients, so each is kept once ([`Texts`]). A record stands in memory that nginx has
//! allocated for the connection and does not use ([`Connection::keep`]), or else in the [`Arena`].

use core::ops::Range;

use crate::ffi::connection::{Connection, Kept, Origin};
use crate::ffi::request::Request;
use icomet_tables::Arena;
use icomet_tables::Texts;

/// Values from this length on are kept in [`Texts`].
const SHARED: usize = 24;

/// Length of a value that stands for the handle of a shared text.
const HANDLE: u16 = u16::MAX;

const HTTP_10: u8 = 1;
const KEEPALIVE: u8 = 2;
const HEAD_SENT: u8 = 4;
const CHUNKED: u8 = 8;
/// It was answered by 101.
const UPGRADED: u8 = 32;
/// The target alone tells request line, `$uri` and `$args`.
const PLAIN: u8 = 16;

/// Stands for the handle of a record that the connection itself keeps.
const IN_CONNECTION: u32 = u32::MAX;

/// The records of a worker.
#[derive(Default)]
pub struct Records {
    arena: Arena,
    texts: Texts,
    /// As many as the configuration has servers and locations.
    origins: Vec<Origin>,
    /// For a record under construction.
    scratch: Vec<u8>,
}

/// A record that is to be inserted: its shared texts are counted already.
#[must_use]
pub struct Written(Vec<u8>);

/// A record that was taken out.
pub struct Record {
    /// The block, and behind it the shared texts of its variables.
    bytes: Vec<u8>,
    origin: Origin,
    /// Index and place of each variable's value.
    variables: Vec<(u16, Range<usize>)>,
}

impl Records {
    /// Writes a record, for [`Records::insert`]; `None` when something is too long for one.
    pub fn write<'a>(
        &mut self,
        kept: &Kept<'_>,
        variables: impl Iterator<Item = (u16, &'a [u8])>,
    ) -> Option<Written> {
        let origin = self.origin(kept.origin)?;
        let mut out = core::mem::take(&mut self.scratch);
        out.clear();
        let plain = Target::of(kept).filter(|target| target.tells(kept));
        let mut flags = if plain.is_some() { PLAIN } else { 0 };
        for (flag, set) in [
            (HTTP_10, kept.is_http_10),
            (KEEPALIVE, kept.keepalive),
            (HEAD_SENT, kept.head_sent),
            (CHUNKED, kept.chunked),
            (UPGRADED, kept.upgraded),
        ] {
            flags |= if set { flag } else { 0 };
        }
        out.push(flags);
        out.extend_from_slice(&kept.http_connection.to_ne_bytes());
        out.extend_from_slice(&origin.to_ne_bytes());
        out.extend_from_slice(&u32::try_from(kept.start.0).ok()?.to_ne_bytes());
        out.extend_from_slice(&kept.start.1.to_ne_bytes());
        out.extend_from_slice(&u32::try_from(kept.request_length).ok()?.to_ne_bytes());
        out.extend_from_slice(&u16::try_from(kept.header_size).ok()?.to_ne_bytes());
        out.extend_from_slice(&kept.err_status.to_ne_bytes());
        match plain {
            Some(Target(target)) => put(&mut out, target)?,
            None => {
                for text in [kept.request_line, kept.unparsed_uri, kept.uri, kept.args] {
                    put(&mut out, text)?;
                }
            }
        }
        for (index, value) in variables {
            out.extend_from_slice(&index.to_ne_bytes());
            if value.len() < SHARED {
                put(&mut out, value)?;
            } else {
                out.extend_from_slice(&HANDLE.to_ne_bytes());
                out.extend_from_slice(&self.texts.intern(value).to_ne_bytes());
            }
        }
        Some(Written(out))
    }

    /// Keeps a record for as long as its connection is parked, and gives the handle of it.
    pub fn insert(&mut self, connection: Connection, record: Written) -> u32 {
        let handle = if connection.keep(&record.0) {
            IN_CONNECTION
        } else {
            self.arena.insert(&record.0)
        };
        self.scratch = record.0;
        handle
    }

    /// Gives a record up that is not going to be inserted.
    pub fn forget(&mut self, record: Written) {
        let mut from = Reader::of_variables(&record.0);
        while let Some((_, value)) = from.variable() {
            if let Value::Shared(text) = value {
                self.texts.release(text);
            }
        }
        self.scratch = record.0;
    }

    fn bytes<'a>(&'a self, connection: &'a Connection, handle: u32) -> &'a [u8] {
        match handle {
            IN_CONNECTION => connection.kept(),
            _ => self.arena.get(handle),
        }
    }

    /// The server and location of a record.
    pub fn origin_of(&self, connection: Connection, handle: u32) -> Option<Origin> {
        let mut from = Reader(self.bytes(&connection, handle));
        from.take::<1>()?;
        from.take::<8>()?;
        let origin = u16::from_ne_bytes(from.take()?);
        self.origins.get(usize::from(origin)).copied()
    }

    /// Takes a record out.
    pub fn remove(&mut self, connection: Connection, handle: u32) -> Option<Record> {
        let origin = self.origin_of(connection, handle)?;
        let mut record = Record {
            bytes: self.bytes(&connection, handle).to_vec(),
            origin,
            variables: Vec::new(),
        };
        let block = match handle {
            IN_CONNECTION => connection.kept(),
            _ => self.arena.get(handle),
        };
        let mut from = Reader::of_variables(block);
        while let Some((index, value)) = from.variable() {
            let range = match value {
                Value::Own(value) => {
                    let end = block.len() - from.0.len();
                    end - value.len()..end
                }
                Value::Shared(text) => {
                    let start = record.bytes.len();
                    record.bytes.extend_from_slice(self.texts.get(text));
                    self.texts.release(text);
                    start..record.bytes.len()
                }
            };
            record.variables.push((index, range));
        }
        if handle != IN_CONNECTION {
            self.arena.remove(handle);
        }
        Some(record)
    }

    fn origin(&mut self, origin: Origin) -> Option<u16> {
        let known = self.origins.iter().position(|known| *known == origin);
        let index = known.unwrap_or_else(|| {
            self.origins.push(origin);
            self.origins.len() - 1
        });
        u16::try_from(index).ok()
    }
}

impl Record {
    /// Makes the request of this record anew; see [`Connection::unpark`].
    pub fn unpark(&self, connection: Connection) -> Option<Request> {
        self.with_kept(|kept| connection.unpark(kept, self.variables()))?
    }

    /// What was kept of the request.
    pub fn with_kept<R>(&self, work: impl FnOnce(&Kept<'_>) -> R) -> Option<R> {
        let mut line = Vec::new();
        let kept = match self.kept()? {
            (kept, None) => kept,
            (kept, Some(target)) => {
                line.extend_from_slice(b"GET ");
                line.extend_from_slice(target.0);
                line.extend_from_slice(protocol(kept.is_http_10));
                Kept {
                    request_line: &line,
                    unparsed_uri: target.0,
                    uri: target.path(),
                    args: target.args(),
                    ..kept
                }
            }
        };
        Some(work(&kept))
    }

    /// Whether the answer of this record is in chunks.
    pub fn is_chunked(&self) -> bool {
        self.bytes.first().is_some_and(|flags| flags & CHUNKED != 0)
    }

    fn kept(&self) -> Option<(Kept<'_>, Option<Target<'_>>)> {
        let mut from = Reader(&self.bytes);
        let [flags] = from.take()?;
        let mut kept = Kept {
            http_connection: usize::from_ne_bytes(from.take()?),
            origin: self.origin,
            start: (0, 0),
            request_length: 0,
            header_size: 0,
            err_status: 0,
            is_http_10: flags & HTTP_10 != 0,
            keepalive: flags & KEEPALIVE != 0,
            head_sent: flags & HEAD_SENT != 0,
            chunked: flags & CHUNKED != 0,
            upgraded: flags & UPGRADED != 0,
            request_line: &[],
            unparsed_uri: &[],
            uri: &[],
            args: &[],
        };
        from.take::<2>()?;
        let seconds = u32::from_ne_bytes(from.take()?);
        kept.start = (seconds.into(), u16::from_ne_bytes(from.take()?));
        kept.request_length = u32::from_ne_bytes(from.take()?).into();
        kept.header_size = u16::from_ne_bytes(from.take()?).into();
        kept.err_status = u16::from_ne_bytes(from.take()?);
        if flags & PLAIN != 0 {
            return Some((kept, Some(Target(from.text()?))));
        }
        kept.request_line = from.text()?;
        kept.unparsed_uri = from.text()?;
        kept.uri = from.text()?;
        kept.args = from.text()?;
        Some((kept, None))
    }

    /// Index and value of the variables that were kept.
    pub fn variables(&self) -> impl Iterator<Item = (u16, &[u8])> {
        self.variables
            .iter()
            .filter_map(|(index, range)| Some((*index, self.bytes.get(range.clone())?)))
    }
}

/// Bytes of the fixed fields behind the flags.
const FIXED: usize = size_of::<usize>() + 2 + 4 + 2 + 4 + 2 + 2;

/// The target of a request (RFC 9112, section 3.2).
#[derive(Clone, Copy)]
struct Target<'a>(&'a [u8]);

impl<'a> Target<'a> {
    fn of(kept: &Kept<'a>) -> Option<Target<'a>> {
        let line = kept.request_line.strip_prefix(b"GET ")?;
        Some(Target(line.strip_suffix(protocol(kept.is_http_10))?))
    }

    /// Whether it tells all that is kept of the request line.
    fn tells(self, kept: &Kept<'_>) -> bool {
        kept.unparsed_uri == self.0 && kept.uri == self.path() && kept.args == self.args()
    }

    fn path(self) -> &'a [u8] {
        self.0.split(|c| *c == b'?').next().unwrap_or_default()
    }

    fn args(self) -> &'a [u8] {
        self.0.get(self.path().len() + 1..).unwrap_or_default()
    }
}

fn protocol(is_http_10: bool) -> &'static [u8] {
    if is_http_10 {
        b" HTTP/1.0"
    } else {
        b" HTTP/1.1"
    }
}

enum Value<'a> {
    Own(&'a [u8]),
    Shared(u32),
}

/// Appends a text and its length in front; `None` when it is too long.
fn put(out: &mut Vec<u8>, text: &[u8]) -> Option<()> {
    let len = u16::try_from(text.len()).ok()?;
    out.extend_from_slice(&len.to_ne_bytes());
    out.extend_from_slice(text);
    (len != HANDLE).then_some(())
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Where the variables of a block begin.
    fn of_variables(block: &'a [u8]) -> Reader<'a> {
        let mut from = Reader(block);
        let flags = from.take::<1>().map_or(0, |[flags]| flags);
        from.take::<FIXED>();
        for _ in 0..if flags & PLAIN != 0 { 1 } else { 4 } {
            from.text();
        }
        from
    }

    fn variable(&mut self) -> Option<(u16, Value<'a>)> {
        let index = u16::from_ne_bytes(self.take()?);
        let len = u16::from_ne_bytes(self.take()?);
        if len == HANDLE {
            return Some((index, Value::Shared(u32::from_ne_bytes(self.take()?))));
        }
        Some((index, Value::Own(self.bytes(len.into())?)))
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*bytes)
    }

    fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let len = u16::from_ne_bytes(self.take()?);
        self.bytes(len.into())
    }
}
