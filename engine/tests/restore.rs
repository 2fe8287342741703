//! A worker dies at any store of what it does; what was acknowledged before is in the snapshot.

#![cfg(feature = "fault-injection")]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use common::{Ended, NOW, World, fork, limits, wait};
use icomet_engine::{Stay, StoredContent, WakeSet, Zone, fault};

/// Copies a zone as a state file would.
fn copy(from: &Zone, to: &Zone) {
    let snapshot = from.snapshot();
    let limits = limits();
    let mut restore = to.restore(snapshot.identity(), &limits, NOW).unwrap();
    for body in snapshot.broadcasts() {
        restore.broadcast(body.time, body.content);
    }
    let channels: Vec<_> = snapshot.channels().collect();
    for channel in &channels {
        restore.channel(channel);
    }
    for (number, channel) in channels.iter().enumerate() {
        for back in 0..channel.messages {
            let message = snapshot.message(number as u32, back).unwrap();
            assert!(!matches!(message.content, StoredContent::Own(b"")));
            restore.message(number as u32, &message);
        }
        assert!(snapshot.message(number as u32, channel.messages).is_none());
    }
    assert!(restore.finish().is_whole());
}

type Operation = fn(&World);

const OPERATIONS: [Operation; 6] = [
    |world| _ = world.publish("known", "new"),
    |world| _ = world.publish("fresh", "new"),
    |world| _ = world.publish("known", &"x".repeat(20_000)),
    |world| {
        let mut wake = WakeSet::default();
        let mut job = world.zone.broadcast(world.me, b"to all", NOW).unwrap();
        while !world
            .zone
            .broadcast_step(&mut job, 1, &limits(), NOW, &mut wake)
        {}
    },
    |world| {
        world
            .zone
            .close(b"other", &limits(), NOW, &mut WakeSet::default());
    },
    |world| {
        let subscribed = world.subscribe(world.me, "known", 0, Stay::Always);
        subscribed.unwrap();
    },
];

#[test]
fn a_snapshot_repairs_what_a_killed_worker_left() {
    let mut killed = 0;
    for operation in OPERATIONS {
        for store in 0.. {
            let world = World::new(1 << 20);
            for n in 1..=4 {
                world.publish("known", &format!("m{n}"));
                world.publish("other", &format!("m{n}"));
            }
            let child = fork(|| {
                fault::arm(store);
                operation(&world);
                fault::disarm();
            });
            let ended = wait(child);
            let copied = World::new(1 << 20);
            copy(&world.zone, &copied.zone);
            copied.check();
            world.check();
            assert_eq!(copied.zone.epoch(), world.zone.epoch());
            // The new message is in, or it is not; what was acknowledged is there in its order.
            let next = copied.zone.channel(b"known").unwrap().next_seq;
            assert!((5..=6).contains(&next), "next {next}");
            let seq = copied.zone.channel(b"known").unwrap().first_seq;
            let texts = copied
                .subscribe(copied.me, "known", seq, Stay::Never)
                .unwrap()
                .1;
            let old = texts.iter().take((5 - seq) as usize);
            let expected: Vec<_> = (seq..5).map(|n| format!("m{n}")).collect();
            assert_eq!(old.cloned().collect::<Vec<_>>(), expected);
            assert_eq!(texts.len() as u64, next - seq);
            if ended == Ended::Exit(0) {
                break;
            }
            assert_eq!(ended, Ended::Killed);
            killed += 1;
        }
    }
    assert!(killed > 100, "only {killed} were killed");
}
