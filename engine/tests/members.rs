//! Members: who is subscribed, on which channel, over all workers; and orders to end them.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeMap;

use common::{Ended, NOW, Random, World, fork, limits, wait};
use icomet_engine::{ChannelRef, PublishError, Stay, SubscribeError, WakeSet, WorkerId};

const SIZE: usize = 4 << 20;

fn join(world: &World, worker: WorkerId, name: &str, user: &str) -> ChannelRef {
    let subscribed = world.subscribe_as(worker, name, Some(user), 0, Stay::Always);
    subscribed.unwrap().0.channel.unwrap()
}

fn leave(world: &World, worker: WorkerId, channel: ChannelRef, user: &str) {
    let zone = &world.zone;
    zone.unsubscribe_user(worker, channel, user.as_bytes(), &limits(), NOW);
}

/// All members of a channel, taken in pages of that size, and the number of users told with each.
fn all(world: &World, name: &str, page: usize) -> (Vec<(String, u32)>, u32) {
    let mut listed = Vec::new();
    let mut cursor = None;
    loop {
        let members = world.zone.members(name.as_bytes(), cursor, page).unwrap();
        assert!(members.listed.len() <= page);
        listed.extend(
            members
                .listed
                .into_iter()
                .map(|member| (String::from_utf8(member.user).unwrap(), member.connections)),
        );
        cursor = members.cursor;
        if cursor.is_none() {
            listed.sort();
            return (listed, members.users);
        }
    }
}

fn pairs(of: &[(&str, u32)]) -> Vec<(String, u32)> {
    of.iter()
        .map(|(user, n)| ((*user).to_owned(), *n))
        .collect()
}

#[test]
fn a_user_of_several_workers_is_listed_once() {
    let world = World::new(SIZE);
    let other = world.worker();
    let channel = join(&world, world.me, "a", "ann");
    join(&world, world.me, "a", "ann");
    join(&world, other, "a", "ann");
    join(&world, other, "a", "bob");
    join(&world, other, "b", "ann");
    world.subscribe(world.me, "a", 0, Stay::Always).unwrap();
    for page in [1, 2, 100] {
        assert_eq!(
            all(&world, "a", page),
            (pairs(&[("ann", 3), ("bob", 1)]), 2)
        );
    }
    assert_eq!(world.zone.members(b"a", None, 9).unwrap().subscribers, 5);
    assert_eq!(world.zone.connections(b"a", b"ann"), Some(3));
    assert_eq!(world.zone.connections(b"a", b"nobody"), Some(0));
    assert_eq!(world.zone.connections(b"none", b"ann"), None);
    assert_eq!(world.zone.members(b"none", None, 9), None);
    assert_eq!(world.zone.verify().unwrap().members, 4);
    leave(&world, world.me, channel, "ann");
    leave(&world, world.me, channel, "ann");
    assert_eq!(all(&world, "a", 9), (pairs(&[("ann", 1), ("bob", 1)]), 2));
    leave(&world, other, channel, "ann");
    assert_eq!(all(&world, "a", 9), (pairs(&[("bob", 1)]), 1));
    world.check();
}

#[test]
fn nothing_is_kept_of_who_has_gone() {
    let world = World::new(SIZE);
    world.publish("a", "m");
    let kept = || {
        let report = world.zone.verify().unwrap();
        (report.members, report.used, report.limbo)
    };
    let before = kept();
    let channel = join(&world, world.me, "a", "ann");
    leave(&world, world.me, channel, "ann");
    assert_eq!(kept(), before);
    // Who does not stay is no member.
    let (subscription, _) = world
        .subscribe_as(world.me, "a", Some("ann"), 1, Stay::UnlessReady)
        .unwrap();
    assert_eq!(subscription.channel, None);
    assert_eq!(kept(), before);
}

#[test]
fn a_subscriber_without_a_user_costs_what_it_did() {
    let used = |user: Option<&str>| {
        let world = World::new(SIZE);
        for n in 0..100 {
            let name = format!("channel {n:08}");
            world
                .subscribe_as(world.me, &name, user, 0, Stay::Always)
                .unwrap();
        }
        world.zone.verify().unwrap().used
    };
    // One block for each channel, and nothing beside.
    assert_eq!(used(None), 100);
    assert_eq!(used(Some("ann")), 200);
}

