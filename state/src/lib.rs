//! The state file: what a hub's zone holds, written when nginx exits and read when it starts.
//!
//! # Format
//!
//! ```text
//! magic "ICOMETST" | version: u32 | status: "FULL" or "USED" | chunk ... chunk
//! chunk: length of the payload: u32 | CRC-32 of all chunks up to here: u32 | payload
//! ```
//!
//! Numbers are little-endian. The payloads hold [`format::Record`]s one after the other, as
//! [postcard](https://postcard.jamesmunns.com/wire-format) writes them; a record does not go on in the
//! next chunk. First comes `Begin`, then `Incarnations`, every broadcast, every channel, every message, then `End`
//! with the counts of these. The messages of a channel come from its newest to its oldest, the newest
//! of all channels before others, so that a zone too small for all of them has the newest of each.
//! Times are told as ages: the clock of nginx begins anew with the machine.
//!
//! # Life of a file
//!
//! | who | does |
//! |---|---|
//! | nginx that starts | locks the file (makes a `USED` one if there is none), reads it when it is `FULL` |
//! | its first worker | marks it `USED`, before it serves anybody: from here on the zone is newer |
//! | nginx that exits | writes another file beside it, `FULL`, and renames that over it |
//!
//! So an nginx that fails to start leaves the file as it was, and one that is killed leaves a file that
//! nobody reads: old sequence numbers never come back.

mod file;
pub mod format;
mod load;
mod read;
mod save;
mod write;

pub use file::{AcquireError, StateFile, is_open_in};
pub use load::{LoadError, Loaded, load};
pub use read::{Nothing, ReadError, Sink, Summary, read};
pub use save::{Clocks, Saved, save};
pub use write::Writer;
