//! The wire format of the iComet protocol: parameters in, frames out.
//!
//! Pure functions over bytes. Nothing here knows nginx, a socket or the engine, nothing blocks, and
//! nothing panics on any input. Writers append to a `Vec<u8>` of the caller, so that a hot path can
//! keep one buffer and allocate nothing.
//!
//! * [`params`] reads the query string and the form body;
//! * [`callback`] and [`content`] check what clients may put into a script or a JSON string;
//! * [`coding`] inflates a body within bounds;
//! * [`message`] writes one message, [`frame`] puts it into a transport's framing;
//! * [`option`] checks what a publisher may say of a message;
//! * [`api`] is the JSON API for back ends, [`command`] what the client of a WebSocket asks for;
//! * [`resume`] is how a client says where it stopped: SSE ids and entity tags.
#![forbid(unsafe_code)]

pub mod api;
pub mod callback;
pub mod coding;
pub mod command;
pub mod content;
pub mod frame;
pub mod message;
mod number;
pub mod option;
pub mod origin;
pub mod params;
pub mod resume;
mod scan;

pub use callback::Callback;
pub use frame::{PollBatch, Transport};
pub use message::{Kind, Message};
pub use params::{ParameterError, Params};
