//! One packet, and its bytes.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::passage::Passage;

/// The first byte of each packet; another one means that the layout is not known here.
pub const VERSION: u8 = 6;

/// What is sent in either direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Packet<'a> {
    /// Old worker to new: a subscriber. Its connection's descriptor goes along, and then that of a file
    /// in memory with the frame that it has not taken whole, if there is one.
    #[serde(borrow)]
    Passage(Box<Passage<'a>>),
    /// New worker to old: the oldest passage not answered yet was taken.
    Taken,
    /// The same was not taken, and its connection was not touched. `elsewhere`: another worker may take it.
    Refused {
        /// It is this worker that cannot, not the configuration.
        elsewhere: bool,
    },
}

/// Bytes that are no packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// Another version, or nothing at all.
    Version(Option<u8>),
    /// Of this version, but it cannot be read.
    Malformed(postcard::Error),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::Version(Some(version)) => {
                write!(f, "packet of version {version}, not {VERSION}")
            }
            DecodeError::Version(None) => f.write_str("empty packet"),
            DecodeError::Malformed(error) => write!(f, "malformed packet: {error}"),
        }
    }
}

impl std::error::Error for DecodeError {}

impl<'a> Packet<'a> {
    /// Appends the packet's bytes. `Err`: a text is too long for any packet.
    pub fn encode(&self, to: &mut Vec<u8>) -> Result<(), postcard::Error> {
        to.push(VERSION);
        postcard::to_io(self, to).map(|_| ())
    }

    /// Reads a packet; its texts stay where they are.
    pub fn decode(bytes: &'a [u8]) -> Result<Packet<'a>, DecodeError> {
        match bytes.split_first() {
            Some((&VERSION, rest)) => postcard::from_bytes(rest).map_err(DecodeError::Malformed),
            other => Err(DecodeError::Version(other.map(|(version, _)| *version))),
        }
    }
}
