//! Looking at processes in /proc, and sending them signals.

use std::os::unix::fs::FileExt;
use std::time::Duration;
use std::{fs, io};

use anyhow::{Result, ensure};

/// The children of a process.
pub fn children(parent: i32) -> Vec<i32> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir("/proc") else {
        return found;
    };
    for entry in entries.flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        if parent_of(pid) == Some(parent) {
            found.push(pid);
        }
    }
    found
}

/// The parent of a process that lives (a zombie does not).
fn parent_of(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything.
    let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace();
    match fields.next()? {
        "Z" | "X" => None,
        _ => fields.next()?.parse().ok(),
    }
}

/// Whether a process stands still (SIGSTOP).
pub fn is_stopped(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rfind(')').and_then(|end| stat.get(end + 2..end + 3));
    state == Some("T")
}

/// The command line of a process, as it has set it.
pub fn title(pid: i32) -> String {
    let raw = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&raw)
        .trim_end_matches('\0')
        .replace('\0', " ")
}

/// The private memory of a process in bytes (`RssAnon`: the shared zone does not count).
pub fn private_memory(pid: i32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))?;
    line.trim()
        .strip_suffix(" kB")?
        .trim()
        .parse::<u64>()
        .ok()
        .map(|kilobytes| kilobytes * 1024)
}

/// The processor time that a process has used, all threads together.
pub fn processor_time(pid: i32) -> Option<Duration> {
    let mut clock = 0;
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: both calls get a pointer to a live variable of ours.
    let found = unsafe {
        libc::clock_getcpuclockid(pid, &raw mut clock) == 0
            && libc::clock_gettime(clock, &raw mut time) == 0
    };
    found.then(|| Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32))
}

/// How often a process was ready to run, and how long it waited for a processor then.
#[derive(Debug, Clone, Copy, Default)]
pub struct Waits {
    /// Nanoseconds.
    pub time: u64,
    /// How often.
    pub turns: u64,
}

impl Waits {
    /// The mean since then, in milliseconds.
    pub fn since(self, before: Waits) -> f64 {
        let turns = self.turns.saturating_sub(before.turns).max(1);
        self.time.saturating_sub(before.time) as f64 / turns as f64 / 1e6
    }
}

/// As the kernel counts them, if it does.
pub fn waits(pid: i32) -> Option<Waits> {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
    let mut fields = text.split_whitespace().skip(1);
    let (time, turns) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(Waits { time, turns })
}

/// Sends a signal; whether there was such a process.
pub fn signal(pid: i32, signal: i32) -> bool {
    // SAFETY: kill takes two integers and touches no memory of ours.
    unsafe { libc::kill(pid, signal) == 0 }
}

/// Whether a process that stands still holds a robust lock: the kernel knows where its list of them is,
/// which ends where it begins.
pub fn holds_lock(pid: i32) -> Result<bool> {
    let (mut head, mut length) = (0_usize, 0_usize);
    // SAFETY: the call fills in two variables of ours.
    let rc = unsafe {
        libc::syscall(
            libc::SYS_get_robust_list,
            pid,
            &raw mut head,
            &raw mut length,
        )
    };
    ensure!(rc == 0, "get_robust_list: {}", io::Error::last_os_error());
    let mut first = [0; size_of::<usize>()];
    let memory = fs::File::open(format!("/proc/{pid}/mem"))?;
    memory.read_exact_at(&mut first, head as u64)?;
    Ok(usize::from_ne_bytes(first) != head)
}

/// Processes that stand still until this is dropped.
#[derive(Debug)]
pub struct Stopped {
    /// Their numbers.
    pub pids: Vec<i32>,
}

impl Stopped {
    /// Stops them (SIGSTOP).
    pub fn new(pids: impl IntoIterator<Item = i32>) -> Result<Self> {
        let stopped = Self {
            pids: pids.into_iter().collect(),
        };
        for pid in &stopped.pids {
            ensure!(signal(*pid, libc::SIGSTOP), "no process {pid} to stop");
        }
        Ok(stopped)
    }

    /// Continues them.
    pub fn resume(&self) {
        for pid in &self.pids {
            signal(*pid, libc::SIGCONT);
        }
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.resume();
    }
}

/// The signal that carries orders to a module built for fault injection: `engine/src/fault.rs`.
pub fn orders() -> i32 {
    libc::SIGRTMIN() + 5
}

/// The order that takes an earlier one back.
pub const DISARM: i32 = -1;

/// The order to stop before the next store; less for later ones.
pub const STOP: i32 = -0x10000;

/// Sends a signal with a value; whether there was such a process.
pub fn signal_with(pid: i32, signal: i32, value: i32) -> bool {
    let value = libc::sigval {
        sival_ptr: std::ptr::without_provenance_mut(value.cast_unsigned() as usize),
    };
    // SAFETY: the value is an integer in the place of a pointer, and is not followed.
    unsafe { libc::sigqueue(pid, signal, value) == 0 }
}

/// Raises the limit of open files as far as it goes and answers it.
pub fn raise_open_files() -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: both calls get a pointer to a live rlimit of ours.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) != 0 {
            return 1024;
        }
        let before = limit.rlim_cur;
        limit.rlim_cur = limit.rlim_max.min(65_536).max(before);
        if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) != 0 {
            return before;
        }
    }
    limit.rlim_cur
}
