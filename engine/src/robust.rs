//! A lock that survives the death of its holder.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;

/// A process-shared robust mutex (pthread_mutexattr_setrobust(3)).
///
/// Concurrency: any thread of any process that maps it may lock it; it is not recursive. Crash: when
/// the holder dies, the kernel marks the lock through the robust list, and the next to lock it gets
/// [`Locked::OwnerDied`] and owns it.
#[repr(transparent)]
pub struct RobustMutex(UnsafeCell<libc::pthread_mutex_t>);

// SAFETY: the mutex is made for use by several threads and processes at once.
unsafe impl Sync for RobustMutex {}

/// How a lock was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locked {
    /// Its last holder gave it back.
    Clean,
    /// Its last holder died with it. The mutex is usable again; what it protects may be half done.
    OwnerDied,
}

impl RobustMutex {
    /// Makes the lock at this place, in memory that nobody else uses yet. `Err`: an errno.
    pub fn init(&self) -> Result<(), i32> {
        let mut attributes = MaybeUninit::<libc::pthread_mutexattr_t>::uninit();
        // SAFETY: the attributes are initialised first and destroyed last; the mutex's memory is
        // ours alone, as the caller vouches.
        unsafe {
            let attributes = attributes.as_mut_ptr();
            check(libc::pthread_mutexattr_init(attributes))?;
            let made = check(libc::pthread_mutexattr_setpshared(
                attributes,
                libc::PTHREAD_PROCESS_SHARED,
            ))
            .and_then(|()| {
                check(libc::pthread_mutexattr_setrobust(
                    attributes,
                    libc::PTHREAD_MUTEX_ROBUST,
                ))
            })
            .and_then(|()| check(libc::pthread_mutex_init(self.0.get(), attributes)));
            libc::pthread_mutexattr_destroy(attributes);
            made
        }
    }

    /// Waits for the lock and takes it.
    pub fn lock(&self) -> Locked {
        // SAFETY: the mutex was initialised when the zone was formatted.
        self.taken(unsafe { libc::pthread_mutex_lock(self.0.get()) })
            .unwrap_or(Locked::OwnerDied)
    }

    /// Takes the lock unless somebody has it.
    pub fn try_lock(&self) -> Option<Locked> {
        // SAFETY: as in lock.
        self.taken(unsafe { libc::pthread_mutex_trylock(self.0.get()) })
    }

    fn taken(&self, rc: i32) -> Option<Locked> {
        match rc {
            0 => Some(Locked::Clean),
            libc::EOWNERDEAD => {
                // SAFETY: this thread holds the lock, as EOWNERDEAD says.
                unsafe { libc::pthread_mutex_consistent(self.0.get()) };
                Some(Locked::OwnerDied)
            }
            _ => None,
        }
    }

    /// Gives the lock back; the caller has it.
    pub fn unlock(&self) {
        // SAFETY: the caller holds the lock.
        unsafe { libc::pthread_mutex_unlock(self.0.get()) };
    }
}

fn check(rc: i32) -> Result<(), i32> {
    if rc == 0 { Ok(()) } else { Err(rc) }
}
