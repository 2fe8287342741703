//! Lines in nginx's error log.

use core::cell::Cell;
use core::ptr::addr_of;
use std::thread::LocalKey;

use icomet_engine::{ClientAddress, Stuck};
use icomet_websocket::rate::Rate;
use nginx_sys::{
    NGX_LOG_ALERT, NGX_LOG_EMERG, NGX_LOG_ERR, NGX_LOG_INFO, NGX_LOG_NOTICE, NGX_LOG_WARN,
    ngx_cycle, ngx_cycle_t, ngx_log_t,
};

use super::shim;

fn write(level: u32, err: i32, text: &str) {
    // SAFETY: the cycle's log is valid for the life of the process.
    unsafe { write_to(cycle_log(), level, err, text) }
}

/// # Safety
///
/// The log is null or valid.
unsafe fn write_to(log: *mut ngx_log_t, level: u32, err: i32, text: &str) {
    if log.is_null() {
        return;
    }
    // SAFETY: see the function; the text is passed with its length and only read.
    unsafe { shim::icomet_log(level as usize, log, err, text.as_ptr(), text.len()) }
}

/// How grave a line of a [`CycleLog`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// nginx cannot go on.
    Emerg,
    /// As [`error`].
    Error,
    /// As [`warn`].
    Warn,
    /// As [`notice`].
    Notice,
}

/// The log of a cycle that is about to run, or to end.
#[derive(Clone, Copy)]
pub struct CycleLog(*mut ngx_log_t);

impl CycleLog {
    /// # Safety
    ///
    /// nginx passed the cycle to a callback, and the result is used only during it.
    pub unsafe fn of(cycle: *mut ngx_cycle_t) -> CycleLog {
        // SAFETY: see the function.
        CycleLog(unsafe { (*cycle).log })
    }

    /// Writes a line.
    pub fn write(self, level: Level, text: &str) {
        let level = match level {
            Level::Emerg => NGX_LOG_EMERG,
            Level::Error => NGX_LOG_ERR,
            Level::Warn => NGX_LOG_WARN,
            Level::Notice => NGX_LOG_NOTICE,
        };
        // SAFETY: the cycle's log, which lives as long as the cycle.
        unsafe { write_to(self.0, level, 0, text) }
    }
}

/// The log of the running cycle; null before the first cycle exists.
pub fn cycle_log() -> *mut ngx_log_t {
    // SAFETY: nginx sets the global before it calls any module, and from this thread alone.
    unsafe {
        let cycle = *addr_of!(ngx_cycle);
        if cycle.is_null() {
            core::ptr::null_mut()
        } else {
            (*cycle).log
        }
    }
}

/// A fault of icomet's own that the operator should report.
pub fn alert(text: &str) {
    write(NGX_LOG_ALERT, 0, text);
}

/// Something failed and a client noticed it.
pub fn error(text: &str) {
    write(NGX_LOG_ERR, 0, text);
}

/// The same, with the operating system's error number.
pub fn os_error(text: &str, err: &std::io::Error) {
    write(NGX_LOG_ERR, err.raw_os_error().unwrap_or(0), text);
}

/// Says something at most once a second in each worker, however often it happens.
fn seldom(last: &'static LocalKey<Cell<u64>>, say: impl FnOnce()) {
    let now = super::event::now();
    if now.abs_diff(last.get()) >= 1000 {
        last.set(now);
        say();
    }
}

/// Another worker could not be woken.
pub fn cannot_wake(error: &std::io::Error) {
    thread_local! {
        static LAST: Cell<u64> = const { Cell::new(0) };
    }
    seldom(&LAST, || {
        os_error(
            "cannot wake another worker; it looks by itself within a second",
            error,
        );
    });
}

/// A client was refused because its address has as many subscribers as it may.
pub fn crowded(hub: &str, address: &ClientAddress, max: u32) {
    thread_local! {
        static LAST: Cell<u64> = const { Cell::new(0) };
    }
    seldom(&LAST, || {
        warn(&format!(
            "client {address} has {max} subscribers of hub \"{hub}\" already: more are refused \
             (max_subscribers_per_ip)"
        ));
    });
}

/// A hub has as many channels as it may.
pub fn too_many_channels(hub: &str, max: u64) {
    thread_local! {
        static LAST: Cell<u64> = const { Cell::new(0) };
    }
    seldom(&LAST, || {
        warn(&format!(
            "hub \"{hub}\" has {max} channels already: more are refused (max_channels)"
        ));
    });
}

