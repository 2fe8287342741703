//! What a publisher says of a message, and what rules say of channels.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use common::{NOW, World, limits};
use icomet_engine::{
    Authority, ChannelRef, Glob, Kind, Limits, Message, Once, Options, Page, Publication,
    PublishError, Request, Rules, Stay, Subscription, WakeSet, Window,
};

fn wake() -> WakeSet {
    WakeSet::default()
}

fn publish(world: &World, name: &str, publication: Publication<'_>, now: u64) -> u64 {
    let name = name.as_bytes();
    let published = world
        .zone
        .publish(name, publication, &limits(), now, &mut wake());
    published.unwrap().seq
}

fn with_ttl(content: &str, ttl: u64) -> Publication<'_> {
    Publication {
        ttl: Some(ttl),
        ..Publication::from(content.as_bytes())
    }
}

fn text(message: Message<'_>) -> String {
    match message.kind {
        Kind::Expired => "-".to_owned(),
        _ => String::from_utf8(message.content.to_vec()).unwrap(),
    }
}

/// What a user who comes at that moment finds.
fn subscribe(
    world: &World,
    name: &str,
    (seq, user): (u64, Option<&[u8]>),
    limits: &Limits,
    now: u64,
) -> (Subscription, Vec<String>) {
    let request = Request {
        name: name.as_bytes(),
        seq,
        epoch: None,
        authority: Authority::Open,
        stay: Stay::UnlessReady,
        user,
    };
    let reading = world.zone.reading(world.me);
    let mut found = Vec::new();
    let subscribed = reading.subscribe(&request, limits, now, &mut found, &mut wake());
    let texts = found.into_iter().map(|m| text(reading.message(m)));
    (subscribed.unwrap(), texts.collect())
}

fn window(
    world: &World,
    channel: ChannelRef,
    from: u64,
    limits: &Limits,
    now: u64,
) -> (Window, Vec<String>) {
    let reading = world.zone.reading(world.me);
    let mut found = Vec::new();
    let window = reading.window(channel, from, 100, limits, now, &mut found);
    let texts = found.into_iter().map(|m| text(reading.message(m)));
    (window, texts.collect())
}

fn history(world: &World, name: &str, limits: &Limits, now: u64) -> Vec<(u64, String)> {
    let page = Page {
        name: name.as_bytes(),
        after: 0,
        max: 100,
        reverse: false,
    };
    let reading = world.zone.reading(world.me);
    let mut found = Vec::new();
    reading.history(&page, limits, now, &mut found).unwrap();
    let texts = found
        .into_iter()
        .map(|(seq, m)| (seq, text(reading.message(m))));
    texts.collect()
}

fn expire(world: &World, limits: &Limits, now: u64) {
    world.zone.expire(limits, now, 1000, &mut wake());
    world.check();
}

#[test]
fn a_message_carries_what_its_publisher_says() {
    let world = World::new(1 << 20);
    let all = Publication {
        content: b"hello",
        event: b"greeting",
        exclude: 77,
        ttl: Some(5000),
        once: None,
    };
    let of = |f: fn(&mut Publication<'_>)| {
        let mut publication = Publication::from(b"hello");
        f(&mut publication);
        publication
    };
    let publications = [
        all,
        of(|_| ()),
        of(|p| p.event = b"e"),
        of(|p| p.exclude = u64::MAX),
    ];
    let (held, _) = subscribe(&world, "a", (0, None), &limits(), NOW);
    assert!(held.told);
    for publication in publications {
        publish(&world, "a", publication, NOW);
    }
    let page = Page {
        name: b"a",
        after: 0,
        max: 9,
        reverse: false,
    };
    let reading = world.zone.reading(world.me);
    let mut found = Vec::new();
    reading.history(&page, &limits(), NOW, &mut found).unwrap();
    for ((_, message), publication) in found.iter().zip(publications) {
        let message = reading.message(*message);
        assert_eq!(message.content, publication.content);
        let options = Options {
            event: publication.event,
            exclude: publication.exclude,
            until: publication.ttl.map(|ttl| NOW + ttl),
        };
        assert_eq!(message.options, options);
    }
    assert_eq!(found.len(), 4);
    world.check();
}

