//! A lock that survives the death of its holder.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

/// A process-shared robust mutex (pthread_mutexattr_setrobust(3)).
///
/// Concurrency: any thread of any process that maps it may lock it; it is not recursive. Crash: when
/// the holder dies, the kernel marks the lock through the robust list, and the next to lock it gets
/// [`Locked::OwnerDied`] and owns it.
#[repr(transparent)]
pub struct RobustMutex(UnsafeCell<libc::pthread_mutex_t>);

// SAFETY: the mutex is made for use by several threads and processes at once.
unsafe impl Sync for RobustMutex {}

/// Why a lock was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockError {
    /// Somebody holds it.
    Held,
    /// It is no lock; the errno.
    Broken(i32),
}

/// A clock that nobody sets, where the C library can wait by it.
#[cfg(target_env = "gnu")]
const CLOCK: libc::clockid_t = libc::CLOCK_MONOTONIC;
#[cfg(not(target_env = "gnu"))]
const CLOCK: libc::clockid_t = libc::CLOCK_REALTIME;

/// Locks until that time of [`CLOCK`].
///
/// # Safety
///
/// As for `pthread_mutex_timedlock`.
#[cfg(target_env = "gnu")]
unsafe fn lock_until(mutex: *mut libc::pthread_mutex_t, until: *const libc::timespec) -> i32 {
    unsafe extern "C" {
        fn pthread_mutex_clocklock(
            mutex: *mut libc::pthread_mutex_t,
            clock: libc::clockid_t,
            until: *const libc::timespec,
        ) -> libc::c_int;
    }
    // SAFETY: see the function; since glibc 2.30.
    unsafe { pthread_mutex_clocklock(mutex, CLOCK, until) }
}

/// As above.
///
/// # Safety
///
/// As for `pthread_mutex_timedlock`.
#[cfg(not(target_env = "gnu"))]
unsafe fn lock_until(mutex: *mut libc::pthread_mutex_t, until: *const libc::timespec) -> i32 {
    // SAFETY: see the function.
    unsafe { libc::pthread_mutex_timedlock(mutex, until) }
}

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

    /// Waits for the lock so long at most, and takes it.
    pub fn lock_within(&self, wait: Duration) -> Result<Locked, LockError> {
        let mut until = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: fills the time in.
        unsafe { libc::clock_gettime(CLOCK, &raw mut until) };
        let nanos = until.tv_nsec + wait.subsec_nanos() as libc::c_long;
        until.tv_sec += (wait.as_secs() as libc::time_t) + (nanos / 1_000_000_000) as libc::time_t;
        until.tv_nsec = (nanos % 1_000_000_000) as _;
        // SAFETY: the mutex was initialised when the zone was formatted, and the time is one of that clock.
        let rc = unsafe { lock_until(self.0.get(), &raw const until) };
        self.taken(rc)
    }

    /// The process that holds the lock now, as the kernel's list of robust locks needs it in the first word
    /// (futex(2)); 0: nobody, or it cannot be told.
    pub fn holder(&self) -> u32 {
        const TID: u32 = 0x3fff_ffff;
        // SAFETY: the mutex is larger than a word, aligned to one, and shared; it is only looked at.
        let word = unsafe { AtomicU32::from_ptr(self.0.get().cast()) };
        if cfg!(target_env = "gnu") {
            word.load(Ordering::Relaxed) & TID
        } else {
            0
        }
    }

    /// Takes the lock unless somebody has it.
    pub fn try_lock(&self) -> Result<Locked, LockError> {
        // SAFETY: as in lock_within.
        self.taken(unsafe { libc::pthread_mutex_trylock(self.0.get()) })
    }

    fn taken(&self, rc: i32) -> Result<Locked, LockError> {
        match rc {
            0 => Ok(Locked::Clean),
            libc::EOWNERDEAD => {
                // SAFETY: this thread holds the lock, as EOWNERDEAD says.
                unsafe { libc::pthread_mutex_consistent(self.0.get()) };
                Ok(Locked::OwnerDied)
            }
            libc::ETIMEDOUT | libc::EBUSY => Err(LockError::Held),
            errno => Err(LockError::Broken(errno)),
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::busy;

    const SOON: Duration = Duration::from_millis(1);

    fn made() -> RobustMutex {
        // SAFETY: a mutex is bytes, and is initialised before it is used.
        let mutex: RobustMutex = unsafe { core::mem::zeroed() };
        mutex
    }

    /// A thread takes it, and ends with it.
    fn die_with(mutex: &RobustMutex) {
        std::thread::scope(|scope| {
            scope.spawn(|| mutex.lock_within(SOON).unwrap());
        });
    }

    #[test]
    fn a_lock_that_is_held_or_was_a_dead_ones_is_told_apart() {
        let mutex = Box::new(made());
        mutex.init().unwrap();
        assert_eq!(mutex.lock_within(SOON), Ok(Locked::Clean));
        assert_eq!(mutex.try_lock(), Err(LockError::Held));
        assert_eq!(mutex.lock_within(SOON), Err(LockError::Held));
        assert_eq!(busy::lock(&mutex, "it"), None);
        let stuck = busy::take_stuck().unwrap();
        assert_eq!((stuck.what, stuck.errno), ("it", 0));
        mutex.unlock();
        die_with(&mutex);
        assert_eq!(mutex.lock_within(SOON), Ok(Locked::OwnerDied));
        mutex.unlock();
        assert_eq!(mutex.try_lock(), Ok(Locked::Clean));
        mutex.unlock();
    }

    /// Nobody may take it for locked, and what is said of it is an error, not somebody who holds it.
    #[test]
    fn a_lock_with_any_other_error_is_refused() {
        let mutex = Box::new(made());
        mutex.init().unwrap();
        die_with(&mutex);
        // Given back by one who did not see to it.
        // SAFETY: the mutex is initialised, and unlocked by who has locked it.
        unsafe {
            assert_eq!(libc::pthread_mutex_lock(mutex.0.get()), libc::EOWNERDEAD);
            assert_eq!(libc::pthread_mutex_unlock(mutex.0.get()), 0);
        }
        let broken = libc::ENOTRECOVERABLE;
        assert_eq!(mutex.lock_within(SOON), Err(LockError::Broken(broken)));
        // glibc tells it once, and then that this thread holds it.
        for _ in 0..2 {
            assert_eq!(busy::lock(&mutex, "it"), None);
            assert!(busy::was_refused());
            assert_eq!(busy::take_stuck().unwrap().errno, broken);
        }
    }
}
