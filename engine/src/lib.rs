//! The comet engine: channels in shared memory, no nginx, no sockets.
//!
//! A [`Zone`] is a range of memory that several processes map at one address. It holds channels by
//! name, each with a ring of its last messages, and what each worker must be woken for. Any worker may
//! be killed at any instruction: the others go on, and clean up after it.
//!
//! # Layout
//!
//! | part | size | of what |
//! |---|---|---|
//! | [`zone::Header`] | one | magic, version, epoch, counters, the pool's lock |
//! | [`slot::WorkerSlot`] | 64 bytes × 512 | a worker's reading epoch and dirty list |
//! | [`shard::Shard`] | 2.3 KB × (1 to 64, and the commons) | lock, counts, wheel, lists |
//! | hash buckets | 4 bytes for 512 bytes of zone, and a quarter of it for client addresses, and for ids of publishes | |
//! | page descriptors | 32 bytes for a page | |
//! | pages | 4096 bytes | channels (120 bytes and the name), rings, messages (24 bytes and the content, 8 for a time of its own, 8 for a user that does not get it), client addresses and users (32 bytes), ids (64 bytes), members (32 bytes and the user's id) |
//!
//! A message for which no run of pages is long enough stands in single pages ([`pieces`]), so whatever the
//! zone has been through, a message fits while as many pages are free. A page that holds one small block
//! is not free. The ring of a channel that keeps more than 510 messages does need a run.
//!
//! An idle channel with a 16-byte name takes one block of 144 bytes; a first message of 40 bytes takes
//! one of 64, and its ring one of 16. References are 32 bits wide, in units of 8 bytes.
//!
//! # Rules
//!
//! * One shard is locked at a time, then the commons, then the pool of pages ([`shard`], [`pages`]).
//! * A structure is written, then linked by one store; unlinked by one store, then freed ([`cell`]).
//! * Readers hold no counts: freed messages wait in [`limbo`].
//! * When a holder of a lock dies, the next one repairs what it protects ([`repair`]).

mod address;
mod ahead;
mod bell;
mod blocks;
mod broadcast;
pub mod busy;
mod cell;
mod channel;
mod dirty;
mod disconnect;
mod empty;
mod evict;
pub mod fault;
mod geometry;
mod glob;
mod history;
pub mod journal;
mod life;
mod lifetime;
mod limbo;
mod limits;
mod list;
mod members;
mod message;
mod once;
mod orders;
mod pages;
mod pass;
mod pieces;
mod presence;
mod publication;
mod publish;
mod reading;
mod reap;
mod registry;
mod repair;
mod restore;
mod revoke;
mod ring;
mod robust;
mod room;
mod shard;
mod slot;
mod snapshot;
mod stats;
mod verify;
mod wake;
mod wheel;
mod zone;

pub use address::{Admission, ClientAddress, EnterError};
pub use bell::{Bell, Bells, socket_name};
pub use broadcast::Broadcast;
pub use busy::{Stuck, take_stuck, was_refused};
pub use channel::ChannelRef;
pub use dirty::DirtyList;
pub use glob::Glob;
pub use history::{History, Page};
pub use life::{Epoch, GIVEN, Made};
pub use limits::{ChannelLimits, Limits, OnFull, Rules};
pub use list::{ListCursor, Listed};
pub use members::{ListedMember, Members};
pub use message::{Kind, Message, MessageRef};
pub use once::Once;
pub use orders::EndOrder;
pub use publication::{MAX_EVENT, Options, Publication};
pub use publish::{ChannelInfo, PublishError, Published, Signed};
pub use reading::{Authority, Lost, Reading, Request, Stay, SubscribeError, Subscription, Window};
pub use registry::{Registry, RegistryError, WORKER_SLOTS, WorkerId};
pub use restore::{Restore, Restored};
pub use snapshot::{Identity, Snapshot, StoredChannel, StoredContent, StoredMessage};
pub use stats::{HookCounts, ScanCursor, WorkerStats, ZoneStats};
pub use verify::VerifyReport;
pub use wake::WakeSet;
pub use zone::{Zone, ZoneError};
