//! Readers beside publishers, in several processes: nothing is freed while it is read, no wake-up is
//! lost, every message comes once and in order.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{Ended, NOW, Random, World, fork, limits, wait};
use icomet_engine::{ChannelRef, Limits, Stay, WakeSet};

const MESSAGES: u64 = 30_000;

#[test]
fn a_message_does_not_change_while_it_is_read() {
    let world = World::new(2 << 20);
    let (subscription, _) = world.subscribe(world.me, "a", 0, Stay::Always).unwrap();
    let channel = subscription.channel.unwrap();
    let publishers: Vec<_> = (1..=2u64)
        .map(|seed| {
            fork(|| {
                world.worker();
                let mut random = Random(seed);
                for _ in 0..MESSAGES {
                    let content = vec![random.next() as u8; 40];
                    let mut wake = WakeSet::default();
                    // While the reader is off the processor, what it may be reading piles up.
                    while world
                        .zone
                        .publish(b"a", &content, &limits(), NOW, &mut wake)
                        .is_err()
                    {
                        std::thread::yield_now();
                    }
                }
            })
        })
        .collect();
    let mut looked = 0;
    let mut next = 0;
    while next < 2 * MESSAGES {
        let reading = world.zone.reading(world.me);
        let mut found = Vec::new();
        next = reading
            .window(channel, 1, 100, &limits(), NOW, &mut found)
            .next
            - 1;
        let before: Vec<_> = found
            .iter()
            .map(|m| reading.message(*m).content.to_vec())
            .collect();
        // The publishers go on while this reading lasts.
        for _ in 0..3 {
            std::thread::yield_now();
        }
        for (message, before) in found.into_iter().zip(before) {
            let after = reading.message(message).content;
            assert_eq!(after, before, "it changed");
            assert!(after.iter().all(|byte| *byte == after[0]), "it is torn");
            looked += 1;
        }
    }
    assert!(looked > 0);
    for publisher in publishers {
        assert_eq!(wait(publisher), Ended::Exit(0));
    }
    for _ in 0..20_000 {
        world.publish("a", "nobody reads now");
    }
    assert!(world.zone.verify().unwrap().limbo < 100, "limbo is emptied");
}

/// Waits as a worker does, but by looking: until its list has something.
fn next_dirty(world: &World, me: icomet_engine::WorkerId) -> Vec<ChannelRef> {
    while !world.zone.has_dirty(me) {
        std::thread::yield_now();
    }
    let mut list = world.zone.take_dirty(me);
    std::iter::from_fn(|| list.next(&world.zone)).collect()
}

#[test]
fn every_message_comes_once_and_in_order_to_every_worker() {
    const CHANNELS: u64 = 7;
    const EACH: u64 = 2000;
    let world = World::new(16 << 20);
    let roomy = Limits {
        channel_buffer_size: 2 * EACH as u32,
        ..limits()
    };
    let subscribers: Vec<_> = (0..3)
        .map(|_| {
            let (ready, told) = pipe();
            let child = fork(|| {
                let me = world.worker();
                let mut cursors: Vec<_> = (0..CHANNELS)
                    .map(|n| {
                        let name = format!("c{n}");
                        let (s, _) = world.subscribe(me, &name, 0, Stay::Always).unwrap();
                        (s.channel.unwrap(), s.next)
                    })
                    .collect();
                tell(told);
                let mut left = CHANNELS * EACH * 2;
                while left > 0 {
                    for dirty in next_dirty(&world, me) {
                        let cursor = cursors.iter_mut().find(|(c, _)| *c == dirty).unwrap();
                        let reading = world.zone.reading(me);
                        let mut found = Vec::new();
                        let window =
                            reading.window(dirty, cursor.1, usize::MAX, &limits(), NOW, &mut found);
                        assert_eq!((window.lost, window.first), (0, cursor.1));
                        cursor.1 += found.len() as u64;
                        assert_eq!(cursor.1, window.next);
                        left -= found.len() as u64;
                    }
                }
            });
            hear(ready);
            child
        })
        .collect();
    let publishers: Vec<_> = (0..2)
        .map(|_| {
            fork(|| {
                world.worker();
                for n in 0..CHANNELS * EACH {
                    let name = format!("c{}", n % CHANNELS);
                    let mut wake = WakeSet::default();
                    let content = n.to_le_bytes();
                    world
                        .zone
                        .publish(name.as_bytes(), &content, &roomy, NOW, &mut wake)
                        .unwrap();
                }
            })
        })
        .collect();
    for child in publishers.into_iter().chain(subscribers) {
        assert_eq!(wait(child), Ended::Exit(0));
    }
    world.reap();
    world.check();
    assert_eq!(world.zone.stats().subscribers, 0);
}

fn pipe() -> (i32, i32) {
    let mut ends = [0; 2];
    // SAFETY: writes two descriptors into a local.
    assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
    (ends[0], ends[1])
}

fn tell(end: i32) {
    // SAFETY: writes one byte of a local.
    unsafe { libc::write(end, [1u8].as_ptr().cast(), 1) };
}

fn hear(end: i32) {
    let mut byte = 0u8;
    // SAFETY: reads one byte into a local.
    unsafe { libc::read(end, (&raw mut byte).cast(), 1) };
}
