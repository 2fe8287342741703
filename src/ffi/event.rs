//! Timers and posted events of a worker, its clock, and its state of exit.

use core::ptr::{NonNull, addr_of, addr_of_mut};

use nginx_sys::{
    NGX_PROCESS_WORKER, ngx_current_msec, ngx_cycle_t, ngx_event_t, ngx_exiting, ngx_process,
    ngx_quit, ngx_terminate,
};

use super::shim;

/// The C signature of an event's handler.
pub type Handler = unsafe extern "C" fn(*mut ngx_event_t);

/// An event that lives as long as the worker's cycle.
#[derive(Clone, Copy)]
pub struct Event(NonNull<ngx_event_t>);

impl Event {
    /// Makes an event in the cycle's pool; `None` when memory is short.
    ///
    /// A cancelable event's timer does not keep a gracefully exiting worker alive.
    ///
    /// # Safety
    ///
    /// `cycle` is the cycle that the worker runs, and is not destroyed while the worker lives.
    pub unsafe fn create(
        cycle: *mut ngx_cycle_t,
        handler: Handler,
        cancelable: bool,
    ) -> Option<Event> {
        // SAFETY: the caller vouches for the cycle.
        let event =
            unsafe { shim::icomet_event_create(cycle, Some(handler), usize::from(cancelable)) };
        NonNull::new(event).map(Event)
    }

    /// Runs the handler after `delay` milliseconds, instead of at an earlier set time.
    pub fn set_timer(self, delay: u64) {
        // SAFETY: the event is valid by construction; the worker's thread owns its timers.
        unsafe { shim::icomet_timer_set(self.0.as_ptr(), delay as usize) }
    }

    /// The same to the millisecond: [`Event::set_timer`] leaves a timer that is set to much the same time,
    /// as nginx does.
    pub fn set_timer_exactly(self, delay: u64) {
        // SAFETY: as in set_timer.
        unsafe { shim::icomet_timer_set_exactly(self.0.as_ptr(), delay as usize) }
    }

    /// Whether the timer is set.
    pub fn has_timer(self) -> bool {
        // SAFETY: as in set_timer.
        unsafe { shim::icomet_timer_is_set(self.0.as_ptr()) != 0 }
    }

    /// Runs the handler at the end of this turn of the loop, after its I/O; posting twice is posting
    /// once. A handler that goes on later uses [`Event::post`]: posted so, it would run for ever. Only
    /// for what runs inside the loop: nginx may sleep before it comes to this queue.
    pub fn post_now(self) {
        // SAFETY: as in set_timer.
        unsafe { shim::icomet_post(self.0.as_ptr()) }
    }

    /// Runs the handler in the next turn of the loop; posting twice is posting once.
    pub fn post(self) {
        // SAFETY: as in set_timer.
        unsafe { shim::icomet_post_next(self.0.as_ptr()) }
    }
}

/// Milliseconds of a clock that never jumps and is one for all processes, as nginx last read it in
/// this turn of the loop (ngx_monotonic_time, ngx_times.c). A corrected time of day neither frees
/// channels early nor keeps noops back.
pub fn now() -> u64 {
    // SAFETY: nginx writes it from this thread alone.
    unsafe { addr_of!(ngx_current_msec).read() as u64 }
}

/// Has this worker end gracefully, as `nginx -s quit` does to all; `false` when this process is no worker
/// that a master would replace.
pub fn quit() -> bool {
    // SAFETY: plain variables: the one is set before a process begins, the other is what nginx's own handler
    // of SIGQUIT sets; the loop of a worker looks at it after each turn.
    unsafe {
        let is_worker = ngx_process as u32 == NGX_PROCESS_WORKER;
        if is_worker {
            addr_of_mut!(ngx_quit).write_volatile(1);
        }
        is_worker
    }
}

/// Has this worker end at once, as `nginx -s stop` does to all. Nothing but a worker may call it.
pub fn terminate() {
    // SAFETY: as above; nginx's own handler of SIGTERM sets it.
    unsafe { addr_of_mut!(ngx_terminate).write_volatile(1) }
}

/// Whether this worker was told to end at once.
pub fn terminating() -> bool {
    // SAFETY: a plain flag that signal handlers and this thread write.
    unsafe { addr_of!(ngx_terminate).read_volatile() != 0 }
}

/// Whether this worker ends: gracefully or not.
pub fn exiting() -> bool {
    // SAFETY: plain flags that signal handlers and this thread write.
    unsafe {
        addr_of!(ngx_exiting).read_volatile() != 0
            || addr_of!(ngx_quit).read_volatile() != 0
            || addr_of!(ngx_terminate).read_volatile() != 0
    }
}
