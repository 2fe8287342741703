//! Workers that die inside: before each single store of each operation, and at random under load.

#![cfg(feature = "fault-injection")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use common::{Ended, NOW, Random, World, fork, limits, wait};
use icomet_engine::{
    ChannelRef, ClientAddress, EnterError, Limits, OnFull, Once, Page, Publication, Published,
    Registry, ScanCursor, Stay, WORKER_SLOTS, WakeSet, WorkerId, fault,
};

/// One of two hundred addresses, so that some share a bucket.
fn address(n: u8) -> ClientAddress {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, n % 200)).into()
}

/// A publish whose id is remembered with three others at most.
fn publish_once(world: &World, name: &str, id: &str) -> Published {
    let once = Once {
        id: id.as_bytes(),
        window: 60_000,
        most: 4,
        client: false,
    };
    let publication = Publication {
        content: b"once",
        once: Some(once),
        ..Publication::default()
    };
    let published = world
        .zone
        .publish(name.as_bytes(), publication, &limits(), NOW, &mut wake());
    published.unwrap()
}

/// A message with all options, that ends after so many milliseconds.
fn publish_for(world: &World, name: &str, ttl: u64) {
    let publication = Publication {
        content: b"not for long",
        event: b"hurry",
        exclude: 7,
        ttl: Some(ttl),
        once: None,
    };
    world
        .zone
        .publish(name.as_bytes(), publication, &limits(), NOW, &mut wake())
        .unwrap();
}

fn enter(world: &World, worker: WorkerId, n: u8) -> Result<icomet_engine::Admission, EnterError> {
    world
        .zone
        .enter(worker, address(n), 100, &limits(), &mut wake())
}

/// Enough for entries with two children.
const USERS: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];

fn join(world: &World, worker: WorkerId, name: &str, user: &str) -> ChannelRef {
    let joined = world.subscribe_as(worker, name, Some(user), 0, Stay::Always);
    joined.unwrap().0.channel.unwrap()
}

fn leave(world: &World, worker: WorkerId, channel: ChannelRef, user: &str) {
    let zone = &world.zone;
    zone.unsubscribe_user(worker, channel, user.as_bytes(), &limits(), NOW);
}

/// A zone that has something of everything, so that operations have neighbours to disturb.
fn populated() -> (World, WorkerId) {
    let world = World::new(1 << 20);
    let other = world.worker();
    let mut wake = WakeSet::default();
    for n in 0..12 {
        for m in 0..=n {
            world.publish(&format!("c{n}"), &format!("message {m}"));
        }
    }
    for name in ["c2", "c3", "c3", "c4"] {
        publish_for(&world, name, 5000);
    }
    world.publish("c3", "behind those that end");
    for worker in [world.me, other] {
        world.subscribe(worker, "c3", 0, Stay::Always).unwrap();
        world.subscribe(worker, "c4", 0, Stay::Always).unwrap();
        for shard in 0..world.zone.shard_count() {
            world
                .zone
                .presence_log(worker, shard, &limits(), NOW)
                .unwrap();
        }
        for n in [1, 1, 2] {
            let _stays = enter(&world, worker, n).unwrap();
        }
        for user in USERS {
            join(&world, worker, "m", user);
        }
        world
            .zone
            .order_end(b"early", None, false, &mut wake)
            .unwrap();
    }
    for n in 0..3 {
        publish_once(&world, "c9", &format!("id {n}"));
    }
    let mut job = world.zone.broadcast(world.me, b"to all", NOW).unwrap();
    while !world
        .zone
        .broadcast_step(&mut job, 9, &limits(), NOW, &mut wake)
    {}
    world.zone.close(b"c4", &limits(), NOW, &mut wake);
    (world, other)
}

type Operation = fn(&World, WorkerId);

fn wake() -> WakeSet {
    WakeSet::default()
}

