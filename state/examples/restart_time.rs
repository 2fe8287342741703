//! How long a save and a load take, and how much memory of their own:
//! `cargo run --release -p icomet-state --example restart_time [CHANNELS [MESSAGES [BYTES [FOLDER]]]]`
//! (100,000 channels with 10 messages of 100 bytes, in a temporary folder; in one that is named a file
//! is left, for an nginx to read).

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

#[path = "../../engine/tests/common/mod.rs"]
mod common;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use common::{NOW, World};
use icomet_engine::{Limits, WakeSet};
use icomet_state::{Clocks, StateFile};

const ZONE: usize = 4 << 30;
const ROUNDS: usize = 5;

/// Memory of this process that is no shared zone, in bytes.
fn own_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
    kilobytes.unwrap().parse::<u64>().unwrap() << 10
}

/// CPU time that this process has used, in milliseconds.
fn cpu_time() -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: writes one timespec, which is ours.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut now) };
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |n: usize, default: usize| {
        arguments
            .get(n)
            .map_or(default, |text| text.parse().unwrap())
    };
    let (channels, messages, bytes) = (number(0, 100_000), number(1, 10), number(2, 100));
    let temporary = tempfile::tempdir().unwrap();
    let folder = arguments
        .get(3)
        .map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    let path = folder.join("restart_time.state");
    let limits = Limits {
        channel_buffer_size: messages as u32,
        ..common::limits()
    };
    let world = World::new(ZONE);
    let content = vec![b'x'; bytes];
    for message in 0..messages {
        for channel in 0..channels {
            // Of different lengths, as in life.
            let content = &content[..bytes - (message * 7 + channel) % (bytes / 2 + 1)];
            let name = format!("channel-{channel:08}");
            let published = world.zone.publish(
                name.as_bytes(),
                content,
                &limits,
                NOW,
                &mut WakeSet::default(),
            );
            published.unwrap();
        }
    }
    let stats = world.zone.stats();
    println!(
        "{} channels, {} messages, {} MB of the zone",
        stats.channels,
        stats.messages,
        (stats.pages - stats.pages_free) * 4096 / 1_000_000
    );
    let (mut saves, mut loads) = (Vec::new(), Vec::new());
    let (mut saving, mut loading) = (0, 0);
    for round in 0..ROUNDS {
        let before = own_memory();
        let (begun, cpu) = (Instant::now(), cpu_time());
        let file = StateFile::acquire(&path, Duration::ZERO).unwrap();
        let saved = file.save(&world.zone, Clocks::now(NOW)).unwrap();
        saves.push(begun.elapsed());
        saving += cpu_time() - cpu;
        let more = own_memory().saturating_sub(before);
        if round == 0 {
            println!(
                "file {} MB, save kept {} MB more than before",
                saved.bytes / 1_000_000,
                more / 1_000_000
            );
        }
        let fresh = World::new(ZONE);
        let (begun, cpu) = (Instant::now(), cpu_time());
        let file = StateFile::acquire(&path, Duration::ZERO).unwrap();
        let loaded = file.load(&fresh.zone, &limits, Clocks::now(NOW)).unwrap();
        file.mark_used().unwrap();
        loads.push(begun.elapsed());
        loading += cpu_time() - cpu;
        let restored = loaded.unwrap().restored;
        assert!(restored.is_whole());
        assert_eq!(restored.messages, stats.messages);
    }
    if arguments.len() > 3 {
        let file = StateFile::acquire(&path, Duration::ZERO).unwrap();
        file.save(&world.zone, Clocks::now(NOW)).unwrap();
        println!("{} is left for an nginx to read", path.display());
    }
    let rows = [("save", &mut saves, saving), ("load", &mut loads, loading)];
    for (what, times, cpu) in rows {
        times.sort();
        println!(
            "{what}: median {} ms, slowest {} ms of {ROUNDS}; CPU {} ms",
            times[ROUNDS / 2].as_millis(),
            times[ROUNDS - 1].as_millis(),
            cpu / ROUNDS as u64
        );
    }
}