#[test]
fn a_message_without_options_takes_no_byte_more() {
    // 40 bytes and the head of 24 are a block of 64; what comes with them takes the next size.
    let used = |publication: Publication<'_>| {
        let world = World::new(1 << 20);
        let before = world.zone.verify().unwrap().free;
        publish(&world, "a", publication, NOW);
        (world.zone.verify().unwrap().free, before)
    };
    let content = [b'x'; 40];
    let plain = used(Publication::from(&content));
    let other = used(Publication {
        event: b"e",
        ..Publication::from(&content)
    });
    assert_eq!(plain.1, other.1);
    // Of 64 bytes there are 64 in a page, of 80 there are 51: the blocks that are left tell which it took.
    assert_eq!(plain.0 - other.0, 64 - 51);
}

#[test]
fn a_name_of_an_event_is_bounded() {
    let world = World::new(1 << 20);
    let long = [b'e'; 257];
    let publication = |event| Publication {
        event,
        ..Publication::from(b"x")
    };
    let refused = world
        .zone
        .publish(b"a", publication(&long), &limits(), NOW, &mut wake());
    assert_eq!(refused, Err(PublishError::MessageTooLarge));
    publish(&world, "a", publication(&long[1..]), NOW);
}

#[test]
fn an_id_is_of_a_message_with_its_options() {
    let world = World::new(1 << 20);
    let publication = |event, exclude, ttl| Publication {
        content: b"x",
        event,
        exclude,
        ttl,
        once: Some(Once {
            id: b"id",
            window: 60_000,
            most: 10,
            client: false,
        }),
    };
    let first = publication(b"e", 1, Some(1));
    publish(&world, "a", first, NOW);
    let publish = |p| world.zone.publish(b"a", p, &limits(), NOW, &mut wake());
    assert!(publish(first).unwrap().repeated);
    for other in [
        publication(b"f", 1, Some(1)),
        publication(b"e", 2, Some(1)),
        publication(b"e", 1, Some(2)),
        publication(b"e", 1, None),
        publication(b"", 0, None),
    ] {
        assert_eq!(publish(other), Err(PublishError::IdReused), "{other:?}");
    }
}

#[test]
fn a_message_ends_by_its_own_time_and_is_passed_over_in_silence() {
    let world = World::new(1 << 20);
    for (content, ttl) in [("a", 0), ("b", 2000), ("c", 0), ("d", 1000)] {
        if ttl > 0 {
            publish(&world, "x", with_ttl(content, ttl), NOW);
        } else {
            world.publish("x", content);
        }
    }
    let (held, _) = subscribe(&world, "x", (5, None), &limits(), NOW);
    let channel = held.channel.unwrap();
    let at = |seq, now| {
        let (answer, texts) = subscribe(&world, "x", (seq, None), &limits(), now);
        if let Some(channel) = answer.channel {
            world.zone.unsubscribe(world.me, channel, 1, &limits(), now);
        }
        (answer.first, answer.lost, answer.channel.is_some(), texts)
    };
    let texts = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        at(1, NOW + 999),
        (1, None, false, texts(&["a", "b", "c", "d"]))
    );
    assert_eq!(
        at(1, NOW + 1000),
        (1, None, false, texts(&["a", "b", "c", "-"]))
    );
    assert_eq!(at(2, NOW + 2000), (3, None, false, texts(&["c", "-"])));
    // One who is told nothing waits, from behind what has ended.
    assert_eq!(at(4, NOW + 2000), (5, None, true, texts(&[])));
    assert_eq!(
        history(&world, "x", &limits(), NOW + 2000),
        [(1, "a".to_owned()), (3, "c".to_owned())]
    );
    let (seen, found) = window(&world, channel, 2, &limits(), NOW + 2000);
    assert_eq!((seen.first, seen.lost, seen.next), (3, 0, 5));
    assert_eq!(found, ["c", "-"]);
    // The memory is given back, though there is a subscriber, and what is seen stays the same.
    expire(&world, &limits(), NOW);
    expire(&world, &limits(), NOW + 1999);
    assert_eq!(world.zone.stats().messages, 4);
    expire(&world, &limits(), NOW + 2000);
    assert_eq!(world.zone.stats().messages, 2);
    assert_eq!(
        window(&world, channel, 2, &limits(), NOW + 3000),
        (seen, found)
    );
    assert_eq!(at(4, NOW + 3000), (5, None, true, texts(&[])));
    // As long as the ring has their places: then they are lost like others.
    for n in 0..3 {
        world.publish("x", &n.to_string());
    }
    let (seen, found) = window(&world, channel, 1, &limits(), NOW + 3000);
    assert_eq!((seen.first, seen.lost), (5, 3));
    assert_eq!(found, ["0", "1", "2"]);
}