const OPERATIONS: [(&str, Operation); 38] = [
    ("publish to a known channel", |w, _| {
        _ = w.publish("c3", "new")
    }),
    ("publish to a full ring", |w, _| _ = w.publish("c9", "new")),
    ("publish that makes a channel", |w, _| {
        _ = w.publish("fresh", "new")
    }),
    ("publish of many pages", |w, _| {
        _ = w.publish("c5", &"x".repeat(20_000))
    }),
    ("publish with options", |w, _| {
        for name in ["c3", "c9", "fresh"] {
            publish_for(w, name, 3000);
        }
    }),
    ("publish that makes a ttl due sooner", |w, _| {
        let limits = Limits {
            message_ttl: 1000,
            ..limits()
        };
        for name in ["c1", "c3"] {
            w.zone
                .publish(name.as_bytes(), b"short", &limits, NOW, &mut wake())
                .unwrap();
        }
    }),
    ("expiry of messages", |w, _| {
        w.zone.expire(&limits(), NOW + 7000, 1000, &mut wake());
    }),
    ("messages that a ttl keeps no longer", |w, me| {
        let limits = Limits {
            message_ttl: 1,
            ..limits()
        };
        w.publish("c9", "a broadcast is among them");
        let (subscription, _) = w.subscribe(me, "c9", 0, Stay::Always).unwrap();
        let channel = subscription.channel.unwrap();
        let reading = w.zone.reading(me);
        let window = reading.window(channel, 1, 8, &limits, NOW + 1, &mut Vec::new());
        assert_eq!(window.first, window.next);
    }),
    ("publish that grows a ring", |w, _| {
        let limits = Limits {
            channel_buffer_size: 100,
            ..limits()
        };
        for _ in 0..6 {
            w.zone
                .publish(b"c2", b"more", &limits, NOW, &mut wake())
                .unwrap();
        }
    }),
    ("publish once", |w, _| _ = publish_once(w, "c3", "fresh id")),
    ("publish once that makes a channel, and again", |w, _| {
        for _ in 0..2 {
            publish_once(w, "fresh", "id");
        }
    }),
    ("ids that are forgotten", |w, _| {
        for n in 0..8 {
            publish_once(w, "c9", &format!("more {n}"));
        }
    }),
    ("disconnect", |w, _| {
        let ended = w.zone.disconnect(b"c3", false, &limits(), NOW, &mut wake());
        assert_eq!(ended, Ok(Some(2)));
    }),
    ("revoke", |w, _| {
        w.zone
            .sign(b"c1", 5000, [3; 16], &limits(), NOW, &mut wake())
            .unwrap();
        assert_eq!(w.zone.revoke(b"c1"), Ok(Some(true)));
    }),
    ("sign", |w, _| {
        w.zone
            .sign(b"signed", 5000, [3; 16], &limits(), NOW, &mut wake())
            .unwrap();
        w.zone
            .sign(b"c1", 5000, [3; 16], &limits(), NOW, &mut wake())
            .unwrap();
    }),
    ("pass a subscriber on", |w, me| {
        let from = w.worker();
        w.subscribe(from, "c3", 0, Stay::Always).unwrap();
        let (subscription, _) = w.subscribe(from, "c3", 0, Stay::Always).unwrap();
        let life = w.life("c3", subscription.channel.unwrap());
        for _ in 0..2 {
            w.zone
                .pass_on(b"c3", life, subscription.next, None, from, me)
                .unwrap();
        }
    }),
    ("subscribe", |w, me| {
        drop(w.subscribe(me, "c3", 0, Stay::Always))
    }),
    ("subscribe that makes a channel", |w, me| {
        drop(w.subscribe(me, "late", 0, Stay::Always))
    }),
    ("subscribe and unsubscribe", |w, me| {
        for name in ["c3", "c7", "late"] {
            let (subscription, _) = w.subscribe(me, name, 0, Stay::Always).unwrap();
            w.zone
                .unsubscribe(me, subscription.channel.unwrap(), 1, &limits(), NOW);
        }
    }),
    ("empty channels that come and go", |w, me| {
        let (subscription, _) = w.subscribe(me, "e0", 0, Stay::Always).unwrap();
        for name in ["e1", "e2", "e1", "e0"] {
            w.subscribe(me, name, 0, Stay::Never).unwrap();
        }
        w.publish("e1", "its first");
        w.zone
            .unsubscribe(me, subscription.channel.unwrap(), 1, &limits(), NOW);
        w.zone
            .sign(b"e2", 5000, [3; 16], &limits(), NOW, &mut wake())
            .unwrap();
    }),
    ("empty channels that are let go", |w, me| {
        for name in ["e0", "e1", "e2"] {
            w.subscribe(me, name, 0, Stay::Never).unwrap();
        }
        let limits = Limits {
            max_channels: w.zone.stats().channels - 1,
            ..limits()
        };
        w.zone
            .publish(b"instead", b"x", &limits, NOW, &mut wake())
            .unwrap();
    }),
    ("users that come and go", |w, me| {
        for user in ["z", "a", "m", "a"] {
            join(w, me, "m", user);
        }
        let channel = join(w, me, "new", "a");
        leave(w, me, channel, "a");
        let channel = join(w, me, "m", "y");
        for user in ["a", "z", "y", "m", "a"] {
            leave(w, me, channel, user);
        }
    }),
    ("a worker with users detaches", |w, me| {
        for user in USERS {
            join(w, me, "m", user);
            join(w, me, "c3", user);
        }
        w.zone.detach(me, &limits(), NOW);
    }),
    ("pass users on", |w, me| {
        let from = w.worker();
        let channel = USERS.map(|user| join(w, from, "m", user))[0];
        let life = w.life("m", channel);
        for user in USERS.into_iter().rev() {
            let user = Some(user.as_bytes());
            w.zone.pass_on(b"m", life, 1, user, from, me).unwrap();
        }
    }),
    ("another authority begins a channel again", |w, me| {
        drop(w.subscribe(me, "c3", 0, Stay::Always));
        for incarnation in [1, 1, 2] {
            w.zone
                .make(b"c3", incarnation, &limits(), NOW, &mut wake())
                .unwrap();
        }
    }),
    ("close with users", |w, me| {
        let channel = join(w, me, "m", "a");
        w.zone.close(b"m", &limits(), NOW, &mut wake());
        leave(w, me, channel, "a");
    }),
    ("orders", |w, me| {
        w.zone
            .order_end(b"a", Some(b"m"), false, &mut wake())
            .unwrap();
        w.zone.order_end(b"b", None, false, &mut wake()).unwrap();
        w.zone.take_orders(me);
        w.zone.order_end(b"c", None, false, &mut wake()).unwrap();
    }),
    ("addresses that enter and leave", |w, me| {
        for n in [1, 1, 2, 3] {
            let admission = enter(w, me, n).unwrap();
            let _stays = enter(w, me, n + 1).unwrap();
            w.zone.leave(admission);
        }
    }),
    ("clear", |w, _| _ = w.zone.clear(b"c10")),
    ("close without subscribers", |w, _| {
        w.zone.close(b"c6", &limits(), NOW, &mut wake());
    }),
    ("close with subscribers", |w, _| {
        _ = w.zone.close(b"c3", &limits(), NOW, &mut wake())
    }),
    ("expiry of everything", |w, _| {
        w.zone.expire(&limits(), NOW + 60_000, 1000, &mut wake());
    }),
    ("broadcast", |w, me| {
        let mut job = w.zone.broadcast(me, b"again", NOW).unwrap();
        while !w
            .zone
            .broadcast_step(&mut job, 3, &limits(), NOW, &mut wake())
        {}
    }),
    ("walk of the dirty list", |w, me| {
        let (subscription, _) = w.subscribe(me, "c8", 0, Stay::Always).unwrap();
        w.publish("c8", "one");
        let mut list = w.zone.take_dirty(me);
        w.zone
            .unsubscribe(me, subscription.channel.unwrap(), 1, &limits(), NOW);
        while list.next(&w.zone).is_some() {}
    }),
    ("presence log", |w, me| {
        for shard in 0..w.zone.shard_count() {
            w.zone.presence_log(me, shard, &limits(), NOW).unwrap();
        }
        w.publish("told", "x");
    }),
    ("detach", |w, me| {
        w.subscribe(me, "c3", 0, Stay::Always).unwrap();
        w.zone.detach(me, &limits(), NOW);
    }),
    ("eviction", |w, _| {
        let limits = Limits {
            on_full: OnFull::Evict,
            ..limits()
        };
        let content = vec![b'x'; 60_000];
        for n in 0..24 {
            let name = format!("big {n}");
            let _ = w
                .zone
                .publish(name.as_bytes(), &content, &limits, NOW, &mut wake());
        }
    }),
    ("a list of names", |w, _| {
        let mut cursor = ScanCursor::default();
        while !w.zone.scan(&mut cursor, 3, &mut |_| {}) {}
    }),
];