#[test]
fn a_worker_that_ends_takes_its_members_along() {
    let world = World::new(SIZE);
    let channel = join(&world, world.me, "a", "ann");
    let child = fork(|| {
        let me = world.worker();
        for user in ["ann", "bob", "eve"] {
            join(&world, me, "a", user);
            join(&world, me, "b", user);
        }
        // SAFETY: a signal to this process.
        unsafe { libc::raise(libc::SIGKILL) };
    });
    assert_eq!(wait(child), Ended::Killed);
    assert_eq!(all(&world, "a", 9).1, 3);
    assert_eq!(world.reap(), 1);
    assert_eq!(all(&world, "a", 9), (pairs(&[("ann", 1)]), 1));
    assert_eq!(all(&world, "b", 9), (Vec::new(), 0));
    leave(&world, world.me, channel, "ann");
    let other = world.worker();
    join(&world, other, "a", "bob");
    world.zone.detach(other, &limits(), NOW);
    assert_eq!(world.zone.verify().unwrap().members, 0);
}

#[test]
fn a_member_that_is_passed_on_stays_one() {
    let world = World::new(SIZE);
    let (old, new) = (world.worker(), world.worker());
    let life = world.life("a", join(&world, old, "a", "ann"));
    join(&world, old, "a", "ann");
    join(&world, old, "a", "bob");
    for user in [b"ann".as_slice(), b"bob", b"ann"] {
        let passed = world.zone.pass_on(b"a", life, 1, Some(user), old, new);
        assert!(passed.is_some());
        assert_eq!(all(&world, "a", 9), (pairs(&[("ann", 2), ("bob", 1)]), 2));
        world.check();
    }
    world.zone.detach(old, &limits(), NOW);
    assert_eq!(all(&world, "a", 9), (pairs(&[("ann", 2), ("bob", 1)]), 2));
    world.zone.detach(new, &limits(), NOW);
    assert_eq!(all(&world, "a", 9), (Vec::new(), 0));
    world.check();
}

#[test]
fn members_of_a_channel_that_ends_leave_with_it() {
    let world = World::new(SIZE);
    let mut wake = WakeSet::default();
    for end in ["close", "disconnect"] {
        let channel = join(&world, world.me, "a", "ann");
        if end == "close" {
            world.zone.close(b"a", &limits(), NOW, &mut wake);
            assert_eq!(world.zone.members(b"a", None, 9), None);
        } else {
            let ended = world
                .zone
                .disconnect(b"a", false, &limits(), NOW, &mut wake);
            assert_eq!(ended, Ok(Some(1)));
            assert_eq!(all(&world, "a", 9), (Vec::new(), 0));
        }
        world.check();
        leave(&world, world.me, channel, "ann");
        let mut list = world.zone.take_dirty(world.me);
        while list.next(&world.zone).is_some() {}
        assert_eq!(world.zone.verify().unwrap().members, 0, "{end}");
    }
    world.zone.expire(&limits(), NOW + 60_000, 10, &mut wake);
    assert_eq!(world.zone.verify().unwrap().used, 0);
}

/// Whatever comes and goes, the zone knows what a plain map knows.
#[test]
fn members_are_what_a_map_says() {
    for seed in 1..6 {
        let world = World::new(SIZE);
        let workers = [world.me, world.worker(), world.worker()];
        let mut random = Random(seed);
        let mut held: Vec<(usize, ChannelRef, String)> = Vec::new();
        for step in 0..4000 {
            let grows = random.below(10) < if step / 500 % 2 == 0 { 7 } else { 3 };
            if grows || held.is_empty() {
                let worker = random.below(3) as usize;
                let user = format!("user {}", random.below(150));
                let channel = join(&world, workers[worker], "a", &user);
                held.push((worker, channel, user));
            } else {
                let one = held.swap_remove(random.below(held.len() as u64) as usize);
                let (worker, channel, user) = one;
                if random.below(8) == 0 {
                    let to = random.below(3) as usize;
                    let (from, next) = (workers[worker], workers[to]);
                    let life = world.life("a", channel);
                    let user_id = Some(user.as_bytes());
                    let passed = world.zone.pass_on(b"a", life, 1, user_id, from, next);
                    held.push((to, passed.unwrap(), user));
                } else {
                    leave(&world, workers[worker], channel, &user);
                }
            }
            if step % 100 == 0 {
                let mut expected = BTreeMap::<String, u32>::new();
                for (.., user) in &held {
                    *expected.entry(user.clone()).or_default() += 1;
                }
                let users = expected.len() as u32;
                let expected: Vec<_> = expected.into_iter().collect();
                let page = 1 + random.below(40) as usize;
                assert_eq!(all(&world, "a", page), (expected, users));
                // What only tells the way is less than what is there.
                let mut entries: Vec<_> = held.iter().map(|(w, _, u)| (*w, u)).collect();
                entries.sort();
                entries.dedup();
                let found = world.zone.verify().unwrap().members;
                assert!(found < 2 * entries.len().max(1) as u64, "{found}");
            }
        }
    }
}

