//! Decoding of response bodies: by length, or chunked.

use bytes::{Buf, BytesMut};

use crate::http::{Head, HttpError, find};

/// The state of a body that is being read.
#[derive(Debug)]
pub enum Decoder {
    /// So many bytes to come.
    Length(u64),
    /// A chunk's size line is due.
    ChunkSize,
    /// So many bytes of a chunk to come.
    ChunkData(u64),
    /// The line break after a chunk is due.
    ChunkEnd,
    /// The line break after the last chunk is due.
    Trailer,
    /// No HTTP any more: as it comes.
    Raw,
    /// All of it has been read.
    Done,
}

impl Decoder {
    /// The decoder that a head asks for. Answers without framing are refused: every HTTP/1.1
    /// answer of nginx has one.
    pub fn new(head: &Head) -> Result<Self, HttpError> {
        if head.header("transfer-encoding") == Some("chunked") {
            return Ok(Decoder::ChunkSize);
        }
        if head.status == 204 || head.status == 304 {
            return Ok(Decoder::Done);
        }
        match head.header("content-length").map(str::parse) {
            Some(Ok(0)) => Ok(Decoder::Done),
            Some(Ok(length)) => Ok(Decoder::Length(length)),
            _ => Err(HttpError::Malformed(format!(
                "no framing with status {}",
                head.status
            ))),
        }
    }

    /// Whether the body has ended, as its framing says it does.
    pub fn is_done(&self) -> bool {
        matches!(self, Decoder::Done)
    }

    /// Moves what can be decoded from `input` to `out`.
    pub fn decode(&mut self, input: &mut BytesMut, out: &mut Vec<u8>) -> Result<(), HttpError> {
        loop {
            match self {
                Decoder::Done => return Ok(()),
                Decoder::Raw => {
                    out.extend_from_slice(&input.split());
                    return Ok(());
                }
                Decoder::Length(left) => {
                    *left -= take(input, *left, out);
                    if *left > 0 {
                        return Ok(());
                    }
                    *self = Decoder::Done;
                }
                Decoder::ChunkSize => {
                    let Some(end) = find(input, b"\r\n") else {
                        return if input.len() > 32 {
                            Err(bad_chunk(input))
                        } else {
                            Ok(())
                        };
                    };
                    let size = std::str::from_utf8(&input[..end])
                        .ok()
                        .and_then(|text| u64::from_str_radix(text, 16).ok())
                        .ok_or_else(|| bad_chunk(input))?;
                    input.advance(end + 2);
                    *self = if size == 0 {
                        Decoder::Trailer
                    } else {
                        Decoder::ChunkData(size)
                    };
                }
                Decoder::ChunkData(left) => {
                    *left -= take(input, *left, out);
                    if *left > 0 {
                        return Ok(());
                    }
                    *self = Decoder::ChunkEnd;
                }
                Decoder::ChunkEnd | Decoder::Trailer => {
                    if input.len() < 2 {
                        return Ok(());
                    }
                    if &input[..2] != b"\r\n" {
                        return Err(bad_chunk(input));
                    }
                    input.advance(2);
                    *self = match self {
                        Decoder::Trailer => Decoder::Done,
                        _ => Decoder::ChunkSize,
                    };
                }
            }
        }
    }
}

fn take(input: &mut BytesMut, left: u64, out: &mut Vec<u8>) -> u64 {
    let count = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
    out.extend_from_slice(&input[..count]);
    input.advance(count);
    count as u64
}

fn bad_chunk(input: &BytesMut) -> HttpError {
    let start = &input[..input.len().min(40)];
    HttpError::Malformed(format!(
        "chunk framing at {:?}",
        String::from_utf8_lossy(start)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_cut_anywhere_decode_to_the_same_body() {
        let wire = b"3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n";
        for cut in 0..wire.len() {
            let mut decoder = Decoder::ChunkSize;
            let mut out = Vec::new();
            let mut input = BytesMut::from(&wire[..cut]);
            decoder.decode(&mut input, &mut out).unwrap();
            assert!(!decoder.is_done());
            input.extend_from_slice(&wire[cut..]);
            decoder.decode(&mut input, &mut out).unwrap();
            assert!(decoder.is_done());
            assert_eq!(out, b"abc0123456789abcdef");
        }
    }

    #[test]
    fn a_body_by_length_leaves_the_next_response_alone() {
        let mut decoder = Decoder::Length(3);
        let mut input = BytesMut::from(&b"abcHTTP/1.1"[..]);
        let mut out = Vec::new();
        decoder.decode(&mut input, &mut out).unwrap();
        assert!(decoder.is_done());
        assert_eq!(
            (out.as_slice(), &input[..]),
            (&b"abc"[..], &b"HTTP/1.1"[..])
        );
    }

    #[test]
    fn wrong_framing_is_refused() {
        let mut out = Vec::new();
        assert!(
            Decoder::ChunkSize
                .decode(&mut BytesMut::from(&b"xyz\r\n"[..]), &mut out)
                .is_err()
        );
        assert!(
            Decoder::ChunkEnd
                .decode(&mut BytesMut::from(&b"ab"[..]), &mut out)
                .is_err()
        );
    }
}