/// What must hold after a death, and that everything still works.
fn check_after(world: &World, other: WorkerId, what: &str) {
    world.reap();
    if let Err(faults) = world.zone.verify() {
        panic!("{what}:\n{}", faults.join("\n"));
    }
    for (n, count) in [(1, 4), (2, 2), (3, 0)] {
        let counted = world.zone.subscribers_of(address(n));
        assert_eq!(counted, count, "{what}: subscribers of address {n}");
    }
    if let Some(members) = world.zone.members(b"m", None, 100) {
        assert_eq!(members.users, 7, "{what}: users");
        let all: Vec<_> = members.listed.iter().map(|m| m.connections).collect();
        assert_eq!(all, [2; 7], "{what}: the dead one's are taken off");
    }
    // Whatever was ordered before came to those who live.
    for worker in [world.me, other] {
        let orders = world.zone.take_orders(worker);
        let numbers: Vec<_> = orders.iter().map(|order| order.number).collect();
        let in_order = numbers.windows(2).all(|pair| pair[0] < pair[1]);
        assert!(
            numbers.starts_with(&[1, 2]) && in_order,
            "{what}: {numbers:?}"
        );
    }
    let workers = world.zone.workers();
    assert_eq!(workers.len(), 2, "{what}: {workers:?}");
    let told: u64 = workers.iter().map(|w| u64::from(w.subscribers)).sum();
    assert_eq!(told, world.zone.stats().subscribers, "{what}: {workers:?}");
    // Survivors are not deaf: each still hears of its channel.
    for worker in [world.me, other] {
        let mut list = world.zone.take_dirty(worker);
        while list.next(&world.zone).is_some() {}
        if world.zone.take_resync(worker) {
            let mut list = world.zone.take_dirty(worker);
            while list.next(&world.zone).is_some() {}
        }
        assert!(!world.zone.has_dirty(worker), "{what}");
    }
    let subscribers = world
        .zone
        .channel(b"c3")
        .map_or(0, |channel| channel.subscribers);
    let mut wake = WakeSet::default();
    world
        .zone
        .publish(b"c3", b"still here", &limits(), NOW, &mut wake)
        .unwrap();
    if subscribers > 0 {
        assert_eq!(subscribers, 2, "{what}: the dead one's are taken off");
        for worker in [world.me, other] {
            assert!(
                world.zone.take_dirty(worker).next(&world.zone).is_some(),
                "{what}: deaf"
            );
        }
    }
    world
        .zone
        .expire(&limits(), NOW + 120_000, 10_000, &mut wake);
    // Nobody asked for these, and what was to end has ended, also where there are subscribers.
    for name in ["c3", "c4"] {
        let page = Page {
            name: name.as_bytes(),
            after: 0,
            max: 100,
            reverse: false,
        };
        let reading = world.zone.reading(world.me);
        let mut found = Vec::new();
        reading.history(&page, &limits(), NOW, &mut found);
        let ended = |(_, m): &(u64, _)| reading.message(*m).content == b"not for long";
        assert!(!found.iter().any(ended), "{what}: a message did not end");
    }
    world.publish("after", "all is well");
    if let Err(faults) = world.zone.verify() {
        panic!("{what}, later:\n{}", faults.join("\n"));
    }
}

