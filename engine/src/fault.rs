//! Fault injection: with the feature `fault-injection`, tests can have the process killed before any
//! store of a critical section. Without it nothing of this is compiled in.

/// Called before each store.
#[cfg(not(feature = "fault-injection"))]
#[inline(always)]
pub fn step() {}

#[cfg(feature = "fault-injection")]
pub use armed::{arm, disarm, step};

#[cfg(feature = "fault-injection")]
mod armed {
    use core::sync::atomic::{AtomicI64, Ordering};

    static LEFT: AtomicI64 = AtomicI64::new(-1);

    /// Kills this process, as by `kill -9`, before the store number `n` from now (0: the next).
    pub fn arm(n: u32) {
        LEFT.store(i64::from(n), Ordering::Relaxed);
    }

    /// Takes [`arm`] back; whether it had still to come.
    pub fn disarm() -> bool {
        LEFT.swap(-1, Ordering::Relaxed) >= 0
    }

    /// Called before each store.
    #[inline]
    pub fn step() {
        let left = LEFT.load(Ordering::Relaxed);
        if left < 0 {
            return;
        }
        LEFT.store(left - 1, Ordering::Relaxed);
        if left == 0 {
            // SAFETY: plain system calls; SIGKILL to oneself does not return.
            unsafe {
                libc::kill(libc::getpid(), libc::SIGKILL);
                libc::pause();
            }
        }
    }
}
