//! The packets of a hand-over: what a worker that ends tells one of a newer configuration about each
//! subscriber that moves to it.
//!
//! A packet is one message of a `SOCK_SEQPACKET` socket between two workers of one nginx; descriptors
//! go along with it as `SCM_RIGHTS`. The bytes are [`VERSION`] and a `postcard` encoding
//! (<https://postcard.jamesmunns.com/wire-format>). Both workers are children of one master, but the
//! newer one may run a newer module; a packet of another version is refused.

mod packet;
mod passage;

pub use packet::{DecodeError, Packet, VERSION};
pub use passage::{
    Flags, Origin, Passage, Place, ProxyProtocol, Request, Resume, Socket, Subscription, Variable,
};
