//! A worker that is stopped inside: others are refused, or put off, and when it goes on nothing is lost.

#![cfg(feature = "fault-injection")]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use common::{Ended, NOW, World, fork, limits, wait};
use icomet_engine::{
    ChannelRef, Limits, Page, PublishError, Reading, Stay, SubscribeError, WakeSet, Zone, fault,
    take_stuck,
};

const LARGE: usize = 20_000;

fn roomy() -> Limits {
    Limits {
        channel_buffer_size: 100,
        ..limits()
    }
}

fn publish(zone: &Zone, content: &[u8]) -> Result<u64, PublishError> {
    let mut wake = WakeSet::default();
    let published = zone.publish(b"a", content, &roomy(), NOW, &mut wake);
    published.map(|published| published.seq)
}

/// Waits until a child is stopped; `false`: it has ended.
fn is_stopped(child: libc::pid_t) -> bool {
    let mut status = 0;
    // SAFETY: waits for a child of ours, and leaves it to be waited for if it has ended.
    unsafe {
        let mut info: libc::siginfo_t = core::mem::zeroed();
        let id = child as libc::id_t;
        let flags = libc::WSTOPPED | libc::WEXITED | libc::WNOWAIT;
        assert_eq!(libc::waitid(libc::P_PID, id, &raw mut info, flags), 0);
        status += info.si_code;
    }
    status == libc::CLD_STOPPED
}

fn seen(reading: &Reading<'_>, channel: ChannelRef, from: &mut u64, got: &mut BTreeSet<u64>) {
    let mut found = Vec::new();
    let window = reading.window(channel, *from, 100, &roomy(), NOW, &mut found);
    assert_eq!(window.lost, 0);
    if !window.busy {
        got.extend(window.first..window.next);
        *from = window.next;
    }
}

/// What a worker is told of is seen by it; whether it was told anything.
fn walk(world: &World, channel: ChannelRef, from: &mut u64, got: &mut BTreeSet<u64>) {
    for _ in 0..4 {
        world.zone.settle(&roomy(), NOW);
        let resync = world.zone.take_resync(world.me);
        let mut list = world.zone.take_dirty(world.me);
        while let Some(dirty) = list.next(&world.zone) {
            if dirty == channel {
                seen(&world.zone.reading(world.me), channel, from, got);
            }
        }
        if resync {
            seen(&world.zone.reading(world.me), channel, from, got);
        }
    }
}

#[test]
fn who_is_stopped_inside_hangs_nobody_and_loses_nothing() {
    let (mut stops, mut refused, mut told) = (0, 0, 0);
    for n in (0..).step_by(7) {
        let world = World::new(1 << 20);
        let (subscription, _) = world.subscribe(world.me, "a", 0, Stay::Always).unwrap();
        let channel = subscription.channel.unwrap();
        let (leaver, _) = world
            .subscribe(world.me, "leaver", 0, Stay::Always)
            .unwrap();
        let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)).into();
        let mut wake = WakeSet::default();
        let admission = world
            .zone
            .enter(world.me, address, 9, &roomy(), &mut wake)
            .unwrap();
        let child = fork(|| {
            let me = world.worker();
            fault::arm_stop(n);
            for content in [&b"small"[..], &[b'x'; LARGE]] {
                publish(&world.zone, content).unwrap();
            }
            let mut wake = WakeSet::default();
            let mut job = world.zone.broadcast(me, b"to all", NOW).unwrap();
            while !world
                .zone
                .broadcast_step(&mut job, 99, &roomy(), NOW, &mut wake)
            {}
            world.zone.detach(me, &roomy(), NOW);
            fault::disarm();
        });
        if !is_stopped(child) {
            assert_eq!(wait(child), Ended::Exit(0));
            break;
        }
        stops += 1;
        // Others go on, or are told that they cannot.
        let mut taken = 0;
        for _ in 0..3 {
            match publish(&world.zone, &[b'y'; LARGE]) {
                Ok(_) => taken += 1,
                Err(error) => {
                    assert_eq!(error, PublishError::Busy);
                    refused += 1;
                    let stuck = take_stuck().unwrap();
                    told += usize::from(stuck.pid == child as u32);
                }
            }
        }
        let (mut from, mut got) = (1, BTreeSet::new());
        walk(&world, channel, &mut from, &mut got);
        match world.subscribe(world.me, "other", 0, Stay::Never) {
            Ok(_) | Err(SubscribeError::Busy) => {}
            Err(error) => panic!("{error}"),
        }
        let gone = leaver.channel.unwrap();
        world.zone.unsubscribe(world.me, gone, 1, &roomy(), NOW);
        world.zone.leave(admission);
        world
            .zone
            .expire(&roomy(), NOW + 2000, 1000, &mut WakeSet::default());
        world.reap();
        // It goes on, and everything is as if it had not been away.
        // SAFETY: a child of ours.
        unsafe { libc::kill(child, libc::SIGCONT) };
        assert_eq!(wait(child), Ended::Exit(0));
        world.reap();
        walk(&world, channel, &mut from, &mut got);
        let page = Page {
            name: b"a",
            after: 0,
            max: 100,
            reverse: false,
        };
        let reading = world.zone.reading(world.me);
        let mut found = Vec::new();
        let history = reading.history(&page, &roomy(), NOW, &mut found).unwrap();
        drop(reading);
        assert_eq!(history.next - 1, 3 + taken, "store {n}");
        assert_eq!(
            got,
            (1..history.next).collect(),
            "store {n}: a wake-up was lost"
        );
        assert_eq!(world.zone.channel(b"leaver").unwrap().subscribers, 0);
        assert_eq!(world.zone.subscribers_of(address), 0);
        assert_eq!(world.zone.stats().repairs, 0);
        world.check();
    }
    assert!(
        stops > 10 && refused > 10,
        "{stops} stops, {refused} refused"
    );
    assert!(told > 10, "the log says who it is: {told}");
}
