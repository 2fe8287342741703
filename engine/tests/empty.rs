//! Channels that never had a message: their share, and who goes first.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use common::{NOW, World, limits};
use icomet_engine::{
    Authority, Limits, Made, OnFull, PublishError, Request, Stay, SubscribeError, Subscription,
    WakeSet,
};

fn ask(
    world: &World,
    name: &str,
    stay: Stay,
    limits: &Limits,
) -> Result<Subscription, SubscribeError> {
    let request = Request {
        name: name.as_bytes(),
        seq: 0,
        epoch: None,
        authority: Authority::Open,
        stay,
        user: None,
    };
    let reading = world.zone.reading(world.me);
    reading.subscribe(
        &request,
        limits,
        NOW,
        &mut Vec::new(),
        &mut WakeSet::default(),
    )
}

fn publish(
    world: &World,
    name: &str,
    content: &[u8],
    limits: &Limits,
) -> Result<u64, PublishError> {
    let mut wake = WakeSet::default();
    let published = world
        .zone
        .publish(name.as_bytes(), content, limits, NOW, &mut wake);
    published.map(|published| published.seq)
}

fn is_there(world: &World, name: &str) -> bool {
    world.zone.channel(name.as_bytes()).is_some()
}

/// A name of 240 bytes.
fn long(n: usize) -> String {
    format!("{n:08}{}", "a".repeat(232))
}

#[test]
fn names_without_end_leave_room_for_publishes() {
    for on_full in [OnFull::Refuse, OnFull::Evict] {
        let world = World::new(4 << 20);
        let limits = Limits {
            on_full,
            channel_buffer_size: 50,
            ..limits()
        };
        for _ in 0..50 {
            publish(&world, "news", &[b'x'; 500], &limits).unwrap();
        }
        for n in 0..30_000 {
            ask(&world, &long(n), Stay::UnlessReady, &limits).unwrap();
            if n % 1000 == 0 {
                publish(&world, "news", b"on the way", &limits).unwrap();
                publish(&world, &format!("fresh {n}"), b"x", &limits).unwrap();
            }
        }
        let stats = world.zone.stats();
        assert!(stats.pages_free > stats.pages / 3, "{stats:?}");
        assert_eq!(stats.evictions, 0, "no message went");
        // The last ones that were asked for are there, the first are not.
        assert!(is_there(&world, &long(29_999)) && !is_there(&world, &long(0)));
        world.check();
    }
}

#[test]
fn the_oldest_without_subscribers_go_first() {
    let world = World::new(4 << 20);
    let limits = Limits {
        max_channels: 8,
        ..limits()
    };
    publish(&world, "with a message", b"x", &limits).unwrap();
    world.zone.clear(b"with a message");
    let kept = ask(&world, "listened to", Stay::Always, &limits).unwrap();
    for name in ["a", "b", "c"] {
        ask(&world, name, Stay::Never, &limits).unwrap();
    }
    // Asked for again, so "b" is the oldest now.
    ask(&world, "a", Stay::Never, &limits).unwrap();
    // Half of eight are there: one goes for each that comes.
    ask(&world, "d", Stay::Never, &limits).unwrap();
    assert!(is_there(&world, "a") && !is_there(&world, "b"));
    world.check();
    // A publish is no part of the share, and lets one go when there are max_channels.
    for n in 0..4 {
        publish(&world, &format!("p{n}"), b"x", &limits).unwrap();
    }
    assert!(!is_there(&world, "c") && is_there(&world, "a"));
    assert_eq!(world.zone.stats().channels, 8);
    // Its last subscriber leaves: now it is the newest.
    world
        .zone
        .unsubscribe(world.me, kept.channel.unwrap(), 1, &limits, NOW);
    for n in 4..6 {
        publish(&world, &format!("p{n}"), b"x", &limits).unwrap();
    }
    assert!(is_there(&world, "listened to") && !is_there(&world, "d"));
    publish(&world, "p6", b"x", &limits).unwrap();
    assert!(!is_there(&world, "listened to"));
    let answer = publish(&world, "one more", b"x", &limits);
    assert_eq!(answer, Err(PublishError::TooManyChannels));
    assert!(is_there(&world, "with a message"));
    assert_eq!(world.zone.stats().empty_channels, 0);
    world.check();
}