#[test]
fn a_death_before_any_store_leaves_a_whole_zone() {
    let mut deaths = 0;
    for (name, operation) in OPERATIONS {
        for n in 0.. {
            let (world, other) = populated();
            let child = fork(|| {
                let me = world.worker();
                fault::arm(n);
                operation(&world, me);
                fault::disarm();
            });
            match wait(child) {
                Ended::Killed => {
                    deaths += 1;
                    check_after(&world, other, &format!("{name}, killed before store {n}"));
                }
                Ended::Exit(code) => {
                    assert_eq!(code, 0, "{name}");
                    check_after(&world, other, name);
                    break;
                }
            }
            // Long operations repeat themselves: look at every store of the first few hundred.
            assert!(n < 20_000, "{name} does not end");
            if n > 400 && n % 7 != 0 {
                continue;
            }
        }
    }
    assert!(deaths > 1000, "{deaths}");
}

/// As a death, but what the process held is given back while it unwinds.
#[test]
fn a_panic_before_a_store_leaves_a_whole_zone() {
    for (name, operation) in OPERATIONS {
        let mut n = 0;
        loop {
            let (world, other) = populated();
            let child = fork(|| {
                std::panic::set_hook(Box::new(|_| ()));
                let me = world.worker();
                fault::arm_panic(n);
                operation(&world, me);
                fault::disarm();
            });
            let ended = wait(child);
            check_after(&world, other, &format!("{name}, panicked before store {n}"));
            match ended {
                Ended::Exit(0) => break,
                Ended::Exit(101) => {}
                ended => panic!("{name}, store {n}: {ended:?}"),
            }
            // Each of the first, then ever fewer.
            n += 1 + n / 30;
        }
    }
}

