//! Fault injection: with the feature `fault-injection`, tests can have the process killed, stopped, or
//! panic before any store of a critical section. Without it nothing of this is compiled in.
//!
//! A process of its own (a worker of nginx) is told by a signal, once it has called [`obey_signals`]:
//! `sigqueue` with [`orders`] and a value of zero or more arms, [`DISARM`] takes that back, and
//! [`VERIFY`] asks for a check of the zones, which [`take_verify`] finds; values from [`STOP`] down ask for
//! a stop, those between [`PANIC`] and it for a panic.

/// Called before each store.
#[cfg(not(feature = "fault-injection"))]
#[inline(always)]
pub fn step() {}

#[cfg(feature = "fault-injection")]
pub use armed::{
    DISARM, PANIC, STOP, VERIFY, arm, arm_panic, arm_stop, disarm, left, obey_signals, orders,
    panic_as_asked, panic_at_last, step, take_verify,
};

#[cfg(feature = "fault-injection")]
mod armed {
    use core::sync::atomic::{AtomicBool, AtomicI64, Ordering};

    static LEFT: AtomicI64 = AtomicI64::new(-1);
    static STOPS: AtomicBool = AtomicBool::new(false);
    static PANICS: AtomicBool = AtomicBool::new(false);
    static TO_PANIC: AtomicI64 = AtomicI64::new(-1);
    static TO_VERIFY: AtomicBool = AtomicBool::new(false);

    /// The value of a signal that takes an earlier one back.
    pub const DISARM: i32 = -1;

    /// The value of a signal that asks for a check of the zones.
    pub const VERIFY: i32 = -2;

    /// A signal of this value, or `n` less, asks for a panic in the next housekeeping: before its store
    /// number `n`, or at its end.
    pub const PANIC: i32 = -16;

    /// A signal of this value, or `n` less, has the process stopped before its store number `n`.
    pub const STOP: i32 = -0x10000;

    /// The signal that carries orders; nginx uses none of the real-time ones.
    pub fn orders() -> i32 {
        libc::SIGRTMIN() + 5
    }

    /// Takes orders by signal from now on.
    pub fn obey_signals() {
        // SAFETY: the action is all zeroes but for what is set here; the handler touches atomics only.
        unsafe {
            let mut action: libc::sigaction = core::mem::zeroed();
            action.sa_sigaction = obey as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
            libc::sigaction(orders(), &raw const action, core::ptr::null_mut());
        }
    }

    extern "C" fn obey(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
        // SAFETY: the kernel passes the description of the signal, whose value sigqueue has set.
        let value = unsafe { (*info).si_value().sival_ptr } as usize as u32 as i32;
        match value {
            VERIFY => TO_VERIFY.store(true, Ordering::Relaxed),
            value if value <= STOP => {
                STOPS.store(true, Ordering::Relaxed);
                LEFT.store(i64::from(STOP) - i64::from(value), Ordering::Relaxed);
            }
            value if value <= PANIC => {
                TO_PANIC.store(i64::from(PANIC) - i64::from(value), Ordering::Relaxed);
            }
            DISARM => {
                TO_PANIC.store(-1, Ordering::Relaxed);
                PANICS.store(false, Ordering::Relaxed);
                STOPS.store(false, Ordering::Relaxed);
                LEFT.store(-1, Ordering::Relaxed);
            }
            value => LEFT.store(i64::from(value.max(-1)), Ordering::Relaxed),
        }
    }

    /// Whether a check of the zones was asked for since the last time.
    pub fn take_verify() -> bool {
        TO_VERIFY.swap(false, Ordering::Relaxed)
    }

    /// Begins what is to panic, if that was asked for since the last time.
    pub fn panic_as_asked() {
        let left = TO_PANIC.swap(-1, Ordering::Relaxed);
        if left >= 0 {
            PANICS.store(true, Ordering::Relaxed);
            LEFT.store(left, Ordering::Relaxed);
        }
    }

    /// Panics if that was to be done, and there were not as many stores.
    pub fn panic_at_last() {
        let asked = PANICS.swap(false, Ordering::Relaxed);
        if asked {
            LEFT.store(-1, Ordering::Relaxed);
        }
        assert!(!asked, "asked for at the end");
    }

    /// Kills this process, as by `kill -9`, before the store number `n` from now (0: the next).
    pub fn arm(n: u32) {
        LEFT.store(i64::from(n), Ordering::Relaxed);
    }

    /// Takes [`arm`] back; whether it had still to come.
    pub fn disarm() -> bool {
        STOPS.store(false, Ordering::Relaxed);
        LEFT.swap(-1, Ordering::Relaxed) >= 0
    }

    /// Panics before the store number `n` from now.
    pub fn arm_panic(n: u32) {
        PANICS.store(true, Ordering::Relaxed);
        arm(n);
    }

    /// Stops this process, as by `kill -STOP`, before the store number `n` from now.
    pub fn arm_stop(n: u32) {
        STOPS.store(true, Ordering::Relaxed);
        arm(n);
    }

    /// Stores that are left until [`arm`]'s.
    pub fn left() -> u32 {
        u32::try_from(LEFT.load(Ordering::Relaxed)).unwrap_or_default()
    }

    /// Called before each store.
    #[inline]
    pub fn step() {
        let left = LEFT.load(Ordering::Relaxed);
        if left < 0 {
            return;
        }
        LEFT.store(left - 1, Ordering::Relaxed);
        if left > 0 {
            return;
        }
        assert!(
            !PANICS.swap(false, Ordering::Relaxed),
            "asked for inside the engine"
        );
        let stops = STOPS.swap(false, Ordering::Relaxed);
        // SAFETY: plain system calls; SIGKILL to oneself does not return.
        unsafe {
            if stops {
                libc::kill(libc::getpid(), libc::SIGSTOP);
            } else {
                libc::kill(libc::getpid(), libc::SIGKILL);
                libc::pause();
            }
        }
    }
}
