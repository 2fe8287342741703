//! What each operation does, in one process.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{NOW, World, limits};
use icomet_engine::{
    Authority, Epoch, Kind, Limits, PublishError, Request, ScanCursor, Stay, SubscribeError,
    WakeSet, Zone, ZoneError,
};

const SIZE: usize = 4 << 20;

#[test]
fn a_first_message_has_seq_1_and_is_found_again() {
    let world = World::new(SIZE);
    assert_eq!(world.publish("a", "one"), 1);
    assert_eq!(world.publish("a", "two"), 2);
    let (subscription, texts) = world.subscribe(world.me, "a", 1, Stay::Never).unwrap();
    assert_eq!(texts, ["one", "two"]);
    assert_eq!(
        (subscription.first, subscription.next, subscription.told),
        (1, 3, false)
    );
    world.check();
}

#[test]
fn seq_0_or_beyond_is_told_the_next() {
    let world = World::new(SIZE);
    world.publish("a", "one");
    for seq in [0, 3, u64::MAX] {
        let (subscription, texts) = world.subscribe(world.me, "a", seq, Stay::Never).unwrap();
        assert!(subscription.told && texts.is_empty() && subscription.next == 2);
    }
    let (fresh, _) = world.subscribe(world.me, "new", 0, Stay::Never).unwrap();
    assert!(fresh.told && fresh.created && fresh.next == 1);
}

#[test]
fn what_left_the_buffer_is_counted_as_lost() {
    let world = World::new(SIZE);
    for n in 1..=10 {
        world.publish("a", &n.to_string());
    }
    let (subscription, texts) = world.subscribe(world.me, "a", 2, Stay::Never).unwrap();
    assert_eq!(texts, ["7", "8", "9", "10"]);
    let lost = subscription.lost.unwrap();
    assert_eq!((lost.count, lost.first), (Some(5), 7));
    world.check();
}

#[test]
fn another_epoch_is_lost_without_a_count() {
    let world = World::new(SIZE);
    world.publish("a", "one");
    let reading = world.zone.reading(world.me);
    let request = Request {
        name: b"a",
        seq: 77,
        epoch: Some(Epoch {
            zone: 1,
            incarnation: 1,
        }),
        authority: Authority::Open,
        stay: Stay::UnlessReady,
        user: None,
    };
    let mut found = Vec::new();
    let mut wake = WakeSet::default();
    let answer = reading
        .subscribe(&request, &limits(), NOW, &mut found, &mut wake)
        .unwrap();
    assert_eq!(
        answer.lost.map(|lost| (lost.count, lost.first)),
        Some((None, 1))
    );
    assert_eq!((found.len(), answer.told, answer.channel), (1, false, None));
}

#[test]
fn a_token_is_asked_for() {
    let world = World::new(SIZE);
    let mut wake = WakeSet::default();
    let signed = world
        .zone
        .sign(b"a", 1000, [0xab; 16], &limits(), NOW, &mut wake)
        .unwrap();
    let again = world
        .zone
        .sign(b"a", 1000, [0xcd; 16], &limits(), NOW, &mut wake)
        .unwrap();
    assert_eq!((signed.token, again.token), ([0xab; 16], [0xab; 16]));
    world.publish("unsigned", "x");
    let ask = |name: &[u8], token: &[u8]| {
        let reading = world.zone.reading(world.me);
        let authority = Authority::Token(token);
        let request = Request {
            name,
            seq: 0,
            epoch: None,
            authority,
            stay: Stay::Never,
            user: None,
        };
        reading
            .subscribe(
                &request,
                &limits(),
                NOW,
                &mut Vec::new(),
                &mut WakeSet::default(),
            )
            .map(|_| ())
    };
    let right = "ab".repeat(16);
    assert_eq!(ask(b"a", right.as_bytes()), Ok(()));
    assert_eq!(
        ask(b"a", &right.as_bytes()[..31]),
        Err(SubscribeError::WrongToken)
    );
    assert_eq!(
        ask(b"a", "ac".repeat(16).as_bytes()),
        Err(SubscribeError::WrongToken)
    );
    assert_eq!(ask(b"a", b""), Err(SubscribeError::WrongToken));
    assert_eq!(
        ask(b"unsigned", "00".repeat(16).as_bytes()),
        Err(SubscribeError::WrongToken)
    );
    assert_eq!(
        ask(b"nobody", right.as_bytes()),
        Err(SubscribeError::WrongToken)
    );
    assert_eq!(world.zone.revoke(b"nobody"), Ok(None));
    assert_eq!(world.zone.revoke(b"unsigned"), Ok(Some(false)));
    assert_eq!(world.zone.revoke(b"a"), Ok(Some(true)));
    assert_eq!(world.zone.revoke(b"a"), Ok(Some(false)));
    let wrong = Err(SubscribeError::WrongToken);
    assert_eq!(ask(b"a", right.as_bytes()), wrong);
    let anew = world
        .zone
        .sign(b"a", 1000, [0xcd; 16], &limits(), NOW, &mut wake)
        .unwrap();
    assert_eq!(anew.token, [0xcd; 16]);
    assert_eq!(ask(b"a", right.as_bytes()), wrong);
    assert_eq!(ask(b"a", "cd".repeat(16).as_bytes()), Ok(()));
    assert_eq!(world.zone.stats().channels, 2);
}