/// A publisher whose worker was killed sends again, and its message is there once, whenever that was.
#[test]
fn a_publish_is_done_once_whenever_its_worker_dies() {
    for (name, id) in [("c3", "retried"), ("new", "retried"), ("c9", "id 1")] {
        let (mut done, mut undone) = (0, 0);
        for n in 0.. {
            let (world, other) = populated();
            let next = |name: &str| {
                world
                    .zone
                    .channel(name.as_bytes())
                    .map_or(1, |c| c.next_seq)
            };
            let before = next(name);
            let child = fork(|| {
                world.worker();
                fault::arm(n);
                publish_once(&world, name, id);
                fault::disarm();
            });
            let ended = wait(child);
            // Another's message must not be taken for it.
            world.publish(name, "another's");
            let again = publish_once(&world, name, id);
            let is_known = id == "id 1";
            assert_eq!(
                next(name),
                before + if is_known { 1 } else { 2 },
                "{name}, killed before store {n}"
            );
            match (is_known, again.repeated) {
                (true, _) => assert!(again.repeated),
                (false, true) => {
                    done += 1;
                    assert_eq!(again.seq, before);
                }
                (false, false) => {
                    undone += 1;
                    assert_eq!(again.seq, before + 1);
                }
            }
            check_after(&world, other, &format!("{name}, killed before store {n}"));
            if ended != Ended::Killed {
                assert_eq!(ended, Ended::Exit(0));
                break;
            }
        }
        assert!(id == "id 1" || (done > 3 && undone > 10), "{done} {undone}");
    }
}

#[test]
fn a_death_inside_the_repair_is_repaired() {
    for n in (0..4000).step_by(37) {
        let (world, other) = populated();
        let first = fork(|| {
            world.worker();
            fault::arm(60);
            world.publish("c3", &"x".repeat(5000));
            for m in 0..100 {
                publish_once(&world, &format!("fresh {m}"), "new");
            }
        });
        assert_eq!(wait(first), Ended::Killed);
        let second = fork(|| {
            fault::arm(n);
            let _ = world.zone.verify();
            fault::disarm();
        });
        let ended = wait(second);
        check_after(&world, other, &format!("repair, killed before store {n}"));
        if ended != Ended::Killed {
            return;
        }
    }
}

#[test]
fn a_signal_names_the_store_before_which_a_process_dies() {
    let (world, other) = populated();
    let order = |value: i32| {
        let value = libc::sigval {
            sival_ptr: core::ptr::without_provenance_mut(value.cast_unsigned() as usize),
        };
        // SAFETY: a signal to this process, whose value is no pointer that is followed.
        unsafe { libc::sigqueue(libc::getpid(), fault::orders(), value) };
    };
    let child = fork(|| {
        fault::obey_signals();
        world.worker();
        order(0);
        order(fault::DISARM);
        world.publish("c3", "lives");
        order(fault::VERIFY);
        assert!(fault::take_verify() && !fault::take_verify());
        order(10);
        world.publish("c3", "never done");
    });
    assert_eq!(wait(child), Ended::Killed);
    check_after(&world, other, "killed by order");
}

