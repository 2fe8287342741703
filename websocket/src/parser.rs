//! What a client sends, read as it comes: frames may be cut anywhere.

use core::fmt;
use std::io::Cursor;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use crate::deflate::{self, InflateError};
use crate::frame::{CloseCode, MAX_CONTROL};

/// Longest frame header of a client: two bytes, eight of length, four of mask.
const MAX_HEADER: usize = 14;

/// What a client may send.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest message in bytes, inflated if it was compressed.
    pub max_message: usize,
    /// permessage-deflate was negotiated.
    pub deflate: bool,
}

/// What a client has sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Vec<u8>),
    /// A ping, to be answered by a pong with the same payload.
    Ping(Vec<u8>),
    /// An answer to a ping, or a sign of life.
    Pong,
    /// It closes; the code is to be repeated. Nothing is read after it.
    Close(Option<u16>),
}

/// What a client must not send. The connection is closed with [`FrameError::close_code`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// A frame without a mask.
    NotMasked,
    /// A reserved bit that was not negotiated, or not there.
    ReservedBit,
    /// A reserved opcode.
    Opcode,
    /// A control frame that is fragmented or longer than 125 bytes.
    Control,
    /// A continuation of nothing, or a new message inside of another.
    Fragment,
    /// A close frame with a code that must not be sent, or half a code.
    CloseCode,
    /// A text or reason that is not UTF-8.
    NotUtf8,
    /// A message longer than it may be.
    TooBig,
    /// A compressed message that cannot be inflated.
    Deflate,
    /// Something after a close frame.
    Closed,
}

impl FrameError {
    /// What the client is told.
    pub fn close_code(self) -> CloseCode {
        match self {
            FrameError::NotUtf8 | FrameError::Deflate => CloseCode::Invalid,
            FrameError::TooBig => CloseCode::TooBig,
            _ => CloseCode::Protocol,
        }
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FrameError::NotMasked => "frame without a mask",
            FrameError::ReservedBit => "reserved bit set",
            FrameError::Opcode => "unknown opcode",
            FrameError::Control => "control frame too long or fragmented",
            FrameError::Fragment => "fragment out of place",
            FrameError::CloseCode => "invalid close code",
            FrameError::NotUtf8 => "text is not UTF-8",
            FrameError::TooBig => "message too big",
            FrameError::Deflate => "compressed message cannot be inflated",
            FrameError::Closed => "frame after close",
        })
    }
}

impl std::error::Error for FrameError {}

/// A frame whose header is known.
#[derive(Debug)]
struct Open {
    opcode: OpCode,
    is_final: bool,
    mask: [u8; 4],
    /// Bytes that have come.
    had: u64,
    /// Bytes of the whole payload.
    length: u64,
}

/// A data message whose last fragment has not come.
#[derive(Debug)]
struct Message {
    is_text: bool,
    compressed: bool,
    bytes: Vec<u8>,
    /// So many bytes are valid UTF-8.
    checked: usize,
}

/// The state of a connection's input. It holds nothing between messages.
#[derive(Debug, Default)]
pub struct Parser {
    header: [u8; MAX_HEADER],
    header_len: usize,
    open: Option<Open>,
    message: Option<Message>,
    control: Vec<u8>,
    is_closed: bool,
    inflated: usize,
}

impl Parser {
    /// The bytes by which messages have become longer when they were inflated, since it was asked last.
    pub fn take_inflated(&mut self) -> usize {
        core::mem::take(&mut self.inflated)
    }

    /// Bytes of memory that it holds beside itself.
    pub fn held(&self) -> usize {
        let message = self.message.as_ref().map_or(0, |m| m.bytes.capacity());
        message + self.control.capacity()
    }

    /// Whether nothing is incomplete: another parser could go on from here.
    pub fn is_empty(&self) -> bool {
        self.header_len == 0 && self.open.is_none() && self.message.is_none() && !self.is_closed
    }

    /// Takes bytes off the front of `input` until something is complete; `None`: all are taken, more must
    /// come. After an error nothing may be read any more.
    pub fn next(
        &mut self,
        input: &mut &[u8],
        limits: &Limits,
    ) -> Result<Option<Event>, FrameError> {
        loop {
            if self.is_closed && !input.is_empty() {
                return Err(FrameError::Closed);
            }
            if self.open.is_none() {
                if !self.take_header(input) {
                    return Ok(None);
                }
                self.open_frame(limits)?;
            }
            if !self.take_payload(input)? {
                return Ok(None);
            }
            if let Some(event) = self.end_frame(limits)? {
                return Ok(Some(event));
            }
        }
    }

    /// Whether the header is whole.
    fn take_header(&mut self, input: &mut &[u8]) -> bool {
        loop {
            let wanted = match self.header.get(1) {
                Some(second) if self.header_len >= 2 => header_length(*second),
                _ => 2,
            };
            if self.header_len >= wanted {
                return true;
            }
            let Some((first, rest)) = input.split_first() else {
                return false;
            };
            if let Some(place) = self.header.get_mut(self.header_len) {
                *place = *first;
            }
            self.header_len += 1;
            *input = rest;
        }
    }