#[test]
fn limits_are_kept() {
    let world = World::new(SIZE);
    let few = Limits {
        max_channels: 2,
        max_subscribers_per_channel: 1,
        ..limits()
    };
    let mut wake = WakeSet::default();
    let publish = |name: &[u8], wake: &mut WakeSet| {
        world
            .zone
            .publish(name, b"x", &few, NOW, wake)
            .map(|p| p.seq)
    };
    assert_eq!(publish(b"a", &mut wake), Ok(1));
    assert_eq!(publish(b"b", &mut wake), Ok(1));
    assert_eq!(publish(b"c", &mut wake), Err(PublishError::TooManyChannels));
    let large = Limits {
        max_message_size: 3,
        ..limits()
    };
    let refused = world.zone.publish(b"a", b"1234", &large, NOW, &mut wake);
    assert_eq!(refused.map(|p| p.seq), Err(PublishError::MessageTooLarge));
    let request = Request {
        name: b"a",
        seq: 0,
        epoch: None,
        authority: Authority::Open,
        stay: Stay::Always,
        user: None,
    };
    let reading = world.zone.reading(world.me);
    let mut found = Vec::new();
    assert!(
        reading
            .subscribe(&request, &few, NOW, &mut found, &mut wake)
            .is_ok()
    );
    let second = reading.subscribe(&request, &few, NOW, &mut found, &mut wake);
    assert_eq!(second.map(|_| ()), Err(SubscribeError::TooManySubscribers));
    drop(reading);
    world.check();
}

#[test]
fn subscribers_are_woken_once_until_they_look() {
    let world = World::new(SIZE);
    let other = world.worker();
    let (subscription, _) = world.subscribe(other, "a", 0, Stay::Always).unwrap();
    let channel = subscription.channel.unwrap();
    let mut wake = WakeSet::default();
    for _ in 0..3 {
        world
            .zone
            .publish(b"a", b"x", &limits(), NOW, &mut wake)
            .unwrap();
    }
    assert_eq!(wake.iter().collect::<Vec<_>>(), [other.slot]);
    assert!(world.zone.has_dirty(other) && !world.zone.has_dirty(world.me));
    let mut list = world.zone.take_dirty(other);
    assert_eq!(
        (list.next(&world.zone), list.next(&world.zone)),
        (Some(channel), None)
    );
    let mut found = Vec::new();
    let reading = world.zone.reading(other);
    let window = reading.window(channel, 1, 2, &limits(), NOW, &mut found);
    assert_eq!((window.first, window.next, found.len()), (1, 4, 2));
    drop(reading);
    world.zone.unsubscribe(other, channel, 1, &limits(), NOW);
    world
        .zone
        .publish(b"a", b"x", &limits(), NOW, &mut wake)
        .unwrap();
    assert!(!world.zone.has_dirty(other));
    world.check();
}