/// Channels that never had a message take as much of a hub as they may, in percent.
pub fn too_many_empty(hub: &str, share: u32) {
    thread_local! {
        static LAST: Cell<u64> = const { Cell::new(0) };
    }
    seldom(&LAST, || {
        warn(&format!(
            "channels without a message take {share}% of hub \"{hub}\" already, and have subscribers: more \
             are refused (empty_channels)"
        ));
    });
}

/// A channel has as many subscribers as it may.
pub fn too_many_subscribers(hub: &str, channel: &str, max: u32) {
    thread_local! {
        static LAST: Cell<u64> = const { Cell::new(0) };
    }
    seldom(&LAST, || {
        warn(&format!(
            "channel \"{channel}\" of hub \"{hub}\" has {max} subscribers already: more are refused \
             (max_subscribers_per_channel)"
        ));
    });
}

/// A page of another origin was refused.
pub fn foreign_page(hub: &str) {
    thread_local! {
        static LAST: Cell<u64> = const { Cell::new(0) };
    }
    seldom(&LAST, || {
        warn(&format!(
            "a page of another origin asked hub \"{hub}\" for what it may not: it is refused \
             (allowed_origins)"
        ));
    });
}

/// Somebody asked for JSONP where there is none.
pub fn jsonp_is_off(hub: &str) {
    thread_local! {
        static LAST: Cell<u64> = const { Cell::new(0) };
    }
    seldom(&LAST, || {
        warn(&format!(
            "a client asked hub \"{hub}\" for JSONP, which is refused (jsonp off)"
        ));
    });
}

/// What a request published by the way was not published.
pub fn not_published(text: &str) {
    thread_local! {
        static LAST: Cell<u64> = const { Cell::new(0) };
    }
    seldom(&LAST, || error(text));
}

/// An id of a publish was forgotten early.
pub fn ids_crowded(hub: &str, max: u32) {
    thread_local! {
        static LAST: Cell<u64> = const { Cell::new(0) };
    }
    seldom(&LAST, || {
        warn(&format!(
            "hub \"{hub}\" remembers {max} ids of publishes already: the oldest are forgotten before \
             idempotency_window is over (max_idempotency_ids)"
        ));
    });
}

/// A worker does not give a lock back.
pub fn stuck(stuck: &Stuck) {
    let what = stuck.what;
    let whose = match stuck.pid {
        0 => "a process".to_owned(),
        pid => format!("process {pid}"),
    };
    if stuck.errno != 0 {
        return alert(&format!(
            "the lock of {what} is broken (errno {}): restart nginx",
            stuck.errno
        ));
    }
    error(&format!(
        "{whose} holds {what}, and does not go on (is it stopped?): what needs it is refused or put off"
    ));
}

/// A WebSocket's client sends more than it may.
pub fn too_fast(hub: &str, rate: Rate) {
    thread_local! {
        static LAST: Cell<u64> = const { Cell::new(0) };
    }
    seldom(&LAST, || {
        warn(&format!(
            "a WebSocket's client sends more than {} commands a second and {} at once to hub \"{hub}\": \
             it is read from more slowly (ws_rate)",
            rate.per_second(),
            rate.burst()
        ));
    });
}

/// Incomplete messages of WebSockets take too much memory.
pub fn inputs_full(most: usize) {
    thread_local! {
        static LAST: Cell<u64> = const { Cell::new(0) };
    }
    seldom(&LAST, || {
        warn(&format!(
            "incomplete messages of WebSockets take more than {most} bytes in this worker: the oldest \
             are closed with 1013"
        ));
    });
}

/// A hub's zone is full.
pub fn zone_full(hub: &str) {
    thread_local! {
        static LAST: Cell<u64> = const { Cell::new(0) };
    }
    let say = || {
        error(&format!(
            "the zone of hub \"{hub}\" is full: make it larger (zone), keep less (channel_buffer_size, \
         channel_timeout), or let old messages go (on_full evict)"
        ))
    };
    seldom(&LAST, say);
}

/// Something the operator should change.
pub fn warn(text: &str) {
    write(NGX_LOG_WARN, 0, text);
}

/// Something the operator may want to know.
pub fn notice(text: &str) {
    write(NGX_LOG_NOTICE, 0, text);
}

/// What a client did.
pub fn info(text: &str) {
    write(NGX_LOG_INFO, 0, text);
}
