//! The WebSocket protocol (RFC 6455) and permessage-deflate (RFC 7692), as a server of many readers
//! needs them.
//!
//! Pure functions over bytes: nothing here knows nginx, a socket or a channel, nothing blocks, and
//! nothing panics on any input.
//!
//! * [`handshake`] checks the request that opens a connection, and says what is answered;
//! * [`frame`] writes what a server sends, unmasked, so that one frame serves any number of clients;
//! * [`parser`] reads what a client sends, however it is cut into pieces;
//! * [`deflate`] compresses a message for all who negotiated it, and inflates within bounds;
//! * [`rate`] says how fast a client may send.
#![forbid(unsafe_code)]

pub mod deflate;
pub mod frame;
pub mod handshake;
pub mod parser;
pub mod rate;

pub use frame::CloseCode;
pub use parser::{Event, FrameError, Limits, Parser};
