//! What a server sends: frames without a mask, so that one serves any number of clients.

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use crate::deflate;

/// Why a connection is closed (RFC 6455, section 7.4.1, and IANA's registry).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum CloseCode {
    /// All is done.
    Normal = 1000,
    /// The server stops.
    GoingAway = 1001,
    /// The client broke the protocol.
    Protocol = 1002,
    /// A kind of message that is not taken.
    Unsupported = 1003,
    /// Text that is not UTF-8, or compressed data that cannot be inflated.
    Invalid = 1007,
    /// Not allowed.
    Policy = 1008,
    /// A message that is too long.
    TooBig = 1009,
    /// The server cannot go on; also: no answer to a ping.
    Unexpected = 1011,
    /// The server starts anew; come again.
    Restart = 1012,
    /// Too much is going on; come again later.
    TryAgainLater = 1013,
    /// The back end wants the client to stay away: a code of our own, from the range for that.
    StayAway = 4403,
}

/// Longest payload of a control frame in bytes.
pub const MAX_CONTROL: usize = 125;

/// Appends a text message, which must be UTF-8, in one frame.
pub fn text(message: &[u8], to: &mut Vec<u8>) {
    put(OpCode::Data(Data::Text), false, message, to);
}

/// The same in a connection that negotiated compression; short messages are not compressed.
pub fn text_compressed(message: &[u8], to: &mut Vec<u8>) {
    match deflate::compress(message) {
        Some(payload) => put(OpCode::Data(Data::Text), true, &payload, to),
        None => text(message, to),
    }
}

/// Appends a binary message.
pub fn binary(message: &[u8], to: &mut Vec<u8>) {
    put(OpCode::Data(Data::Binary), false, message, to);
}

/// Appends a ping; of the payload no more than [`MAX_CONTROL`] bytes.
pub fn ping(payload: &[u8], to: &mut Vec<u8>) {
    control(Control::Ping, payload, to);
}

/// Appends the answer to a ping.
pub fn pong(payload: &[u8], to: &mut Vec<u8>) {
    control(Control::Pong, payload, to);
}

/// Appends a close frame; of the reason as much as fits.
pub fn close(code: CloseCode, reason: &str, to: &mut Vec<u8>) {
    let reason = cut(reason, MAX_CONTROL - 2);
    let payload = [&(code as u16).to_be_bytes(), reason.as_bytes()].concat();
    control(Control::Close, &payload, to);
}

/// Appends the answer to a client's close frame, which repeats its code.
pub fn close_answer(code: Option<u16>, to: &mut Vec<u8>) {
    match code {
        Some(code) => control(Control::Close, &code.to_be_bytes(), to),
        None => control(Control::Close, &[], to),
    }
}

fn control(kind: Control, payload: &[u8], to: &mut Vec<u8>) {
    let payload = payload.get(..MAX_CONTROL).unwrap_or(payload);
    put(OpCode::Control(kind), false, payload, to);
}

fn put(opcode: OpCode, compressed: bool, payload: &[u8], to: &mut Vec<u8>) {
    let header = FrameHeader {
        is_final: true,
        rsv1: compressed,
        rsv2: false,
        rsv3: false,
        opcode,
        mask: None,
    };
    let length = payload.len() as u64;
    to.reserve(header.len(length) + payload.len());
    // A Vec takes all that is written to it.
    let _ = header.format(length, to);
    to.extend_from_slice(payload);
}

/// The longest beginning of a text with at most so many bytes.
fn cut(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}
