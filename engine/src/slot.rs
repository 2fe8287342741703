//! A worker's slot in a zone.

use crate::cell::{Link, Long, Word};
use crate::orders::Order;

/// What a zone holds of one worker.
///
/// Concurrency: `incarnation` is written under the header's `reaping` lock. `reading` is written by
/// the worker alone, and read by whoever wants to free messages. `dirty` is the head of a stack that
/// anybody pushes to (holding the shard's lock of the record pushed), and that the worker alone
/// takes, whole. `subscribers` is the worker's to write, under the shard's lock of whatever channel;
/// it is read for statistics. `resync` is set by anybody and cleared by the worker.
///
/// Crash: a worker that dies leaves `reading` and `dirty` as they are; nothing its dirty list leads to
/// is freed while the slot is attached but by the reaper, which clears both, and `subscribers` with them.
/// `orders` is written under the commons' lock.
#[repr(C, align(64))]
pub struct WorkerSlot {
    /// Which worker is attached; 0: none.
    pub incarnation: Word,
    /// Its lists may be incomplete: it must look at all its channels.
    pub resync: Word,
    /// The reading epoch under which it reads messages now; 0: it reads none.
    pub reading: Long,
    /// The process.
    pub pid: Word,
    /// Its subscribers on all channels.
    pub subscribers: Word,
    /// Records of channels that got something: the last pushed, as units; 0: none.
    pub dirty: Word,
    /// Events that wait in it for back ends; the worker alone writes it.
    pub hooks_queued: Word,
    /// What it is ordered to end, the last order first ([`crate::orders`]).
    pub orders: Link<Order>,
}