#[test]
fn a_channel_expires_after_its_last_subscriber_and_is_told_to_listeners() {
    let world = World::new(SIZE);
    let mut wake = WakeSet::default();
    let logs: Vec<_> = (0..world.zone.shard_count())
        .map(|shard| {
            world
                .zone
                .presence_log(world.me, shard, &limits(), NOW)
                .unwrap()
        })
        .collect();
    let (subscription, _) = world.subscribe(world.me, "a", 0, Stay::Always).unwrap();
    let late = NOW + 10 * limits().channel_timeout;
    world.zone.expire(&limits(), late, 100, &mut wake);
    assert!(world.zone.channel(b"a").is_some());
    world
        .zone
        .unsubscribe(world.me, subscription.channel.unwrap(), 1, &limits(), late);
    let end = late + limits().channel_timeout;
    for now in (late..end).step_by(500) {
        world.zone.expire(&limits(), now, 100, &mut wake);
    }
    assert!(
        world.zone.channel(b"a").is_some(),
        "it lives for channel_timeout"
    );
    world.zone.expire(&limits(), end + 1000, 100, &mut wake);
    assert!(world.zone.channel(b"a").is_none());
    let reading = world.zone.reading(world.me);
    let mut events = Vec::new();
    for (log, next) in logs {
        let mut found = Vec::new();
        reading.window(log, next, 10, &limits(), NOW, &mut found);
        events.extend(found.into_iter().map(|m| {
            let event = reading.message(m);
            (event.kind, event.content.to_vec())
        }));
    }
    assert_eq!(
        events,
        [
            (Kind::Online, b"a".to_vec()),
            (Kind::Offline, b"a".to_vec())
        ]
    );
    drop(reading);
    world.check();
}

#[test]
fn a_signed_channel_lives_as_long_as_it_was_signed_for() {
    let world = World::new(SIZE);
    let mut wake = WakeSet::default();
    world
        .zone
        .sign(b"long", 3_600_000, [1; 16], &limits(), NOW, &mut wake)
        .unwrap();
    world
        .zone
        .sign(b"short", 3_600_000, [1; 16], &limits(), NOW, &mut wake)
        .unwrap();
    world
        .zone
        .sign(b"short", 2000, [1; 16], &limits(), NOW, &mut wake)
        .unwrap();
    for second in 1..=3500 {
        world
            .zone
            .expire(&limits(), NOW + second * 1000, 100, &mut wake);
        if second == 4 {
            assert!(world.zone.channel(b"short").is_none());
        }
    }
    assert!(world.zone.channel(b"long").is_some());
    for second in 3500..3700 {
        world
            .zone
            .expire(&limits(), NOW + second * 1000, 100, &mut wake);
    }
    assert!(world.zone.channel(b"long").is_none());
    world.check();
}

#[test]
fn close_frees_the_name_and_tells_subscribers() {
    let world = World::new(SIZE);
    let mut wake = WakeSet::default();
    world.publish("a", "one");
    let (subscription, _) = world.subscribe(world.me, "a", 2, Stay::Always).unwrap();
    let channel = subscription.channel.unwrap();
    assert_eq!(world.zone.close(b"a", &limits(), NOW, &mut wake), Some(2));
    assert_eq!(world.zone.close(b"a", &limits(), NOW, &mut wake), None);
    assert_eq!(world.publish("a", "anew"), 1);
    assert_eq!(
        world.zone.take_dirty(world.me).next(&world.zone),
        Some(channel)
    );
    let window =
        world
            .zone
            .reading(world.me)
            .window(channel, 2, 9, &limits(), NOW, &mut Vec::new());
    assert!(window.closed && window.next == 2);
    world.check();
    world.zone.unsubscribe(world.me, channel, 1, &limits(), NOW);
    world.check();
    assert_eq!(world.zone.stats().subscribers, 0);
}

#[test]
fn clear_keeps_the_seq() {
    let world = World::new(SIZE);
    world.publish("a", "one");
    assert_eq!(world.zone.clear(b"a"), Some(2));
    assert_eq!(world.zone.clear(b"b"), None);
    assert_eq!(
        world.zone.channel(b"a").map(|c| (c.first_seq, c.next_seq)),
        Some((2, 2))
    );
    assert_eq!(world.publish("a", "two"), 2);
    world.check();
}