    /// Checks the header of a frame.
    fn open_frame(&mut self, limits: &Limits) -> Result<(), FrameError> {
        let bytes = self.header.get(..self.header_len).unwrap_or_default();
        let parsed = FrameHeader::parse(&mut Cursor::new(bytes));
        let Ok(Some((header, length))) = parsed else {
            return Err(FrameError::Opcode);
        };
        self.header_len = 0;
        let mask = header.mask.ok_or(FrameError::NotMasked)?;
        let begins = matches!(header.opcode, OpCode::Data(Data::Text | Data::Binary));
        if header.rsv2 || header.rsv3 || (header.rsv1 && !(begins && limits.deflate)) {
            return Err(FrameError::ReservedBit);
        }
        match header.opcode {
            OpCode::Control(_) => {
                if !header.is_final || length > MAX_CONTROL as u64 {
                    return Err(FrameError::Control);
                }
                self.control.clear();
            }
            OpCode::Data(data) => {
                let had = match (&self.message, data) {
                    (Some(message), Data::Continue) => message.bytes.len(),
                    (None, Data::Text | Data::Binary) => 0,
                    _ => return Err(FrameError::Fragment),
                };
                let most = limits.max_message.saturating_sub(had) as u64;
                if length > most {
                    return Err(FrameError::TooBig);
                }
                if begins {
                    self.message = Some(Message {
                        is_text: data == Data::Text,
                        compressed: header.rsv1,
                        bytes: Vec::new(),
                        checked: 0,
                    });
                }
            }
        }
        self.open = Some(Open {
            opcode: header.opcode,
            is_final: header.is_final,
            mask,
            had: 0,
            length,
        });
        Ok(())
    }

    /// Whether the frame's payload is whole.
    fn take_payload(&mut self, input: &mut &[u8]) -> Result<bool, FrameError> {
        let Some(open) = &mut self.open else {
            return Ok(false);
        };
        let missing = usize::try_from(open.length - open.had).unwrap_or(usize::MAX);
        let (piece, rest) = input.split_at(missing.min(input.len()));
        *input = rest;
        match (open.opcode, &mut self.message) {
            (OpCode::Data(_), Some(message)) => {
                unmask(piece, open.mask, open.had, &mut message.bytes);
                message.check()?;
            }
            _ => unmask(piece, open.mask, open.had, &mut self.control),
        }
        open.had += piece.len() as u64;
        Ok(open.had == open.length)
    }

    fn end_frame(&mut self, limits: &Limits) -> Result<Option<Event>, FrameError> {
        let Some(open) = self.open.take() else {
            return Ok(None);
        };
        match open.opcode {
            OpCode::Data(_) if !open.is_final => Ok(None),
            OpCode::Data(_) => {
                let Some(message) = self.message.take() else {
                    return Ok(None);
                };
                let sent = message.bytes.len();
                let event = message.end(limits)?;
                let length = match &event {
                    Event::Text(text) => text.len(),
                    Event::Binary(bytes) => bytes.len(),
                    _ => 0,
                };
                self.inflated += length.saturating_sub(sent);
                Ok(Some(event))
            }
            OpCode::Control(control) => {
                let payload = core::mem::take(&mut self.control);
                match control {
                    Control::Ping => Ok(Some(Event::Ping(payload))),
                    Control::Pong => Ok(Some(Event::Pong)),
                    Control::Close => {
                        self.is_closed = true;
                        Ok(Some(Event::Close(close_code(&payload)?)))
                    }
                    Control::Reserved(_) => Err(FrameError::Opcode),
                }
            }
        }
    }
}

impl Message {
    /// Checks what came of a text, but for a character that is cut.
    fn check(&mut self) -> Result<(), FrameError> {
        if !self.is_text || self.compressed {
            return Ok(());
        }
        let new = self.bytes.get(self.checked..).unwrap_or_default();
        match core::str::from_utf8(new) {
            Ok(_) => self.checked = self.bytes.len(),
            Err(error) if error.error_len().is_none() => self.checked += error.valid_up_to(),
            Err(_) => return Err(FrameError::NotUtf8),
        }
        Ok(())
    }

    fn end(self, limits: &Limits) -> Result<Event, FrameError> {
        let bytes = if self.compressed {
            deflate::inflate(&self.bytes, limits.max_message).map_err(|error| match error {
                InflateError::TooBig => FrameError::TooBig,
                InflateError::Malformed => FrameError::Deflate,
            })?
        } else {
            self.bytes
        };
        if !self.is_text {
            return Ok(Event::Binary(bytes));
        }
        let text = String::from_utf8(bytes).map_err(|_| FrameError::NotUtf8)?;
        Ok(Event::Text(text))
    }
}

/// The length of a header, by its second byte.
fn header_length(second: u8) -> usize {
    let length = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let mask = if second & 0x80 != 0 { 4 } else { 0 };
    2 + length + mask
}

/// Appends a piece of a payload, of which `had` bytes came before, without its mask.
fn unmask(piece: &[u8], mut mask: [u8; 4], had: u64, to: &mut Vec<u8>) {
    mask.rotate_left((had % 4) as usize);
    let start = to.len();
    to.extend_from_slice(piece);
    let added = to.get_mut(start..).unwrap_or_default();
    // Eight bytes at a time, which the compiler makes wider.
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = added.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

fn close_code(payload: &[u8]) -> Result<Option<u16>, FrameError> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return if payload.is_empty() {
            Ok(None)
        } else {
            Err(FrameError::CloseCode)
        };
    };
    let code = u16::from_be_bytes(*code);
    // IANA's registry; what is left out is reserved, or never sent in a frame.
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(FrameError::CloseCode);
    }
    core::str::from_utf8(reason).map_err(|_| FrameError::NotUtf8)?;
    Ok(Some(code))
}