/// What a child does until it is killed.
fn anything(world: &World, seed: u64) {
    let me = world.worker();
    let mut random = Random(seed | 1);
    let mut held = Vec::new();
    let mut entered = Vec::new();
    let mut joined: Vec<(ChannelRef, String)> = Vec::new();
    let limits = Limits {
        on_full: OnFull::Evict,
        channel_buffer_size: 8,
        message_ttl: random.below(2) * 2000,
        ..limits()
    };
    for tick in 0u64.. {
        let now = NOW + tick;
        let name = format!("c{}", random.below(40));
        match random.below(18) {
            0..=4 => {
                let len = 1 << random.below(14);
                let content = vec![b'a' + (len % 26) as u8; len as usize];
                let publication = Publication {
                    ttl: (random.below(3) == 0).then(|| random.below(3000)),
                    ..Publication::from(&content)
                };
                let published =
                    world
                        .zone
                        .publish(name.as_bytes(), publication, &limits, now, &mut wake());
                let _ = published;
            }
            5 | 6 => {
                if let Ok((subscription, _)) = world.subscribe(me, &name, 0, Stay::Always) {
                    held.extend(subscription.channel);
                }
            }
            7 | 8 if !held.is_empty() => {
                let channel = held.swap_remove(random.below(held.len() as u64) as usize);
                world.zone.unsubscribe(me, channel, 1, &limits, now);
            }
            9 => {
                let mut list = world.zone.take_dirty(me);
                while let Some(channel) = list.next(&world.zone) {
                    let reading = world.zone.reading(me);
                    let mut found = Vec::new();
                    reading.window(channel, 1, 8, &limits, now, &mut found);
                    for message in found {
                        let content = reading.message(message).content;
                        let torn = content.windows(2).any(|pair| pair[0] != pair[1]);
                        assert!(!torn, "a message that was freed while it was read");
                    }
                }
                world.zone.take_resync(me);
            }
            12 => entered.extend(enter(world, me, random.below(200) as u8)),
            13 if !entered.is_empty() => {
                world
                    .zone
                    .leave(entered.swap_remove(random.below(entered.len() as u64) as usize));
            }
            14 | 15 => {
                let user = format!("user {}", random.below(60));
                let subscribed = world.subscribe_as(me, &name, Some(&user), 0, Stay::Always);
                if let Ok((subscription, _)) = subscribed {
                    joined.push((subscription.channel.unwrap(), user));
                }
            }
            16 if !joined.is_empty() => {
                let (channel, user) =
                    joined.swap_remove(random.below(joined.len() as u64) as usize);
                leave(world, me, channel, &user);
            }
            17 => {
                let _ = world.zone.members(name.as_bytes(), None, 10);
                if random.below(4) == 0 {
                    let _ = world.zone.order_end(b"somebody", None, false, &mut wake());
                }
                world.zone.take_orders(me);
            }
            10 => {
                world
                    .zone
                    .expire(&limits, now + random.below(40_000), 10, &mut wake());
            }
            _ => {
                if random.below(8) == 0 {
                    world.zone.close(name.as_bytes(), &limits, now, &mut wake());
                } else if let Ok(mut job) = world.zone.broadcast(me, b"bbbbbbbb", now) {
                    while !world
                        .zone
                        .broadcast_step(&mut job, 10, &limits, now, &mut wake())
                    {
                    }
                }
            }
        }
    }
}

