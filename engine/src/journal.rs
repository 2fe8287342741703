//! What this thread's operations did to which channels are there, for a caller that has to tell others.
//!
//! Each channel is made by one operation and freed or closed by one, so of all threads and processes
//! of a zone exactly one notes each change. A process that is killed takes its notes with it. Unlike the
//! log of [`crate::presence`] it is not in the zone, and costs nothing unless it was begun.

use core::cell::RefCell;

use crate::message::Kind;
use crate::zone::Zone;

/// A channel came or went.
#[derive(Clone, Debug)]
pub struct Change {
    /// Its zone.
    pub zone: Zone,
    /// It came; else it went.
    pub online: bool,
    /// Its name.
    pub name: Box<[u8]>,
    /// Its place among all noted changes of the zone, whoever noted them: of two changes of one channel
    /// the later one has the higher number.
    pub order: u64,
}

thread_local! {
    static JOURNAL: RefCell<Option<Vec<Change>>> = const { RefCell::new(None) };
}

/// From now on this thread's operations note what they change; [`take`] it after each.
pub fn begin() {
    JOURNAL.with_borrow_mut(|journal| _ = journal.get_or_insert_with(Vec::new));
}

/// What was noted since the last call, in order.
pub fn take() -> Vec<Change> {
    JOURNAL.with_borrow_mut(|journal| journal.as_mut().map(core::mem::take).unwrap_or_default())
}

impl Zone {
    /// The number of the next change.
    pub fn next_change(&self) -> u64 {
        self.header().changes.get()
    }

    /// Lets the numbers of changes go on from `order` at least: of a zone that is filled with what
    /// another one held, the changes of both are compared. No other process has seen it yet.
    pub fn number_changes_from(&self, order: u64) {
        let changes = &self.header().changes;
        changes.set(changes.get().max(order));
    }
}

/// Notes a change; the caller holds the lock of the channel's shard.
pub(crate) fn note(zone: &Zone, kind: Kind, name: &[u8]) {
    JOURNAL.with_borrow_mut(|journal| {
        if let Some(journal) = journal {
            journal.push(Change {
                zone: *zone,
                online: kind == Kind::Online,
                name: name.into(),
                order: zone.header().changes.next(),
            });
        }
    });
}
