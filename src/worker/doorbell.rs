//! Doorbells: how one worker wakes another.
//!
//! Life cycle: the master makes the pool (an eventfd a worker slot, and the registry that says who
//! holds which slot) before its first fork, and keeps it until it exits. Every worker of every
//! generation inherits all of them, so old and new workers can always wake one another. A binary
//! upgrade starts a new master with a pool, and zones, of its own.
//!
//! A worker gathers whom it has to wake, and rings once at the end of its turn of the loop. One that
//! is killed before it rings loses the ring alone: the others look by themselves within a second
//! ([`super::housekeeping`]).

use std::io;
use std::sync::OnceLock;

use icomet_engine::{Registry, WORKER_SLOTS};

use super::{Worker, shutdown, with};
use crate::ffi::guard::guarded;
use crate::ffi::{log, shared, shim};

static POOL: OnceLock<Doorbells> = OnceLock::new();

/// The pool of doorbells, and the registry of who lives.
pub struct Doorbells {
    registry: Registry,
    fds: [i32; WORKER_SLOTS],
}

/// Makes the pool unless it is there. `Err` says what the operator can do.
pub fn create() -> Result<(), String> {
    if POOL.get().is_some() {
        return Ok(());
    }
    let memory = shared::map(Registry::SIZE)
        .map_err(|e| format!("no shared memory for the workers' registry: {e}"))?;
    // SAFETY: a fresh shared mapping of the size the registry asks for, at one address in this process
    // and all that it forks.
    let registry = unsafe { Registry::format(memory) };
    let registry = registry.map_err(|e| format!("the workers' registry: {e}"))?;
    // In place, not on the heap: nginx unloads the module at its exit, and with it what points there.
    let mut fds = [-1; WORKER_SLOTS];
    for open in 0..WORKER_SLOTS {
        // SAFETY: a plain system call. The descriptor is not passed on by exec.
        let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if fd == -1 {
            let error = io::Error::last_os_error();
            for fd in &fds[..open] {
                // SAFETY: closes what was opened here.
                unsafe { libc::close(*fd) };
            }
            return Err(format!(
                "cannot open {WORKER_SLOTS} eventfds to wake the workers: {error}; raise the \
                 limit of open files (ulimit -n)"
            ));
        }
        fds[open] = fd;
    }
    // Only this thread ever sets it.
    let _ = POOL.set(Doorbells { registry, fds });
    Ok(())
}

/// The pool, if the master made it.
pub fn pool() -> Option<&'static Doorbells> {
    POOL.get()
}

impl Doorbells {
    /// Who lives.
    pub fn registry(&self) -> Registry {
        self.registry
    }

    /// The descriptor of a worker's doorbell.
    pub fn descriptor(&self, slot: u16) -> Option<i32> {
        self.fds.get(usize::from(slot)).copied()
    }

    /// Wakes the worker of that slot; a slot that nobody holds is rung in vain.
    pub fn ring(&self, slot: u16) {
        let Some(fd) = self.descriptor(slot) else {
            return;
        };
        let one = 1u64;
        // SAFETY: writes eight bytes of a local to a descriptor of ours.
        let written = unsafe { libc::write(fd, (&raw const one).cast(), size_of::<u64>()) };
        if written == -1 {
            let error = io::Error::last_os_error();
            // A counter that is full has rung already.
            if error.kind() != io::ErrorKind::WouldBlock {
                log::os_error(
                    "cannot wake another worker; it looks by itself within a second",
                    &error,
                );
            }
        }
    }
}

/// nginx calls it when this worker's doorbell was rung, and when a graceful exit begins.
pub unsafe extern "C" fn icomet_on_doorbell(event: *mut nginx_sys::ngx_event_t) {
    guarded("doorbell", (), || {
        // SAFETY: nginx passes the read event of the connection that icomet_doorbell_open made.
        let closing = unsafe {
            let connection = (*event).data.cast::<nginx_sys::ngx_connection_t>();
            shim::icomet_doorbell_answer(connection);
            shim::icomet_connection_closing(connection) != 0
        };
        if closing {
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
            } else {
                self.doorbells.ring(slot);
            }
        }
    }
}