#[test]
fn a_hundred_thousand_members_are_listed_page_by_page() {
    let world = World::new(64 << 20);
    for n in 0..100_000 {
        let limits = icomet_engine::Limits {
            max_subscribers_per_channel: 1_000_000,
            ..limits()
        };
        let user = format!("user {n}");
        let request = icomet_engine::Request {
            name: b"a",
            seq: 0,
            epoch: None,
            authority: icomet_engine::Authority::Open,
            stay: Stay::Always,
            user: Some(user.as_bytes()),
        };
        let reading = world.zone.reading(world.me);
        let mut wake = WakeSet::default();
        let subscribed = reading.subscribe(&request, &limits, NOW, &mut Vec::new(), &mut wake);
        subscribed.unwrap();
    }
    let (listed, users) = all(&world, "a", 1000);
    assert_eq!((listed.len(), users), (100_000, 100_000));
    assert!(listed.windows(2).all(|pair| pair[0].0 != pair[1].0));
    world.check();
}

#[test]
fn a_full_zone_refuses_members_and_stays_whole() {
    let world = World::new(1 << 20);
    let mut joined = 0;
    let refused = loop {
        let user = format!("{joined:0100}");
        let name = format!("c{}", joined / 900);
        match world.subscribe_as(world.me, &name, Some(&user), 0, Stay::Always) {
            Ok(_) => joined += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, SubscribeError::ZoneFull);
    assert!(joined > 1000, "{joined}");
    assert_eq!(world.zone.stats().subscribers, joined);
    assert_eq!(world.zone.verify().unwrap().members, joined);
}

#[test]
fn orders_reach_each_worker_once_and_in_order() {
    let world = World::new(SIZE);
    let other = world.worker();
    let mut wake = WakeSet::default();
    world
        .zone
        .order_end(b"ann", None, false, &mut wake)
        .unwrap();
    world
        .zone
        .order_end(b"bob", Some(b"a"), false, &mut wake)
        .unwrap();
    assert_eq!(wake.iter().count(), 2);
    for worker in [world.me, other] {
        assert!(world.zone.has_orders(worker));
        let orders = world.zone.take_orders(worker);
        let told: Vec<_> = orders
            .iter()
            .map(|order| {
                (
                    order.number,
                    order.user.as_slice(),
                    order.channel.as_deref(),
                    order.stay_away,
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                (1, b"ann".as_slice(), None, false),
                (2, b"bob", Some(b"a".as_slice()), false)
            ]
        );
        assert!(!world.zone.has_orders(worker) && world.zone.take_orders(worker).is_empty());
    }
    assert_eq!(world.zone.orders(), 2);
    // A worker that comes later is told nothing of before; one that goes leaves nothing.
    let late = world.worker();
    assert!(!world.zone.has_orders(late));
    world.zone.order_end(b"eve", None, true, &mut wake).unwrap();
    world.zone.detach(late, &limits(), NOW);
    world.check();
    for worker in [world.me, other] {
        let orders = world.zone.take_orders(worker);
        let told: Vec<_> = orders.iter().map(|order| order.stay_away).collect();
        assert_eq!(told, [true]);
    }
    assert_eq!(world.zone.verify().unwrap().used, 0);
}

#[test]
fn orders_to_a_worker_that_hangs_do_not_fill_the_zone() {
    let world = World::new(SIZE);
    let mut given = 0;
    let refused = loop {
        match world
            .zone
            .order_end(b"ann", None, false, &mut WakeSet::default())
        {
            Ok(()) => given += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((given, refused), (4096, PublishError::ZoneFull));
    world.publish("a", "there is room");
    world.check();
    assert_eq!(world.zone.take_orders(world.me).len(), 4096);
    assert_eq!(world.zone.orders(), 4096);
}
