//! Long histories whose messages have ended: what is left is found in few steps.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use common::{NOW, World, limits};
use icomet_engine::{Authority, Limits, Page, Publication, Request, Stay, WakeSet};

const MANY: u64 = 200_000;

fn roomy() -> Limits {
    Limits {
        channel_buffer_size: 1_000_000,
        channel_timeout: 10_000_000,
        ..limits()
    }
}

fn publish(world: &World, content: &[u8], ttl: Option<u64>) {
    let publication = Publication {
        ttl,
        ..Publication::from(content)
    };
    let mut wake = WakeSet::default();
    world
        .zone
        .publish(b"a", publication, &roomy(), NOW, &mut wake)
        .unwrap();
}

fn history(world: &World, max: usize, reverse: bool, now: u64) -> Vec<(u64, Vec<u8>)> {
    let page = Page {
        name: b"a",
        after: 0,
        max,
        reverse,
    };
    let reading = world.zone.reading(world.me);
    let mut found = Vec::new();
    reading.history(&page, &roomy(), now, &mut found).unwrap();
    let content = |m| reading.message(m).content.to_vec();
    found
        .into_iter()
        .map(|(seq, m)| (seq, content(m)))
        .collect()
}

/// Stores made under locks, as a measure of steps that needs no clock.
#[cfg(feature = "fault-injection")]
fn stores(work: impl FnOnce()) -> u32 {
    use icomet_engine::fault;
    const MOST: u32 = 1 << 30;
    fault::arm(MOST);
    work();
    MOST - fault::left()
}

/// A message, very many that end, another one, and as many again; with the times mixed if asked for.
fn world(mixed: bool) -> World {
    let world = World::new(64 << 20);
    publish(&world, b"first", None);
    for _ in 0..2 {
        for n in 0..MANY {
            let ttl = if mixed && n % 2 == 0 { 2000 } else { 1000 };
            publish(&world, b"x", Some(ttl));
        }
        publish(&world, b"between", None);
    }
    world
}

#[test]
fn what_is_left_is_found_on_every_way() {
    for mixed in [false, true] {
        let world = world(mixed);
        let last = 2 * MANY + 3;
        if mixed {
            history(&world, 9, false, NOW + 1500);
            world.check();
        }
        let left = vec![
            (1, b"first".to_vec()),
            (MANY + 2, b"between".to_vec()),
            (last, b"between".to_vec()),
        ];
        // After very many at once it is asked again.
        for _ in 0..20 {
            history(&world, 9, false, NOW + 3000);
        }
        assert_eq!(history(&world, 9, false, NOW + 3000), left);
        let back: Vec<_> = left.iter().rev().take(2).cloned().collect();
        assert_eq!(history(&world, 2, true, NOW + 3000), back);
        // A few are left to the wheel.
        assert!((3..=3 + 1024).contains(&world.zone.stats().messages));
        world.check();
        // A subscriber comes to the next one at once, and misses nothing.
        let request = Request {
            name: b"a",
            seq: 2,
            epoch: None,
            authority: Authority::Open,
            stay: Stay::Never,
            user: None,
        };
        let mut found = Vec::new();
        let reading = world.zone.reading(world.me);
        let subscribed = reading.subscribe(
            &request,
            &roomy(),
            NOW + 3000,
            &mut found,
            &mut WakeSet::default(),
        );
        let subscription = subscribed.unwrap();
        assert!(subscription.lost.is_none() && !subscription.told);
        assert_eq!(subscription.first, MANY + 2);
        assert_eq!(reading.message(found[0]).content, b"between");
        drop(reading);
        publish(&world, b"live", None);
        assert_eq!(history(&world, 1, true, NOW + 3000)[0].0, last + 1);
        world.check();
    }
}

#[test]
fn a_snapshot_takes_the_holes_along() {
    let world = world(false);
    for _ in 0..20 {
        history(&world, 9, false, NOW + 3000);
    }
    let snapshot = world.zone.snapshot();
    let channel = snapshot.channels().next().unwrap();
    assert_eq!(channel.messages, 2 * MANY + 3);
    let other = World::new(64 << 20);
    let limits = roomy();
    let restore = other.zone.restore(snapshot.identity(), &limits, NOW + 3000);
    let mut restore = restore.unwrap();
    restore.channel(&channel);
    for back in 0..channel.messages {
        restore.message(0, &snapshot.message(0, back).unwrap());
    }
    restore.finish();
    drop(snapshot);
    assert_eq!(history(&other, 9, false, NOW + 3000).len(), 3);
    assert_eq!(history(&other, 9, true, NOW + 3000).len(), 3);
    other.check();
}

#[test]
#[cfg(feature = "fault-injection")]
fn one_look_lets_a_bounded_number_go() {
    let world = world(false);
    let before = world.zone.stats().messages;
    let mut found = Vec::new();
    let steps = stores(|| {
        found = history(&world, 9, false, NOW + 3000);
    });
    assert_eq!(found[0].0, 1);
    let gone = before - world.zone.stats().messages;
    assert!((1..=70_000).contains(&gone), "{gone}");
    assert!(steps < 700_000, "{steps}");
    for _ in 0..20 {
        history(&world, 9, false, NOW + 3000);
    }
    // Now the walk itself stores next to nothing, however many holes there are.
    history(&world, 9, false, NOW + 3000);
    assert!(stores(|| drop(history(&world, 9, false, NOW + 3000))) < 1000);
}
