//! permessage-deflate (RFC 7692) without context takeover: each message is compressed by itself, so
//! that its bytes are the same for all who are sent it.
//!
//! Compressor and decompressor are kept by each thread (some 200 KB): to make one costs more than to
//! compress a small message.

use core::cell::RefCell;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// Window of what a server sends, in bits: 4 KB, the most that Python's `websockets` lets a server use
/// (server_max_window_bits=12); messages are seldom longer. zlib-rs 0.6.8 refers further back than windows of 9 and
/// 10 bits reach, or panics at its fastest level: those cannot be agreed to.
pub const WINDOW_BITS: u8 = 12;

/// Messages below this length are sent as they are, in bytes: they gain nothing.
pub const SMALLEST: usize = 128;

/// What ends each message, and is not sent (RFC 7692, section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// Bytes of room that the output gets at a time.
const STEP: usize = 16 << 10;

thread_local! {
    static COMPRESS: RefCell<Compress> = RefCell::new(Compress::new_with_window_bits(
        Compression::default(),
        false,
        WINDOW_BITS,
    ));
    static DECOMPRESS: RefCell<Decompress> = RefCell::new(Decompress::new(false));
}

/// Why a message cannot be inflated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InflateError {
    /// It would be longer than it may.
    TooBig,
    /// It is not deflate's format, or not whole.
    Malformed,
}

/// The payload of a compressed message; `None` when that would not be shorter.
pub fn compress(message: &[u8]) -> Option<Vec<u8>> {
    if message.len() < SMALLEST {
        return None;
    }
    COMPRESS.with_borrow_mut(|compress| {
        compress.reset();
        let mut out = Vec::with_capacity(message.len() / 2 + 64);
        loop {
            let taken = usize::try_from(compress.total_in()).ok()?;
            let rest = message.get(taken..)?;
            compress
                .compress_vec(rest, &mut out, FlushCompress::Sync)
                .ok()?;
            // With room left over there was nothing more to write.
            if out.len() < out.capacity() {
                break;
            }
            if out.len() > message.len() {
                return None;
            }
            out.reserve(message.len() / 2 + 64);
        }
        if !out.ends_with(&TAIL) {
            return None;
        }
        out.truncate(out.len() - TAIL.len());
        (out.len() < message.len()).then_some(out)
    })
}

/// The message of a compressed payload, if it is no longer than `longest` bytes.
pub fn inflate(payload: &[u8], longest: usize) -> Result<Vec<u8>, InflateError> {
    DECOMPRESS.with_borrow_mut(|decompress| {
        decompress.reset(false);
        let mut out = Vec::new();
        for mut input in [payload, &TAIL] {
            while !input.is_empty() {
                // One byte more than it may have shows that it is too long.
                let room = (longest + 1 - out.len()).min(STEP);
                let length = out.len();
                let taken = decompress.total_in();
                let status = step(decompress, input, &mut out, length + room)?;
                if out.len() > longest {
                    return Err(InflateError::TooBig);
                }
                let used = usize::try_from(decompress.total_in() - taken).unwrap_or(0);
                if used == 0 && out.len() == length && status != Status::StreamEnd {
                    return Err(InflateError::Malformed);
                }
                input = input.get(used..).unwrap_or_default();
                if status == Status::StreamEnd {
                    // A message may have a last block, and another behind it (section 7.2.3.4).
                    decompress.reset(false);
                    if used == 0 {
                        return Err(InflateError::Malformed);
                    }
                }
            }
        }
        drain(decompress, &mut out, longest)?;
        Ok(out)
    })
}

/// Inflates into what `out` may grow to.
fn step(
    decompress: &mut Decompress,
    input: &[u8],
    out: &mut Vec<u8>,
    end: usize,
) -> Result<Status, InflateError> {
    let length = out.len();
    out.resize(end, 0);
    let before = decompress.total_out();
    let space = out.get_mut(length..).unwrap_or_default();
    let status = decompress.decompress(input, space, FlushDecompress::Sync);
    let written = usize::try_from(decompress.total_out() - before).unwrap_or(0);
    out.truncate(length + written);
    status.map_err(|_| InflateError::Malformed)
}

/// What the decompressor still holds when it has all input.
fn drain(
    decompress: &mut Decompress,
    out: &mut Vec<u8>,
    longest: usize,
) -> Result<(), InflateError> {
    loop {
        let length = out.len();
        let end = length + (longest + 1 - length).min(STEP);
        match step(decompress, &[], out, end) {
            Ok(Status::BufError) | Err(_) => return Ok(()),
            Ok(_) if out.len() > longest => return Err(InflateError::TooBig),
            Ok(_) if out.len() == length => return Ok(()),
            Ok(_) => {}
        }
    }
}
