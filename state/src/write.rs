//! Writing the format.

use std::io::{self, Write};
use std::mem;

use crc32fast::Hasher;

use crate::format::{CHUNK, Counts, FULL, LONGEST_CHUNK, MAGIC, Record, VERSION, header};

/// Writes records into chunks; holds one chunk in memory.
pub struct Writer<W> {
    out: W,
    payload: Vec<u8>,
    crc: u32,
    counts: Counts,
    /// Bytes written, the header's included.
    bytes: u64,
}

impl<W: Write> Writer<W> {
    /// Writes the header.
    pub fn new(mut out: W) -> io::Result<Writer<W>> {
        let header = header(FULL);
        out.write_all(&header)?;
        Ok(Writer {
            out,
            payload: Vec::with_capacity(CHUNK * 2),
            crc: start_of_crc(VERSION),
            counts: Counts::default(),
            bytes: header.len() as u64,
        })
    }

    /// Writes a record; they come in the order that the format asks for.
    pub fn put(&mut self, record: &Record<'_>) -> io::Result<()> {
        match record {
            Record::Broadcast { .. } => self.counts.broadcasts += 1,
            Record::Channel(_) | Record::Living { .. } => self.counts.channels += 1,
            Record::Message { .. }
            | Record::Reference { .. }
            | Record::Special { .. }
            | Record::Expired { .. } => self.counts.messages += 1,
            Record::Begin(_) | Record::Incarnations(_) | Record::End(_) => {}
        }
        self.payload = postcard::to_extend(record, mem::take(&mut self.payload))
            .map_err(|error| io::Error::other(format!("a record cannot be written: {error}")))?;
        if self.payload.len() >= CHUNK {
            self.flush_chunk()?;
        }
        Ok(())
    }

    fn flush_chunk(&mut self) -> io::Result<()> {
        if self.payload.len() > LONGEST_CHUNK {
            return Err(io::Error::other("a message is too large for the format"));
        }
        let length = (self.payload.len() as u32).to_le_bytes();
        self.crc = go_on_with_crc(self.crc, length, &self.payload);
        self.out.write_all(&length)?;
        self.out.write_all(&self.crc.to_le_bytes())?;
        self.out.write_all(&self.payload)?;
        self.bytes += (length.len() + size_of::<u32>() + self.payload.len()) as u64;
        self.payload.clear();
        self.payload.shrink_to(CHUNK * 2);
        Ok(())
    }

    /// Writes the end: what was written to, its counts, and its size in bytes.
    pub fn finish(mut self) -> io::Result<(W, Counts, u64)> {
        let counts = self.counts;
        self.put(&Record::End(counts))?;
        if !self.payload.is_empty() {
            self.flush_chunk()?;
        }
        self.out.flush()?;
        Ok((self.out, counts, self.bytes))
    }
}

/// The checksum before the first chunk of a file of that version: that of the header without its status.
pub(crate) fn start_of_crc(version: u32) -> u32 {
    crc32fast::hash(&[&MAGIC[..], &version.to_le_bytes()].concat())
}

/// The checksum after one chunk more.
pub(crate) fn go_on_with_crc(crc: u32, length: [u8; 4], payload: &[u8]) -> u32 {
    let mut hasher = Hasher::new_with_initial(crc);
    hasher.update(&length);
    hasher.update(payload);
    hasher.finalize()
}
