//! Reading the format: no byte of a file is trusted.

use std::fmt;
use std::io::{self, Read};

use crate::format::{
    Begin, CHUNK_HEADER, Channel, Counts, FULL, HEADER, LONGEST_CHUNK, LONGEST_NAME, MAGIC, OLDEST,
    Options, Record, USED, VERSION,
};
use crate::write::{go_on_with_crc, start_of_crc};

/// Who takes what is read, in the order of the format. What it is told has been checked against the
/// checksum, but a file is only known to be whole when [`read`] has come to its end.
pub trait Sink {
    /// What is true of the whole file.
    fn begin(&mut self, begin: &Begin);
    /// The next broadcast, and its age in milliseconds.
    fn broadcast(&mut self, age: u64, content: &[u8]);
    /// The next channel, and which life of its name it is; 0: that is not known.
    fn channel(&mut self, channel: &Channel<'_>, incarnation: u64);
    /// The message before those of channel `number` that were told, its age in milliseconds, and its
    /// options.
    fn message(&mut self, number: u32, age: u64, content: &[u8], options: &Options<'_>);
    /// The same, of broadcast number `broadcast`.
    fn reference(&mut self, number: u32, broadcast: u32);
    /// The same, of one of which nothing is left.
    fn expired(&mut self, number: u32);
}

/// A sink that takes nothing: reading into it only checks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nothing;

impl Sink for Nothing {
    fn begin(&mut self, _: &Begin) {}
    fn broadcast(&mut self, _: u64, _: &[u8]) {}
    fn channel(&mut self, _: &Channel<'_>, _: u64) {}
    fn message(&mut self, _: u32, _: u64, _: &[u8], _: &Options<'_>) {}
    fn reference(&mut self, _: u32, _: u32) {}
    fn expired(&mut self, _: u32) {}
}

/// A file that was read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// What it said of itself.
    pub begin: Begin,
    /// The last incarnation that the zone gave; 0: it does not say.
    pub incarnations: u64,
    /// What was in it.
    pub counts: Counts,
    /// Its size.
    pub bytes: u64,
}

/// Why a file is not read.
#[derive(Debug)]
pub enum ReadError {
    /// The operating system gave an error.
    Io(io::Error),
    /// It is no state file.
    Foreign,
    /// Another version of icomet wrote it.
    OtherVersion(u32),
    /// It was read before, and whoever did has not written a new one.
    Used,
    /// It is not as it was written.
    Damaged {
        /// Where, in bytes from its beginning: in the chunk that begins there.
        at: u64,
        /// What is wrong.
        what: &'static str,
    },
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Io(error) => write!(f, "it cannot be read: {error}"),
            ReadError::Foreign => f.write_str("it is no state file of icomet"),
            ReadError::OtherVersion(found) => write!(
                f,
                "it has format {found}, and this icomet reads formats {OLDEST} to {VERSION}"
            ),
            ReadError::Used => f.write_str("it was read already"),
            ReadError::Damaged { at, what } => write!(f, "it is damaged at byte {at}: {what}"),
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ReadError::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        ReadError::Io(error)
    }
}

/// Reads a file from its first byte to its last. It holds one chunk in memory, never more than the
/// file has, and some bytes for each channel.
pub fn read(mut input: impl Read, sink: &mut impl Sink) -> Result<Summary, ReadError> {
    let version = read_header(&mut input)?;
    let mut at = HEADER as u64;
    let mut crc = start_of_crc(version);
    let mut payload = Vec::new();
    let mut order = Order::default();
    let damaged = |at, what| ReadError::Damaged { at, what };
    loop {
        let mut head = [0; CHUNK_HEADER];
        match fill(&mut input, &mut head)? {
            0 if order.ended => break,
            0 => return Err(damaged(at, "its end is missing")),
            CHUNK_HEADER if order.ended => return Err(damaged(at, "more follows its end")),
            CHUNK_HEADER => {}
            _ => return Err(damaged(at, "it breaks off")),
        }
        let [l0, l1, l2, l3, crc_bytes @ ..] = head;
        let length = [l0, l1, l2, l3];
        let wanted = u32::from_le_bytes(length) as usize;
        if wanted == 0 || wanted > LONGEST_CHUNK {
            return Err(damaged(at, "a length is wrong"));
        }
        payload.clear();
        // The length is not to be trusted yet: memory is taken as bytes come.
        let got = (&mut input).take(wanted as u64).read_to_end(&mut payload)?;
        if got < wanted {
            return Err(damaged(at, "it breaks off"));
        }
        crc = go_on_with_crc(crc, length, &payload);
        if crc != u32::from_le_bytes(crc_bytes) {
            return Err(damaged(at, "the checksum is wrong"));
        }
        let mut rest = payload.as_slice();
        while !rest.is_empty() {
            let (record, more) = postcard::take_from_bytes::<Record<'_>>(rest)
                .map_err(|_| damaged(at, "a record is none"))?;
            order.check(&record).map_err(|what| damaged(at, what))?;
            tell(sink, &record);
            rest = more;
        }
        at += (CHUNK_HEADER + wanted) as u64;
    }
    Ok(Summary {
        begin: order.begin.unwrap_or_default(),
        incarnations: order.incarnations.unwrap_or_default(),
        counts: order.counts,
        bytes: at,
    })
}

/// The file's version.
fn read_header(input: &mut impl Read) -> Result<u32, ReadError> {
    let mut header = [0; HEADER];
    let got = fill(input, &mut header)?;
    let magic = &header[..got.min(MAGIC.len())];
    if got == 0 || *magic != MAGIC[..magic.len()] {
        return Err(ReadError::Foreign);
    }
    let damaged = |what| Err(ReadError::Damaged { at: 0, what });
    let [.., v0, v1, v2, v3, s0, s1, s2, s3] = header;
    let version = u32::from_le_bytes([v0, v1, v2, v3]);
    match version {
        _ if got < HEADER => return damaged("it breaks off"),
        OLDEST..=VERSION => {}
        other => return Err(ReadError::OtherVersion(other)),
    }
    match [s0, s1, s2, s3] {
        FULL => Ok(version),
        USED => Err(ReadError::Used),
        _ => damaged("its status is none"),
    }
}

/// Reads until `buffer` is full or the input ends; how many bytes came.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match input.read(&mut buffer[got..]) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}

fn tell(sink: &mut impl Sink, record: &Record<'_>) {
    match *record {
        Record::Begin(begin) => sink.begin(&begin),
        Record::Broadcast { age, content } => sink.broadcast(age, content),
        Record::Channel(channel) => sink.channel(&channel, 0),
        Record::Living {
            channel,
            incarnation,
        } => sink.channel(&channel, incarnation),
        Record::Message {
            channel,
            age,
            content,
        } => sink.message(channel, age, content, &Options::default()),
        Record::Reference { channel, broadcast } => sink.reference(channel, broadcast),
        Record::Special {
            channel,
            age,
            content,
            options,
        } => sink.message(channel, age, content, &options),
        Record::Expired { channel } => sink.expired(channel),
        Record::Incarnations(_) | Record::End(_) => {}
    }
}

/// What has come so far, and so what may come.
#[derive(Default)]
struct Order {
    begin: Option<Begin>,
    incarnations: Option<u64>,
    counts: Counts,
    /// Messages that each channel has yet to get.
    missing: Vec<u64>,
    ended: bool,
}

impl Order {
    fn check(&mut self, record: &Record<'_>) -> Result<(), &'static str> {
        const OUT_OF_ORDER: &str = "a record is out of order";
        if self.ended || self.begin.is_some() == matches!(record, Record::Begin(_)) {
            return Err(OUT_OF_ORDER);
        }
        match *record {
            Record::Begin(begin) => self.begin = Some(begin),
            Record::Incarnations(last) => {
                if self.incarnations.is_some() || self.counts != Counts::default() {
                    return Err(OUT_OF_ORDER);
                }
                self.incarnations = Some(last);
            }
            Record::Broadcast { .. } => {
                if self.counts.channels > 0 || self.counts.broadcasts >= u64::from(u32::MAX) {
                    return Err(OUT_OF_ORDER);
                }
                self.counts.broadcasts += 1;
            }
            Record::Channel(channel) | Record::Living { channel, .. } => {
                if self.counts.messages > 0 || self.counts.channels >= u64::from(u32::MAX) {
                    return Err(OUT_OF_ORDER);
                }
                // A channel's first seq is 1.
                if channel.name.is_empty()
                    || channel.name.len() > LONGEST_NAME
                    || channel.next == 0
                    || channel.messages >= channel.next
                {
                    return Err("a channel is none");
                }
                self.counts.channels += 1;
                self.missing.push(channel.messages);
            }
            Record::Message { channel, .. }
            | Record::Special { channel, .. }
            | Record::Expired { channel } => self.message(channel)?,
            Record::Reference { channel, broadcast } => {
                if u64::from(broadcast) >= self.counts.broadcasts {
                    return Err("a message is of no broadcast");
                }
                self.message(channel)?;
            }
            Record::End(counts) => {
                if counts != self.counts || self.missing.iter().any(|missing| *missing > 0) {
                    return Err("something is missing");
                }
                self.ended = true;
            }
        }
        Ok(())
    }

    fn message(&mut self, channel: u32) -> Result<(), &'static str> {
        match self.missing.get_mut(channel as usize) {
            Some(missing) if *missing > 0 => *missing -= 1,
            _ => return Err("a message is of no channel"),
        }
        self.counts.messages += 1;
        Ok(())
    }
}