#[test]
fn what_a_channel_keeps_by_time_is_lost_with_it() {
    let world = World::new(1 << 20);
    let kept = Limits {
        message_ttl: 5000,
        ..limits()
    };
    let publish = |content: &str, now| {
        let name = b"x";
        let mut wake = wake();
        world
            .zone
            .publish(name, content.as_bytes(), &kept, now, &mut wake)
            .unwrap();
    };
    publish("a", NOW);
    publish("b", NOW + 2000);
    let (held, _) = subscribe(&world, "x", (3, None), &kept, NOW);
    let channel = held.channel.unwrap();
    publish("c", NOW + 4000);
    let seen = |now| {
        let (seen, found) = window(&world, channel, 1, &kept, now);
        (seen.first, seen.lost, found.concat())
    };
    assert_eq!(seen(NOW + 4999), (1, 0, "abc".to_owned()));
    assert_eq!(seen(NOW + 5000), (2, 1, "bc".to_owned()));
    let (answer, found) = subscribe(&world, "x", (1, None), &kept, NOW + 7000);
    assert_eq!(answer.lost.unwrap().count, Some(2));
    assert_eq!(found, ["c"]);
    assert_eq!(
        history(&world, "x", &kept, NOW + 7000),
        [(3, "c".to_owned())]
    );
    // Nobody looks: the memory goes all the same.
    assert_eq!(world.zone.stats().messages, 1);
    expire(&world, &kept, NOW + 8999);
    assert_eq!(world.zone.stats().messages, 1);
    expire(&world, &kept, NOW + 10_000);
    assert_eq!(world.zone.stats().messages, 0);
    assert_eq!(seen(NOW + 10_000), (4, 3, String::new()));
}

#[test]
fn the_sooner_of_both_times_ends_a_message() {
    let world = World::new(1 << 20);
    let kept = Limits {
        message_ttl: 5000,
        ..limits()
    };
    for ttl in [1000, 60_000] {
        let publication = with_ttl("x", ttl);
        let mut wake = wake();
        world
            .zone
            .publish(b"x", publication, &kept, NOW, &mut wake)
            .unwrap();
    }
    let seqs = |now| {
        let found = history(&world, "x", &kept, now);
        found.into_iter().map(|(seq, _)| seq).collect::<Vec<_>>()
    };
    assert_eq!(seqs(NOW + 999), [1, 2]);
    assert_eq!(seqs(NOW + 1000), [2]);
    assert_eq!(seqs(NOW + 5000), [] as [u64; 0]);
}

