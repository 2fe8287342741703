//! A WebSocket's client (RFC 6455, RFC 7692), as a load generator needs it: it opens one as every client
//! must, reads whatever frames the server sends, and answers pings and a close.

use flate2::{Decompress, FlushDecompress, Status};
use icomet_websocket::handshake::accept_key;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use crate::http;

/// What a client sends as `Sec-WebSocket-Key` (16 bytes): the same for all, because servers do not look whether it is random.
pub const KEY: &str = "aWNvbWV0LWJlbmNoLXdzIQ==";

/// Longest message that is inflated, in bytes.
const LONGEST: usize = 1 << 20;

/// The header fields that ask for one.
pub fn request_headers(deflates: bool) -> String {
    let extension = match deflates {
        // As browsers do.
        true => "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n",
        false => "",
    };
    format!(
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: {KEY}\r\n{extension}"
    )
}

/// Whether a head opens one, by the key and with the compression that was asked for.
pub fn opens(head: &[u8], deflates: bool) -> bool {
    let field = |name| http::header(head, name).unwrap_or_default();
    let upgrade = field("upgrade").eq_ignore_ascii_case(b"websocket");
    let extension = field("sec-websocket-extensions");
    let agreed = extension.starts_with(b"permessage-deflate");
    upgrade
        && field("sec-websocket-accept") == accept_key(KEY.as_bytes()).as_bytes()
        && agreed == deflates
}

/// What a frame is to a subscriber.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A message, inflated.
    Message(&'a [u8]),
    /// Frames that have to be sent back.
    Answer(Vec<u8>),
    /// The server closes, or breaks the protocol.
    End,
}

/// Reads frames. One serves any number of connections: it keeps nothing of any, but the last message that
/// was inflated, because the next connection gets the same.
pub struct Frames {
    decompress: Decompress,
    compressed: Vec<u8>,
    inflated: Vec<u8>,
}

impl Frames {
    /// One that has read nothing.
    pub fn new() -> Self {
        Self {
            decompress: Decompress::new(false),
            compressed: Vec::new(),
            inflated: Vec::new(),
        }
    }

    /// The frame that begins the bytes, and its length; nothing while it is not all here.
    pub fn next<'a>(&'a mut self, bytes: &'a [u8]) -> Option<(Frame<'a>, usize)> {
        let mut rest = bytes;
        let (header, length) = match FrameHeader::parse(&mut std::io::Cursor::new(rest)) {
            Ok(Some(found)) => found,
            Ok(None) => return None,
            Err(_) => return Some((Frame::End, bytes.len())),
        };
        let length = usize::try_from(length).ok()?;
        let before = header.len(length as u64);
        let payload = rest.get(before..before + length)?;
        rest = &bytes[before + length..];
        let used = bytes.len() - rest.len();
        // Servers do not mask, and neither of those compared here sends fragments.
        if header.mask.is_some() || !header.is_final {
            return Some((Frame::End, used));
        }
        let frame = match header.opcode {
            OpCode::Data(Data::Text | Data::Binary) if !header.rsv1 => Frame::Message(payload),
            OpCode::Data(Data::Text | Data::Binary) => match self.inflate(payload) {
                Some(message) => Frame::Message(message),
                None => Frame::End,
            },
            OpCode::Control(Control::Ping) => Frame::Answer(masked(Control::Pong, payload)),
            OpCode::Control(Control::Pong) => Frame::Answer(Vec::new()),
            _ => Frame::End,
        };
        Some((frame, used))
    }

    fn inflate(&mut self, payload: &[u8]) -> Option<&[u8]> {
        if self.compressed != payload {
            self.compressed.clear();
            let whole = [payload, &[0, 0, 0xff, 0xff]].concat();
            self.decompress.reset(false);
            self.inflated.clear();
            let mut length = 4 * payload.len() + 1024;
            loop {
                self.inflated.reserve(length);
                let used = usize::try_from(self.decompress.total_in()).ok()?;
                let status = self.decompress.decompress_vec(
                    whole.get(used..)?,
                    &mut self.inflated,
                    FlushDecompress::Sync,
                );
                match status {
                    Ok(Status::Ok) if self.inflated.len() < self.inflated.capacity() => break,
                    Ok(Status::Ok) if length < LONGEST => length *= 2,
                    Ok(Status::BufError | Status::StreamEnd) => break,
                    _ => return None,
                }
            }
            self.compressed.extend_from_slice(payload);
        }
        Some(&self.inflated)
    }
}

/// A control frame as clients must send it. The mask is 0: it hides nothing on the loopback.
fn masked(kind: Control, payload: &[u8]) -> Vec<u8> {
    let header = FrameHeader {
        is_final: true,
        rsv1: false,
        rsv2: false,
        rsv3: false,
        opcode: OpCode::Control(kind),
        mask: Some([0; 4]),
    };
    let mut out = Vec::new();
    // A Vec takes all that is written to it.
    let _ = header.format(payload.len() as u64, &mut out);
    out.extend_from_slice(payload);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use icomet_websocket::frame;

    #[test]
    fn an_answer_opens_by_its_key_and_with_what_was_asked_for() {
        let head = |more: &str| {
            format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\n\
                 Sec-WebSocket-Accept: {}\r\n{more}\r\n",
                accept_key(KEY.as_bytes())
            )
        };
        assert!(opens(head("").as_bytes(), false));
        assert!(!opens(head("").as_bytes(), true));
        let deflating = head("Sec-WebSocket-Extensions: permessage-deflate\r\n");
        assert!(opens(deflating.as_bytes(), true));
        assert!(!opens(deflating.as_bytes(), false));
        assert!(!opens(
            head("").replace("Accept: ", "Accept: x").as_bytes(),
            false
        ));
    }

    #[test]
    fn frames_are_read_wherever_they_are_cut() {
        let long = b"long ".repeat(500);
        let mut bytes = Vec::new();
        frame::text(b"hi", &mut bytes);
        frame::text_compressed(&long, &mut bytes);
        frame::text_compressed(&long, &mut bytes);
        frame::ping(b"p", &mut bytes);
        frame::close(icomet_websocket::CloseCode::Restart, "", &mut bytes);
        let mut frames = Frames::new();
        let mut found = Vec::new();
        let mut from = 0;
        for end in 0..=bytes.len() {
            while let Some((frame, used)) = frames.next(&bytes[from..end]) {
                found.push(match frame {
                    Frame::Message(message) => message.to_vec(),
                    Frame::Answer(answer) => answer,
                    Frame::End => b"end".to_vec(),
                });
                from += used;
            }
        }
        let pong = b"\x8a\x81\0\0\0\0p".to_vec();
        assert_eq!(
            found,
            [b"hi".to_vec(), long.clone(), long, pong, b"end".to_vec()]
        );
    }
}