#[test]
fn a_thousand_random_deaths_leave_no_trace() {
    let world = World::new(4 << 20);
    let mut random = Random(42);
    let mut deaths = 0;
    let mut children: Vec<libc::pid_t> = Vec::new();
    for round in 0..250 {
        while children.len() < 4 {
            let seed = random.next();
            children.push(fork(|| anything(&world, seed)));
        }
        // Lets them run for a random while: how far they come is not asserted.
        std::thread::sleep(Duration::from_micros(500 + random.below(4000)));
        for _ in 0..4 {
            let child = children.swap_remove(random.below(children.len() as u64) as usize);
            // SAFETY: kills a child of ours.
            unsafe { libc::kill(child, libc::SIGKILL) };
            assert_eq!(wait(child), Ended::Killed, "a child ended by itself");
            deaths += 1;
        }
        world.reap();
        world.check();
        let stats = world.zone.stats();
        assert_eq!(stats.subscribers, 0, "round {round}: ghosts");
        assert_eq!(world.zone.workers().len(), 1, "round {round}: ghosts");
        let counted = world.zone.verify().unwrap().addresses;
        assert_eq!(counted, 0, "round {round}: addresses of ghosts");
        let members = world.zone.verify().unwrap().members;
        assert_eq!(members, 0, "round {round}: members of ghosts");
        world.zone.take_orders(world.me);
    }
    assert_eq!(deaths, 1000);
    world
        .zone
        .expire(&limits(), NOW + 10_000_000, 1_000_000, &mut wake());
    assert_eq!(world.zone.stats().channels, 0);
    world.check();
}

#[test]
fn slots_of_the_dead_are_claimed_again() {
    let memory = common::Shared::new(Registry::SIZE);
    // SAFETY: fresh shared memory that lives through the test.
    let registry = unsafe { Registry::format(memory.base()) }.unwrap();
    for _ in 0..3 {
        let children: Vec<_> = (0..8)
            .map(|_| {
                fork(|| {
                    registry.claim().unwrap();
                })
            })
            .collect();
        for child in children {
            assert_eq!(wait(child), Ended::Exit(0));
        }
    }
    let ids: Vec<_> = (0..WORKER_SLOTS)
        .map(|_| registry.claim().unwrap())
        .collect();
    assert!(registry.claim().is_err());
    assert!(ids.iter().any(|id| id.incarnation > 1));
    ids.into_iter().for_each(|id| registry.release(id));
}

/// A zone in which no two free pages stand side by side.
fn crumbled() -> (World, WorkerId) {
    let world = World::new(1 << 20);
    let other = world.worker();
    let roomy = Limits {
        channel_buffer_size: 1000,
        ..limits()
    };
    let publish = |name: &str| {
        world
            .zone
            .publish(name.as_bytes(), &[b'x'; 4000], &roomy, NOW, &mut wake())
    };
    while publish("stays").is_ok() && publish("goes").is_ok() {}
    world.zone.clear(b"goes");
    world.zone.expire(&roomy, NOW, 1000, &mut wake());
    world.subscribe(world.me, "stays", 0, Stay::Always).unwrap();
    (world, other)
}

#[test]
fn a_death_among_the_pieces_of_a_message_leaves_a_whole_zone() {
    let mut deaths = 0;
    for n in 0.. {
        let (world, other) = crumbled();
        let child = fork(|| {
            let me = world.worker();
            let one = Limits {
                channel_buffer_size: 1,
                ..limits()
            };
            fault::arm(n);
            for len in [9000, 6000] {
                let content = vec![b'p'; len];
                world
                    .zone
                    .publish(b"large", &content, &one, NOW, &mut wake())
                    .unwrap();
            }
            let content = vec![b'b'; 5000];
            let mut job = world.zone.broadcast(me, &content, NOW).unwrap();
            while !world
                .zone
                .broadcast_step(&mut job, 99, &one, NOW, &mut wake())
            {}
            world.zone.clear(b"large");
            world.zone.clear(b"stays");
            world.zone.expire(&limits(), NOW + 2000, 100, &mut wake());
            fault::disarm();
        });
        let ended = wait(child);
        world.reap();
        world.check();
        let content = vec![b'q'; 9000];
        world
            .zone
            .publish(b"later", &content, &limits(), NOW, &mut wake())
            .unwrap();
        let (_, texts) = world.subscribe(other, "later", 1, Stay::Never).unwrap();
        assert_eq!(texts[0].as_bytes(), content);
        world.check();
        match ended {
            Ended::Killed => deaths += 1,
            Ended::Exit(code) => {
                assert_eq!(code, 0, "it does what it is to do");
                break;
            }
        }
    }
    assert!(deaths > 200, "{deaths}");
}
