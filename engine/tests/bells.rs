//! Doorbells: who wakes whom, over forks, deaths and strangers.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::os::fd::AsFd;
use std::process;
use std::time::SystemTime;

use common::{Ended, Shared, fork, wait};
use icomet_engine::{Bell, Bells, WORKER_SLOTS, socket_name};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, SendFlags, SocketFlags, SocketType, bind, sendto, socket, socket_with,
};

const PATIENCE: Timespec = Timespec {
    tv_sec: 20,
    tv_nsec: 0,
};

/// A table, as a master makes it.
fn table() -> (Bells, Shared) {
    let memory = Shared::new(Bells::SIZE);
    // SAFETY: fresh shared memory that lives through the test.
    (unsafe { Bells::new(memory.base()) }, memory)
}

/// A number that no other test, or run of it, has for a name.
fn name(number: u64) -> u64 {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    (u64::from(process::id()) << 40 ^ now.as_nanos() as u64 & !0xffff) + number
}

fn is_rung(bell: &Bell, patience: &Timespec) -> bool {
    let mut fds = [PollFd::new(bell, PollFlags::IN)];
    poll(&mut fds, Some(patience)).unwrap() == 1
}

fn is_rung_now(bell: &Bell) -> bool {
    is_rung(bell, &Timespec::default())
}

/// So many files are open here.
fn files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn old_and_new_workers_wake_one_another_and_inherit_nothing() {
    let (bells, _memory) = table();
    let base = name(0);
    // Both begin after this fork of their master, in processes of their own.
    let worker = |slot: u16, other: u16| {
        fork(move || {
            let before = files();
            let bell = bells.open(slot, base + u64::from(slot)).unwrap();
            assert_eq!(files(), before + 1);
            loop {
                bell.ring(other).unwrap();
                if is_rung(
                    &bell,
                    &Timespec {
                        tv_sec: 0,
                        tv_nsec: 1_000_000,
                    },
                ) {
                    break;
                }
            }
            bell.answer();
            bell.ring(other).unwrap();
        })
    };
    let old = worker(1, 2);
    let new = worker(2, 1);
    assert_eq!(wait(old), Ended::Exit(0));
    assert_eq!(wait(new), Ended::Exit(0));
}

#[test]
fn rings_are_one_until_they_are_answered() {
    let (bells, _memory) = table();
    let ringer = bells.open(0, name(0)).unwrap();
    let rung = bells.open(511, name(1)).unwrap();
    for _ in 0..3 {
        assert!(!is_rung_now(&rung));
        for _ in 0..10_000 {
            ringer.ring(511).unwrap();
        }
        assert!(is_rung_now(&rung));
        assert!(!rung.answer());
    }
}

#[test]
fn one_that_stands_still_keeps_nobody_from_waking_others() {
    let (bells, _memory) = table();
    let ringer = bells.open(0, name(0)).unwrap();
    let still: Vec<_> = (1..WORKER_SLOTS as u16 - 1)
        .map(|slot| bells.open(slot, name(u64::from(slot))).unwrap())
        .collect();
    let awake = bells.open(511, name(511)).unwrap();
    for _ in 0..100 {
        for slot in 0..WORKER_SLOTS as u16 {
            ringer.ring(slot).unwrap();
        }
        assert!(is_rung(&awake, &PATIENCE));
        assert!(!awake.answer());
    }
    // Each has its ring still.
    assert!(still.iter().take(200).all(is_rung_now));
}

#[test]
fn a_killed_worker_is_rung_in_vain_and_its_successor_is_heard() {
    let (bells, _memory) = table();
    let base = name(0);
    let ringer = bells.open(0, base).unwrap();
    for life in 1..=20 {
        let child = fork(move || {
            let bell = bells.open(1, base + life).unwrap();
            bell.ring(0).unwrap();
            assert!(is_rung(&bell, &PATIENCE));
            // SAFETY: ends this process as the kernel would.
            unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
        });
        assert!(is_rung(&ringer, &PATIENCE));
        assert!(!ringer.answer());
        ringer.ring(1).unwrap();
        assert_eq!(wait(child), Ended::Killed);
        for _ in 0..10 {
            ringer.ring(1).unwrap();
        }
    }
    // In order: nobody knows the name any more.
    let bell = bells.open(1, base + 99).unwrap();
    ringer.ring(1).unwrap();
    assert!(is_rung_now(&bell));
    drop(bell);
    ringer.ring(1).unwrap();
}

#[test]
fn a_ringer_that_dies_on_the_way_is_forgotten_at_the_next_look() {
    let (bells, memory) = table();
    let ringer = bells.open(0, name(0)).unwrap();
    let rung = bells.open(1, name(1)).unwrap();
    ringer.ring(1).unwrap();
    // As if the ring itself had never been sent.
    assert!(!rung.answer());
    // SAFETY: the word of slot 1 that says that it was rung, in memory that lives through the test.
    let word = unsafe {
        &*memory
            .base()
            .as_ptr()
            .add(64 + 8)
            .cast::<std::sync::atomic::AtomicU32>()
    };
    assert_eq!(word.swap(1, std::sync::atomic::Ordering::SeqCst), 0);
    ringer.ring(1).unwrap();
    assert!(!is_rung_now(&rung));
    // What a worker does each second.
    assert!(!rung.answer());
    ringer.ring(1).unwrap();
    assert!(is_rung_now(&rung));
}

#[test]
fn a_stranger_wakes_in_vain_and_keeps_no_ring_back() {
    let (bells, _memory) = table();
    let known = name(1);
    let ringer = bells.open(0, name(0)).unwrap();
    let rung = bells.open(1, known).unwrap();
    let address = socket_name(known, "bell").unwrap();
    let stranger = socket_with(
        AddressFamily::UNIX,
        SocketType::DGRAM,
        SocketFlags::NONBLOCK,
        None,
    )
    .unwrap();
    let mut sent = 0;
    while sent < 100_000 && sendto(&stranger, &[7; 100], SendFlags::empty(), &address).is_ok() {
        sent += 1;
    }
    assert!(sent > 0);
    ringer.ring(1).unwrap();
    assert!(is_rung_now(&rung));
    let mut answers = 1;
    while rung.answer() {
        answers += 1;
    }
    assert!(answers <= sent / 64 + 2, "{answers} answers for {sent}");
    assert!(!is_rung_now(&rung));
    ringer.ring(1).unwrap();
    assert!(is_rung_now(&rung));
}

#[test]
fn a_name_that_is_taken_is_refused() {
    let (bells, _memory) = table();
    let taken = name(0);
    let squatter = socket(AddressFamily::UNIX, SocketType::DGRAM, None).unwrap();
    bind(squatter.as_fd(), &socket_name(taken, "bell").unwrap()).unwrap();
    bells.open(0, taken).unwrap_err();
}
