//! Bodies that come compressed (RFC 9110, section 8.4.1), inflated within bounds.

use flate2::{Decompress, FlushDecompress, Status};

/// What a `Content-Encoding` is answered with that is not taken.
pub const TAKEN: &str = "gzip, deflate, identity";

/// Bytes of room that the output gets at a time.
const STEP: usize = 16 << 10;

/// Members that one gzip body may have: each needs a new decompressor.
const MAX_MEMBERS: usize = 64;

/// zlib's largest window, in bits.
const WINDOW_BITS: u8 = 15;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Coding {
    /// RFC 1952.
    Gzip,
    /// RFC 1950; without its header, as many send it, it is taken as well.
    Deflate,
}

/// Why a body is not read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CodingError {
    /// It has a coding that is not taken, or more than one.
    Unknown,
    /// It is not what its coding says, or not whole.
    Malformed,
    /// It would be longer than it may.
    TooLong,
}

/// The coding that a `Content-Encoding` names, of all its fields; `None`: the body is as it is.
pub fn of_content_encoding(field: &[u8]) -> Result<Option<Coding>, CodingError> {
    let named = |coding: &&[u8]| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity");
    let codings = field.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let mut codings = codings.filter(named);
    let coding = match codings.next() {
        None => return Ok(None),
        Some(name) if name.eq_ignore_ascii_case(b"gzip") => Coding::Gzip,
        Some(name) if name.eq_ignore_ascii_case(b"x-gzip") => Coding::Gzip,
        Some(name) if name.eq_ignore_ascii_case(b"deflate") => Coding::Deflate,
        Some(_) => return Err(CodingError::Unknown),
    };
    match codings.next() {
        None => Ok(Some(coding)),
        Some(_) => Err(CodingError::Unknown),
    }
}

/// What was compressed, if it is no longer than `longest` bytes.
pub fn inflate(coding: Coding, body: &[u8], longest: usize) -> Result<Vec<u8>, CodingError> {
    let begin = || match coding {
        Coding::Gzip => Decompress::new_gzip(WINDOW_BITS),
        Coding::Deflate => Decompress::new(has_zlib_header(body)),
    };
    let mut decompress = begin();
    let mut members = 1;
    let mut rest = body;
    let mut out = Vec::new();
    loop {
        let (length, taken, given) = (out.len(), decompress.total_in(), decompress.total_out());
        // One byte more than it may have shows that it is too long.
        let room = longest.saturating_add(1).saturating_sub(length).min(STEP);
        out.resize(length + room, 0);
        let space = out.get_mut(length..).unwrap_or_default();
        let status = decompress.decompress(rest, space, FlushDecompress::None);
        let used = usize::try_from(decompress.total_in() - taken).unwrap_or(0);
        let written = usize::try_from(decompress.total_out() - given).unwrap_or(0);
        out.truncate(length + written);
        rest = rest.get(used..).unwrap_or_default();
        if out.len() > longest {
            return Err(CodingError::TooLong);
        }
        match status {
            Ok(Status::StreamEnd) if rest.is_empty() => return Ok(out),
            Ok(Status::StreamEnd) if coding == Coding::Gzip && members < MAX_MEMBERS => {
                members += 1;
                decompress = begin();
            }
            Ok(Status::StreamEnd) | Err(_) => return Err(CodingError::Malformed),
            // It ends too early.
            Ok(_) if used == 0 && written == 0 => return Err(CodingError::Malformed),
            Ok(_) => {}
        }
    }
}

/// What RFC 1950 begins with: deflate's number, and a check of the two bytes.
fn has_zlib_header(body: &[u8]) -> bool {
    match body {
        [method, flags, ..] => {
            method & 15 == 8 && u16::from_be_bytes([*method, *flags]).is_multiple_of(31)
        }
        _ => false,
    }
}
