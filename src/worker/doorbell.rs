//! Doorbells: how one worker wakes another.
//!
//! Life cycle: the master makes the table of doorbells, and the registry that says who holds which slot,
//! in memory that all its workers share, before its first fork; it opens none itself. Each worker opens
//! its own ([`icomet_engine::Bell`]) when it begins, so old and new workers can always wake one another,
//! at the cost of one descriptor. A binary upgrade starts a new master with a table, and zones, of its own.
//!
//! A worker gathers whom it has to wake, and rings once at the end of its turn of the loop. One that
//! is killed before it rings loses the ring alone: the others look by themselves within a second
//! ([`super::housekeeping`]).

use std::sync::OnceLock;

use icomet_engine::{Bell, Bells, Registry};

use super::{Worker, shutdown, with};
use crate::ffi::guard::guarded;
use crate::ffi::{log, shared, shim};

static TABLES: OnceLock<Doorbells> = OnceLock::new();

/// The table of doorbells, and the registry of who lives.
pub struct Doorbells {
    registry: Registry,
    bells: Bells,
}

/// Makes the tables unless they are there. `Err` says what is wrong.
pub fn create() -> Result<(), String> {
    if TABLES.get().is_some() {
        return Ok(());
    }
    let map = |size| {
        shared::map(size).map_err(|e| format!("no shared memory for the workers' registry: {e}"))
    };
    let memory = map(Registry::SIZE)?;
    // SAFETY: a fresh shared mapping of the size the registry asks for, at one address in this process
    // and all that it forks.
    let registry = unsafe { Registry::format(memory) };
    let registry = registry.map_err(|e| format!("the workers' registry: {e}"))?;
    // SAFETY: the same for the doorbells; fresh mappings are zeroed.
    let bells = unsafe { Bells::new(map(Bells::SIZE)?) };
    // Only this thread ever sets it.
    let _ = TABLES.set(Doorbells { registry, bells });
    Ok(())
}

/// The tables, if the master made them.
pub fn tables() -> Option<&'static Doorbells> {
    TABLES.get()
}

impl Doorbells {
    /// Who lives.
    pub fn registry(&self) -> Registry {
        self.registry
    }

    /// Opens the doorbell of a worker, by which it also rings those of others.
    pub fn open(&self, slot: u16) -> Result<Bell, String> {
        let name = getrandom::u64().map_err(|e| format!("no random number for a doorbell: {e}"))?;
        let bell = self.bells.open(slot, name);
        bell.map_err(|e| format!("cannot open a socket to be woken by other workers: {e}"))
    }
}

/// nginx calls it when this worker's doorbell was rung, and when a graceful exit begins.
pub unsafe extern "C" fn icomet_on_doorbell(event: *mut nginx_sys::ngx_event_t) {
    guarded("doorbell", (), || {
        // SAFETY: nginx passes the read event of the connection that icomet_doorbell_open made.
        let connection = unsafe { (*event).data.cast::<nginx_sys::ngx_connection_t>() };
        if with(|worker| worker.doorbell.answer()) == Some(true) {
            // SAFETY: the connection is live.
            unsafe { shim::icomet_socket_again(connection) }
        }
        // SAFETY: as above.
        if unsafe { shim::icomet_connection_closing(connection) != 0 } {
            shutdown::begin();
            // nginx calls so from outside of its turns: what is posted for this turn's end would wait
            // for the next event.
            with(|worker| worker.fanout.post());
        } else {
            with(|worker| worker.fanout.post_now());
        }
    });
}

/// nginx calls it at the end of a turn of the loop that made something for workers: the answers of
/// that turn are under way, and each worker is rung once for all of it.
pub unsafe extern "C" fn icomet_on_wakes(_event: *mut nginx_sys::ngx_event_t) {
    guarded("wakes", (), || {
        with(Worker::wake_all);
    });
}

impl Worker {
    /// Wakes everybody for whom something was made.
    pub fn wake_all(&mut self) {
        for slot in core::mem::take(&mut self.wakes).iter() {
            if slot == self.id.slot {
                // One that is posted for the next turn, because its time was up, stays there.
                self.fanout.post_now();
            } else if let Err(error) = self.doorbell.ring(slot) {
                log::cannot_wake(&error);
            }
        }
    }
}