#[test]
fn those_with_subscribers_count_and_stay() {
    let world = World::new(4 << 20);
    let limits = Limits {
        max_channels: 8,
        ..limits()
    };
    for n in 0..4 {
        ask(&world, &format!("s{n}"), Stay::Always, &limits).unwrap();
    }
    let answer = ask(&world, "one more", Stay::Always, &limits);
    assert_eq!(answer, Err(SubscribeError::TooManyEmpty));
    // A first message makes an ordinary channel of one, and a token as well.
    publish(&world, "s0", b"x", &limits).unwrap();
    ask(&world, "one more", Stay::Always, &limits).unwrap();
    let mut wake = WakeSet::default();
    let signed = world
        .zone
        .sign(b"s1", 9000, [1; 16], &limits, NOW, &mut wake);
    assert_eq!(signed.map(|signed| signed.token), Ok([1; 16]));
    ask(&world, "two more", Stay::Always, &limits).unwrap();
    // A broadcast reaches all of them.
    let mut job = world.zone.broadcast(world.me, b"to all", NOW).unwrap();
    while !world
        .zone
        .broadcast_step(&mut job, 9, &limits, NOW, &mut wake)
    {}
    assert_eq!(world.zone.stats().empty_channels, 0);
    world.check();
}

#[test]
fn a_disconnected_channel_without_messages_is_empty_again() {
    let world = World::new(1 << 20);
    let limits = limits();
    ask(&world, "a", Stay::Always, &limits).unwrap();
    let mut wake = WakeSet::default();
    world
        .zone
        .disconnect(b"a", false, &limits, NOW, &mut wake)
        .unwrap();
    assert_eq!(world.zone.stats().empty_channels, 1);
    world.check();
    world.zone.close(b"a", &limits, NOW, &mut wake);
    assert_eq!(world.zone.stats().empty_channels, 0);
    world.check();
}

#[test]
fn an_evicted_channel_begins_again_in_another_life() {
    let world = World::new(4 << 20);
    let limits = Limits {
        max_channels: 2,
        ..limits()
    };
    let first = ask(&world, "a", Stay::Never, &limits).unwrap();
    ask(&world, "b", Stay::Never, &limits).unwrap();
    assert!(!is_there(&world, "a"));
    let next = ask(&world, "a", Stay::Never, &limits).unwrap();
    assert!(next.created && next.incarnation > first.incarnation);
    world.check();
}

/// A channel whose life another authority gives is none of the share, also in the place of one that is.
#[test]
fn a_given_channel_is_not_empty() {
    let world = World::new(4 << 20);
    let limits = Limits {
        max_channels: 8,
        ..limits()
    };
    let mut wake = WakeSet::default();
    let mut make = |name: &str, life| {
        world
            .zone
            .make(name.as_bytes(), life, &limits, NOW, &mut wake)
    };
    let empty = || world.zone.stats().empty_channels;
    for n in 0..4 {
        let stay = [Stay::Never, Stay::Always][n % 2];
        ask(&world, &format!("s{n}"), stay, &limits).unwrap();
    }
    assert_eq!(empty(), 4);
    // One without subscribers, and one with.
    assert_eq!(make("s0", 1), Ok(Made::Begun));
    assert_eq!(make("s1", 1), Ok(Made::Begun));
    assert_eq!(empty(), 2);
    world.check();
    // Who subscribes to it does not make it one, and no room is made by it.
    ask(&world, "s1", Stay::Never, &limits).unwrap();
    assert_eq!(empty(), 2);
    // At max_channels the empty one without subscribers goes for it, and then there is no room.
    for n in 0..5 {
        assert_eq!(make(&format!("g{n}"), 1), Ok(Made::Created), "{n}");
    }
    assert!(!is_there(&world, "s2") && is_there(&world, "s0") && is_there(&world, "s3"));
    assert_eq!(make("g5", 1), Err(PublishError::TooManyChannels));
    world.check();
}

#[test]
fn a_subscribe_lets_no_message_go() {
    let world = World::new(2 << 20);
    let limits = Limits {
        on_full: OnFull::Evict,
        ..limits()
    };
    let fill = Limits {
        on_full: OnFull::Refuse,
        ..limits
    };
    let filled = (0..100_000).find(|n| {
        let name = format!("channel {}", n % 5000);
        publish(&world, &name, &[b'x'; 300], &fill).is_err()
    });
    assert!(filled.is_some());
    let before = world.zone.stats();
    for n in 0..2000 {
        let _ = ask(&world, &long(n), Stay::Always, &limits);
    }
    let after = world.zone.stats();
    assert_eq!(after.messages, before.messages);
    assert_eq!(after.evictions, 0);
    // To a channel that is there they come in.
    ask(&world, "channel 1", Stay::Always, &limits).unwrap();
    world.check();
}

#[test]
fn a_full_zone_lets_empty_channels_go_for_a_message() {
    let world = World::new(2 << 20);
    let most = Limits {
        empty_channels: 100,
        ..limits()
    };
    for n in 0..10_000 {
        ask(&world, &long(n), Stay::Never, &most).unwrap();
    }
    publish(&world, "large", &[b'x'; 100_000], &limits()).unwrap();
    assert!(world.zone.stats().empty_evictions > 0);
    world.check();
}
