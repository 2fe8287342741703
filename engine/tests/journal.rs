//! What a thread's operations note of channels that come and go.

#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::{NOW, World, limits};
use icomet_engine::{HookCounts, WakeSet, journal};

const SIZE: usize = 4 << 20;

/// Name, online, and order of what was noted.
fn noted() -> Vec<(String, bool, u64)> {
    journal::take()
        .into_iter()
        .map(|change| {
            let name = String::from_utf8_lossy(&change.name).into_owned();
            (name, change.online, change.order)
        })
        .collect()
}

#[test]
fn each_coming_and_going_is_noted_once() {
    let world = World::new(SIZE);
    let mut wake = WakeSet::default();
    world.publish("before", "x");
    assert!(noted().is_empty(), "nobody had asked for it");
    journal::begin();
    world.publish("a", "x");
    world.publish("a", "y");
    world
        .zone
        .sign(b"b", 1000, [1; 16], &limits(), NOW, &mut wake)
        .unwrap();
    let came = noted();
    let names: Vec<_> = came
        .iter()
        .map(|(name, online, _)| (name.as_str(), *online))
        .collect();
    assert_eq!(names, [("a", true), ("b", true)]);
    world.zone.close(b"a", &limits(), NOW, &mut wake);
    world.publish("a", "z");
    let again = noted();
    let names: Vec<_> = again
        .iter()
        .map(|(name, online, _)| (name.as_str(), *online))
        .collect();
    assert_eq!(names, [("a", false), ("a", true)]);
    let orders: Vec<_> = came
        .iter()
        .chain(&again)
        .map(|(.., order)| *order)
        .collect();
    assert!(orders.is_sorted_by(|a, b| a < b), "{orders:?}");
    // Two timeouts on, those that are left expire.
    let late = NOW + 2 * limits().channel_timeout + 2000;
    while world.zone.expire(&limits(), late, 1000, &mut wake) > 0 {}
    let mut gone: Vec<_> = noted()
        .into_iter()
        .map(|(name, online, _)| (name, online))
        .collect();
    gone.sort();
    assert_eq!(
        gone,
        ["a", "b", "before"].map(|name| (name.to_owned(), false))
    );
    world.check();
}

#[test]
fn what_waits_for_a_back_end_goes_with_its_worker() {
    let world = World::new(SIZE);
    let other = world.worker();
    let counts = HookCounts {
        sent: 3,
        failed: 2,
        dropped: 1,
    };
    world.zone.count_hooks(world.me, counts, 5);
    world.zone.count_hooks(other, counts, 7);
    let stats = world.zone.stats();
    let twice = HookCounts {
        sent: 6,
        failed: 4,
        dropped: 2,
    };
    assert_eq!((stats.hooks, stats.hooks_queued), (twice, 12));
    world.zone.detach(other, &limits(), NOW);
    world.zone.count_hooks(other, HookCounts::default(), 9);
    let stats = world.zone.stats();
    assert_eq!((stats.hooks, stats.hooks_queued), (twice, 5));
}
