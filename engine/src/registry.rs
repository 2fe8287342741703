//! Who lives: one entry for each worker slot, shared by all zones and all generations of workers.

use core::fmt;
use core::ptr::NonNull;

use crate::cell::Word;
use crate::robust::RobustMutex;

/// How many workers can live at one time: two generations of 256.
pub const WORKER_SLOTS: usize = 512;

/// A worker: its slot, and a number that no other worker of that slot has had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerId {
    /// Its slot, below [`WORKER_SLOTS`].
    pub slot: u16,
    /// How often the slot had been claimed, this time included; never 0.
    pub incarnation: u32,
}

/// One slot.
///
/// Concurrency: `incarnation` is written by the holder of `life` alone. Crash: a worker holds `life`
/// as long as it lives; its death, however it comes, leaves the lock marked, and no other word.
#[repr(C, align(64))]
struct Entry {
    life: RobustMutex,
    incarnation: Word,
}

/// A handle on the registry in its shared memory.
#[derive(Clone, Copy, Debug)]
pub struct Registry(NonNull<Entry>);

// SAFETY: the entries are made of atomics and a lock for use by several processes.
unsafe impl Send for Registry {}
// SAFETY: as above.
unsafe impl Sync for Registry {}

/// Why there is no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistryError {
    /// All [`WORKER_SLOTS`] slots are held by live workers.
    Full,
    /// The operating system made no lock; its errno.
    Lock(i32),
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RegistryError::Full => write!(f, "all {WORKER_SLOTS} worker slots are in use"),
            RegistryError::Lock(errno) => write!(f, "cannot make a shared lock (errno {errno})"),
        }
    }
}

impl std::error::Error for RegistryError {}

impl Registry {
    /// Bytes of shared memory that it needs.
    pub const SIZE: usize = size_of::<Entry>() * WORKER_SLOTS;

    /// Makes the registry.
    ///
    /// # Safety
    ///
    /// `base` is the start of [`Registry::SIZE`] zeroed bytes of shared memory, aligned to 64, that
    /// nobody else uses and that stay mapped at that address in every process that uses it.
    pub unsafe fn format(base: NonNull<u8>) -> Result<Registry, RegistryError> {
        let registry = Registry(base.cast());
        for slot in 0..WORKER_SLOTS {
            registry
                .entry(slot)
                .life
                .init()
                .map_err(RegistryError::Lock)?;
        }
        Ok(registry)
    }

    fn entry(&self, slot: usize) -> &Entry {
        debug_assert!(slot < WORKER_SLOTS);
        // SAFETY: format was given room for all slots; entries are never moved or freed.
        unsafe { self.0.add(slot % WORKER_SLOTS).as_ref() }
    }

    /// Takes a free slot for the calling thread, which must live as long as the worker does.
    pub fn claim(&self) -> Result<WorkerId, RegistryError> {
        for slot in 0..WORKER_SLOTS {
            let entry = self.entry(slot);
            if entry.life.try_lock().is_ok() {
                let incarnation = entry.incarnation.get().wrapping_add(1).max(1);
                entry.incarnation.set(incarnation);
                return Ok(WorkerId {
                    slot: slot as u16,
                    incarnation,
                });
            }
        }
        Err(RegistryError::Full)
    }

    /// Gives a slot back; the calling thread claimed it.
    pub fn release(&self, worker: WorkerId) {
        let entry = self.entry(usize::from(worker.slot));
        if entry.incarnation.get() == worker.incarnation {
            entry.life.unlock();
        }
    }

    /// Whether that worker lives. The caller is another worker.
    pub fn is_alive(&self, worker: WorkerId) -> bool {
        let entry = self.entry(usize::from(worker.slot));
        match entry.life.try_lock() {
            Err(_) => entry.incarnation.get() == worker.incarnation,
            Ok(_) => {
                entry.life.unlock();
                false
            }
        }
    }
}
