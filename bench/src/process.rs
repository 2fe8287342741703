//! What processes cost, from /proc.

use std::fs;

/// The children of a process.
pub fn children(parent: u32) -> Vec<u32> {
    let mut found: Vec<u32> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            parent_of(&stat) == Some(parent)
        })
        .collect();
    found.sort_unstable();
    found
}

/// The parent in a `stat` line of a process that lives.
fn parent_of(stat: &str) -> Option<u32> {
    // The name in parentheses may hold anything.
    let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace();
    match fields.next()? {
        "Z" | "X" => None,
        _ => fields.next()?.parse().ok(),
    }
}

/// Nanoseconds that all threads of a process have run, the kernel's work for them included.
pub fn cpu(pid: u32) -> u64 {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return 0;
    };
    tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|line| line.split(' ').next()?.parse::<u64>().ok())
        .sum()
}

/// The proportional share of a process's memory, in bytes: a shared page counts once over all that
/// have it.
pub fn pss(pid: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    kilobytes(&rollup, "Pss").unwrap_or(0)
}

/// The bytes of a `Name:   12 kB` line.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let number: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(number * 1024)
}

/// What the kernel itself holds, in bytes: slabs, and the pages of socket buffers.
pub fn kernel_memory() -> u64 {
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let sockets = fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
    kilobytes(&memory, "Slab").unwrap_or(0) + socket_pages(&sockets).unwrap_or(0) * 4096
}

fn socket_pages(sockstat: &str) -> Option<u64> {
    let line = sockstat.lines().find(|line| line.starts_with("TCP:"))?;
    let mut words = line.split_whitespace().skip_while(|word| *word != "mem");
    words.nth(1)?.parse().ok()
}

/// Memory that could still be had, in bytes.
pub fn available_memory() -> u64 {
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    kilobytes(&memory, "MemAvailable").unwrap_or(0)
}

/// Sends a signal.
pub fn signal(pid: u32, signal: i32) {
    if let Ok(pid) = i32::try_from(pid) {
        // SAFETY: kill takes two integers and touches no memory of ours.
        unsafe { libc::kill(pid, signal) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_proc_are_read() {
        assert_eq!(parent_of("12 (a) b) S 7 12 12"), Some(7));
        assert_eq!(parent_of("12 (a) Z 7 12 12"), None);
        let rollup = "Rss:   9 kB\nPss:                1234 kB\nPss_Dirty: 1 kB\n";
        assert_eq!(kilobytes(rollup, "Pss"), Some(1234 * 1024));
        let sockstat = "sockets: used 9\nTCP: inuse 1 orphan 0 tw 0 alloc 4 mem 17\nUDP: mem 3\n";
        assert_eq!(socket_pages(sockstat), Some(17));
    }

    #[test]
    fn this_process_has_run_and_has_memory() {
        let own = std::process::id();
        assert!(cpu(own) > 0);
        assert!(pss(own) > 0);
    }
}