#[test]
fn a_broadcast_reaches_each_channel_once_and_its_body_is_freed() {
    let world = World::new(SIZE);
    let mut wake = WakeSet::default();
    for n in 0..500 {
        world.publish(&format!("channel {n}"), "x");
    }
    let before = world.zone.stats().pages_free;
    let body = vec![b'b'; 100_000];
    let mut job = world.zone.broadcast(world.me, &body, NOW).unwrap();
    while !world
        .zone
        .broadcast_step(&mut job, 16, &limits(), NOW, &mut wake)
    {}
    assert_eq!((job.reached, job.missed), (500, 0));
    world.check();
    assert!(
        before - world.zone.stats().pages_free < 100,
        "the body stands once"
    );
    for n in 0..500 {
        let name = format!("channel {n}");
        let (_, texts) = world.subscribe(world.me, &name, 1, Stay::Never).unwrap();
        assert_eq!((texts.len(), texts[1].len()), (2, 100_000));
        world.zone.clear(name.as_bytes());
    }
    // Another one lets the commons look at its limbo.
    for _ in 0..3 {
        let mut job = world.zone.broadcast(world.me, b"small", NOW).unwrap();
        while !world
            .zone
            .broadcast_step(&mut job, 1000, &limits(), NOW, &mut wake)
        {}
    }
    let report = world.zone.verify().unwrap();
    assert!(report.limbo < 1200, "{report:?}");
    assert!(
        before.abs_diff(world.zone.stats().pages_free) < 20,
        "{:?}",
        world.zone.stats()
    );
}

#[test]
fn names_are_listed_once_each() {
    let world = World::new(SIZE);
    for n in 0..1000 {
        world.publish(&format!("n{n}"), "x");
    }
    let mut cursor = ScanCursor::default();
    let mut names = Vec::new();
    let mut slices = 0;
    loop {
        slices += 1;
        if world
            .zone
            .scan(&mut cursor, 50, &mut |name| names.push(name.to_vec()))
        {
            break;
        }
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 1000);
    assert!(slices > 5);
}

#[test]
fn buffers_follow_a_changed_limit() {
    let world = World::new(SIZE);
    let mut wake = WakeSet::default();
    for (size, expected) in [(1, 1), (3, 3), (50, 50), (7, 7), (2, 2)] {
        let limits = Limits {
            channel_buffer_size: size,
            ..limits()
        };
        for n in 0..60 {
            let text = format!("{n}");
            world
                .zone
                .publish(b"a", text.as_bytes(), &limits, NOW, &mut wake)
                .unwrap();
        }
        let (_, texts) = world.subscribe(world.me, "a", 1, Stay::Never).unwrap();
        assert_eq!(texts.len(), expected);
        assert_eq!(texts.last().map(String::as_str), Some("59"));
        world.check();
    }
}

#[test]
fn a_foreign_zone_is_refused() {
    let memory = common::Shared::new(SIZE);
    // SAFETY: fresh shared memory that lives through the test.
    unsafe {
        assert_eq!(
            Zone::open(memory.base(), SIZE).unwrap_err(),
            ZoneError::NoZone
        );
        let zone = Zone::format(memory.base(), SIZE, 9, [0; 16]).unwrap();
        assert_eq!(zone.epoch(), 9);
        assert!(Zone::open(memory.base(), SIZE).is_ok_and(|same| same.epoch() == 9));
        let half = Zone::open(memory.base(), SIZE / 2).unwrap_err();
        assert_eq!(half, ZoneError::OtherSize { found: SIZE as u64 });
        let small = Zone::format(memory.base(), 1000, 9, [0; 16]).unwrap_err();
        assert_eq!(small, ZoneError::TooSmall { size: 1000 });
        // The version stands behind the magic.
        memory.base().add(8).cast::<u32>().write(99);
        let other = Zone::open(memory.base(), SIZE).unwrap_err();
        assert_eq!(other, ZoneError::OtherVersion { found: 99 });
    }
}

/// Found by the fuzz target `engine`.
#[test]
fn a_worker_that_has_left_a_channel_gives_it_no_grace_when_it_goes() {
    let world = World::new(1 << 20);
    let other = world.worker();
    let (subscription, _) = world.subscribe(other, "a", 0, Stay::Always).unwrap();
    // The worker's record stays, because it is in a list that nobody has walked.
    world.publish("a", "x");
    let channel = subscription.channel.unwrap();
    world.zone.unsubscribe(other, channel, 1, &limits(), NOW);
    let mut wake = WakeSet::default();
    world
        .zone
        .sign(b"a", 1000, [1; 16], &limits(), NOW, &mut wake)
        .unwrap();
    world.zone.detach(other, &limits(), NOW);
    assert_eq!(world.zone.channel(b"a").unwrap().expires_at, NOW + 1000);
    world.check();
}
