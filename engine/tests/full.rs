//! A zone that is full, and how much goes into one.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{NOW, World, limits};
use icomet_engine::{Limits, OnFull, PublishError, Stay, WakeSet};

#[test]
fn a_full_zone_refuses_and_goes_on() {
    let world = World::new(1 << 20);
    let mut wake = WakeSet::default();
    let content = [b'x'; 1000];
    let publish = |n: usize, wake: &mut WakeSet| {
        let name = format!("channel {}", n % 400);
        world
            .zone
            .publish(name.as_bytes(), &content, &limits(), NOW, wake)
    };
    let taken = (0..100_000)
        .take_while(|n| publish(*n, &mut wake).is_ok())
        .count();
    assert!(taken > 300, "{taken}");
    world.check();
    assert_eq!(
        publish(taken, &mut wake).map(|_| ()),
        Err(PublishError::ZoneFull)
    );
    // What is there stays readable, and room that is made is used.
    let (_, texts) = world
        .subscribe(world.me, "channel 1", 1, Stay::Never)
        .unwrap();
    assert!(!texts.is_empty());
    for n in 0..400 {
        world.zone.clear(format!("channel {n}").as_bytes());
    }
    for n in 0..200 {
        publish(n, &mut wake).unwrap();
    }
    world.check();
}

#[test]
fn a_full_zone_can_evict() {
    let world = World::new(1 << 20);
    let mut wake = WakeSet::default();
    let evict = Limits {
        on_full: OnFull::Evict,
        channel_buffer_size: 100,
        ..limits()
    };
    let (kept, _) = world
        .subscribe(world.me, "listened", 0, Stay::Always)
        .unwrap();
    world.publish("listened", "first");
    for n in 0..20_000 {
        let content = vec![b'x'; 10 + n % 3000];
        let name = format!("channel {}", n % 300);
        world
            .zone
            .publish(name.as_bytes(), &content, &evict, NOW, &mut wake)
            .unwrap();
    }
    assert!(world.zone.stats().evictions > 0);
    let mut found = Vec::new();
    let reading = world.zone.reading(world.me);
    let window = reading.window(kept.channel.unwrap(), 1, 9, &limits(), NOW, &mut found);
    assert_eq!((window.lost, found.len()), (0, 1), "who listens loses last");
    drop(reading);
    world.check();
}

#[test]
fn a_million_idle_channels_fit_into_256_megabytes() {
    let world = World::new(256 << 20);
    let mut wake = WakeSet::default();
    for n in 0..1_000_000 {
        let name = format!("channel-{n:08}");
        assert_eq!(name.len(), 16);
        world
            .zone
            .sign(name.as_bytes(), 60_000, [1; 16], &limits(), NOW, &mut wake)
            .unwrap();
    }
    let stats = world.zone.stats();
    assert_eq!(stats.channels, 1_000_000);
    assert!(
        (stats.pages - stats.pages_free) * 4096 <= 142 << 20,
        "{stats:?}"
    );
}

#[test]
fn what_one_shard_let_go_serves_another() {
    let world = World::new(4 << 20);
    let mut wake = WakeSet::default();
    let roomy = Limits {
        channel_buffer_size: 1_000_000,
        ..limits()
    };
    let content = [b'x'; 200];
    while world
        .zone
        .publish(b"big", &content, &roomy, NOW, &mut wake)
        .is_ok()
    {}
    world.zone.clear(b"big");
    for n in 0..1000 {
        world.publish(&format!("channel {n}"), "x");
    }
    world.check();
}

/// Publishes to many channels, until the zone takes no more.
fn fill(world: &World, content: &[u8]) {
    let mut wake = WakeSet::default();
    let refused = (0..1_000_000).any(|n| {
        let name = format!("channel {}", n % 7000);
        world
            .zone
            .publish(name.as_bytes(), content, &limits(), NOW, &mut wake)
            .is_err()
    });
    assert!(refused);
}

#[test]
fn a_stopped_reader_does_not_let_everything_be_evicted() {
    let world = World::new(2 << 20);
    let mut wake = WakeSet::default();
    let evict = Limits {
        on_full: OnFull::Evict,
        ..limits()
    };
    let content = [b'x'; 300];
    let publish = |n: usize, limits: &Limits, wake: &mut WakeSet| {
        let name = format!("channel {n}");
        world
            .zone
            .publish(name.as_bytes(), &content, limits, NOW, wake)
    };
    let other = world.worker();
    fill(&world, &content);
    let buffered = world.zone.stats().messages;
    let stopped = world.zone.reading(other);
    for n in 0..20 {
        let _ = publish(n, &evict, &mut wake);
    }
    let left = world.zone.stats().messages;
    assert!(
        left > buffered / 3,
        "{left} of {buffered} messages are left"
    );
    drop(stopped);
    for n in 0..20 {
        publish(n, &evict, &mut wake).unwrap();
    }
    world.check();
}