#[test]
fn a_long_ring_is_looked_through_part_by_part() {
    let world = World::new(4 << 20);
    let large = Limits {
        channel_buffer_size: 20_000,
        ..limits()
    };
    let (held, _) = subscribe(&world, "x", (1, None), &large, NOW);
    assert!(held.channel.is_some());
    for n in 0..15_000 {
        let publication = Publication {
            ttl: (n % 3 == 0).then_some(1000),
            ..Publication::from(b"x")
        };
        let mut wake = wake();
        world
            .zone
            .publish(b"x", publication, &large, NOW, &mut wake)
            .unwrap();
    }
    assert_eq!(world.zone.stats().messages, 15_000);
    for second in 1..=8 {
        expire(&world, &large, NOW + second * 1000);
    }
    assert_eq!(world.zone.stats().messages, 10_000);
}

#[test]
fn a_message_is_kept_from_the_user_of_a_tag() {
    let world = World::new(1 << 20);
    let (alice, bob) = (world.zone.user_tag(b"alice"), world.zone.user_tag(b"bob"));
    assert!(alice != bob && alice != 0 && bob != 0);
    assert_eq!(alice, world.zone.user_tag(b"alice"));
    let from_alice = |content: &'static str| Publication {
        exclude: alice,
        ..Publication::from(content.as_bytes())
    };
    publish(&world, "x", from_alice("1"), NOW);
    publish(&world, "x", from_alice("2"), NOW);
    // She waits behind them, as if she had them; he is told both.
    let (answer, found) = subscribe(&world, "x", (1, Some(b"alice")), &limits(), NOW);
    assert!(answer.channel.is_some() && answer.lost.is_none() && found.is_empty());
    assert_eq!((answer.first, answer.next), (3, 3));
    let (answer, found) = subscribe(&world, "x", (1, Some(b"bob")), &limits(), NOW);
    assert_eq!(
        (answer.first, found),
        (1, vec!["1".to_owned(), "2".to_owned()])
    );
    // Between others hers is among what is found: who builds frames leaves it out.
    world.publish("x", "3");
    publish(&world, "x", from_alice("4"), NOW);
    let (answer, found) = subscribe(&world, "x", (1, Some(b"alice")), &limits(), NOW);
    assert_eq!((answer.first, found.len()), (3, 2));
}

#[test]
fn rules_are_by_name_and_the_first_that_matches_holds() {
    let rule = |pattern: &[u8], channel_buffer_size, message_ttl| {
        let limits = Limits {
            channel_buffer_size,
            message_ttl,
            ..limits()
        };
        (Glob::new(pattern), limits)
    };
    let rules = Rules {
        hub: limits(),
        rules: vec![
            rule(b"chat.vip.*", 3, 0),
            rule(b"chat.*", 2, 5000),
            rule(b"*", 1, 0),
        ],
    };
    let world = World::new(1 << 20);
    let names = ["chat.vip.1", "chat.1", "other"];
    let publish = |limits: &Rules| {
        for name in names {
            for n in 0..5 {
                let content = [b'0' + n];
                let mut wake = wake();
                world
                    .zone
                    .publish(name.as_bytes(), &content, limits, NOW, &mut wake)
                    .unwrap();
            }
        }
    };
    let counts = || names.map(|name| history(&world, name, &limits(), NOW).len());
    publish(&rules);
    assert_eq!(counts(), [3, 2, 1]);
    // Time runs for the channels of one rule alone; a broadcast comes into each by its own limits.
    let mut job = world.zone.broadcast(world.me, b"b", NOW + 4000).unwrap();
    while !world
        .zone
        .broadcast_step(&mut job, 10, &rules, NOW + 4000, &mut wake())
    {}
    assert_eq!(counts(), [3, 2, 1]);
    world.zone.expire(&rules, NOW + 7000, 1000, &mut wake());
    world.check();
    assert_eq!(counts(), [3, 1, 1]);
    // Other rules hold from the next operation on, for channels that are there.
    let other = Rules {
        hub: limits(),
        rules: vec![rule(b"chat.*", 1, 0)],
    };
    publish(&other);
    assert_eq!(counts(), [1, 1, 4]);
}
