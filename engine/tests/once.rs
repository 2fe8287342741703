//! Publishing once, reading history, listing and disconnecting: what a back end relies on.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;

use common::{NOW, World, limits};
use icomet_engine::{
    Limits, ListCursor, Listed, OnFull, Once, Page, Publication, PublishError, Published, Stay,
    WakeSet,
};

const WINDOW: u64 = 60_000;

fn publish_once(
    world: &World,
    name: &str,
    content: &str,
    id: &str,
    now: u64,
) -> Result<Published, PublishError> {
    publish_of(world, name, content, id, now, 1_000_000)
}

fn publish_of(
    world: &World,
    name: &str,
    content: &str,
    id: &str,
    now: u64,
    most: u32,
) -> Result<Published, PublishError> {
    let once = Once {
        id: id.as_bytes(),
        window: WINDOW,
        most,
        client: false,
    };
    let name = name.as_bytes();
    let publication = Publication {
        content: content.as_bytes(),
        once: Some(once),
        ..Publication::default()
    };
    let mut wake = WakeSet::default();
    world
        .zone
        .publish(name, publication, &limits(), now, &mut wake)
}

fn history(world: &World, name: &str, after: u64, max: usize, reverse: bool) -> Vec<(u64, String)> {
    let reading = world.zone.reading(world.me);
    let mut found = Vec::new();
    let page = Page {
        name: name.as_bytes(),
        after,
        max,
        reverse,
    };
    reading.history(&page, &limits(), NOW, &mut found).unwrap();
    found
        .into_iter()
        .map(|(seq, message)| {
            let content = reading.message(message).content;
            (seq, String::from_utf8(content.to_vec()).unwrap())
        })
        .collect()
}

fn all(world: &World, name: &str) -> Vec<(u64, String)> {
    history(world, name, 0, 1000, false)
}

fn numbered(messages: &[(u64, &str)]) -> Vec<(u64, String)> {
    messages
        .iter()
        .map(|(n, m)| (*n, (*m).to_owned()))
        .collect()
}

#[test]
fn an_id_is_published_once() {
    let world = World::new(1 << 20);
    let first = publish_once(&world, "a", "x", "id", NOW).unwrap();
    assert!(!first.repeated && first.created);
    world.subscribe(world.me, "a", 0, Stay::Always).unwrap();
    world.publish("a", "between");
    let again = publish_once(&world, "a", "x", "id", NOW + WINDOW - 1).unwrap();
    assert!(again.repeated);
    // What was told then, not what would be told now.
    assert_eq!(again.seq, 1);
    assert_eq!(again.subscribers, 0);
    assert_eq!(all(&world, "a"), numbered(&[(1, "x"), (2, "between")]));
    world.check();
}

#[test]
fn an_id_belongs_to_its_channel_and_content() {
    let world = World::new(1 << 20);
    publish_once(&world, "a", "x", "id", NOW).unwrap();
    assert!(!publish_once(&world, "b", "x", "id", NOW).unwrap().repeated);
    assert!(!publish_once(&world, "a", "x", "di", NOW).unwrap().repeated);
    // Where name and id meet does not matter.
    assert!(!publish_once(&world, "ai", "x", "d", NOW).unwrap().repeated);
    assert_eq!(
        publish_once(&world, "a", "y", "id", NOW),
        Err(PublishError::IdReused)
    );
    assert_eq!(all(&world, "a"), numbered(&[(1, "x"), (2, "x")]));
    assert_eq!(world.zone.ids(), 4);
    assert_eq!(world.zone.stats().refused_publishes, 0);
    world.check();
}

#[test]
fn ids_are_forgotten_in_time() {
    let world = World::new(1 << 20);
    publish_once(&world, "a", "x", "id", NOW).unwrap();
    assert!(
        !publish_once(&world, "a", "y", "id", NOW + WINDOW)
            .unwrap()
            .repeated
    );
    for n in 0..500 {
        publish_once(&world, "a", "x", &format!("{n}"), NOW + WINDOW).unwrap();
    }
    world.check();
    let mut wake = WakeSet::default();
    world
        .zone
        .expire(&limits(), NOW + 3 * WINDOW, 10_000, &mut wake);
    assert_eq!(world.zone.ids(), 0);
    world.check();
}

#[test]
fn the_oldest_ids_go_when_there_are_too_many() {
    let world = World::new(1 << 20);
    assert_eq!(world.zone.shard_count(), 1);
    for n in 0..10 {
        let done = publish_of(&world, "a", "x", &format!("{n}"), NOW, 10).unwrap();
        assert!(!done.crowded);
    }
    assert!(
        publish_of(&world, "a", "x", "more", NOW, 10)
            .unwrap()
            .crowded
    );
    assert_eq!(world.zone.ids(), 10);
    assert!(publish_of(&world, "a", "x", "1", NOW, 10).unwrap().repeated);
    assert!(!publish_of(&world, "a", "x", "0", NOW, 10).unwrap().repeated);
    world.check();
}

#[test]
fn one_channel_may_have_all_ids_of_the_zone() {
    let world = World::new(16 << 20);
    assert!(world.zone.shard_count() > 1);
    for n in 0..2000 {
        let done = publish_of(&world, "a", "x", &format!("{n}"), NOW + n, 2000).unwrap();
        assert!(!done.crowded && !done.repeated, "{n}");
    }
    assert!(
        publish_of(&world, "a", "x", "0", NOW + 2000, 2000)
            .unwrap()
            .repeated
    );
    // Of whatever channel the next one is: the zone's oldest go, in their order.
    for n in 0..50 {
        let name = format!("other {n}");
        let done = publish_of(&world, &name, "x", "id", NOW + 2000 + n, 2000).unwrap();
        assert!(done.crowded);
    }
    assert_eq!(world.zone.ids(), 2000);
    let again = publish_of(&world, "a", "x", "50", NOW + 3000, 2000).unwrap();
    assert!(again.repeated);
    let again = publish_of(&world, "a", "x", "49", NOW + 3000, 2000).unwrap();
    assert!(!again.repeated);
    world.check();
}

#[test]
fn ids_of_clients_push_out_only_those_of_clients() {
    let world = World::new(4 << 20);
    let mut now = NOW;
    let mut publish = |name: &str, id: &str, client: bool| {
        now += 1;
        let once = Once {
            id: id.as_bytes(),
            window: WINDOW,
            most: 10,
            client,
        };
        let publication = Publication {
            content: b"x",
            once: Some(once),
            ..Publication::default()
        };
        let mut wake = WakeSet::default();
        let name = name.as_bytes();
        let done = world
            .zone
            .publish(name, publication, &limits(), now, &mut wake);
        done.unwrap()
    };
    for n in 0..10 {
        publish("a", &format!("back end {n}"), false);
    }
    for n in 0..100 {
        let done = publish(&format!("c{}", n % 7), &format!("client {n}"), true);
        assert_eq!(done.crowded, n >= 5, "{n}");
    }
    assert_eq!(world.zone.ids(), 15);
    for n in 0..10 {
        assert!(publish("a", &format!("back end {n}"), false).repeated);
    }
    // And the other way round.
    for n in 0..100 {
        publish("b", &format!("more {n}"), false);
    }
    for n in 95..100 {
        assert!(publish(&format!("c{}", n % 7), &format!("client {n}"), true).repeated);
    }
    world.check();
}

#[test]
fn a_full_zone_refuses_an_id_and_its_message_together() {
    let world = World::new(1 << 20);
    let filling = "x".repeat(900);
    let mut refused = None;
    for n in 0..100_000 {
        let name = format!("c{n}");
        if publish_once(&world, &name, &filling, "id", NOW).is_err() {
            refused = Some(name);
            break;
        }
    }
    let name = refused.unwrap();
    assert_eq!(
        publish_once(&world, &name, &filling, "id", NOW),
        Err(PublishError::ZoneFull)
    );
    world.check();
    let evicting = Limits {
        on_full: OnFull::Evict,
        ..limits()
    };
    let once = Once {
        id: b"id",
        window: WINDOW,
        most: 1000,
        client: false,
    };
    let done = world.zone.publish(
        name.as_bytes(),
        Publication {
            content: filling.as_bytes(),
            once: Some(once),
            ..Publication::default()
        },
        &evicting,
        NOW,
        &mut WakeSet::default(),
    );
    assert!(!done.unwrap().repeated, "what was refused was not done");
    world.check();
}

#[test]
fn history_goes_both_ways() {
    let world = World::new(1 << 20);
    for n in 1..=6 {
        world.publish("a", &n.to_string());
    }
    // Four are buffered.
    assert_eq!(
        history(&world, "a", 0, 3, false),
        numbered(&[(3, "3"), (4, "4"), (5, "5")])
    );
    assert_eq!(
        history(&world, "a", 0, 3, true),
        numbered(&[(6, "6"), (5, "5"), (4, "4")])
    );
    assert_eq!(history(&world, "a", 5, 9, true), numbered(&[(6, "6")]));
    assert_eq!(history(&world, "a", 5, 9, false), numbered(&[(6, "6")]));
    assert_eq!(history(&world, "a", 6, 9, false), []);
    assert_eq!(history(&world, "a", u64::MAX, 9, true), []);
    assert_eq!(history(&world, "a", u64::MAX, 9, false), []);
    let reading = world.zone.reading(world.me);
    let page = Page {
        name: b"none",
        after: 0,
        max: 9,
        reverse: false,
    };
    let none = reading.history(&page, &limits(), NOW, &mut Vec::new());
    assert_eq!(none, None);
    drop(reading);
    assert_eq!(world.zone.stats().channels, 1);
}

#[test]
fn a_list_names_each_channel_once_whatever_the_pages() {
    let world = World::new(8 << 20);
    let names: BTreeSet<String> = (0..3000).map(|n| format!("room.{n}")).collect();
    for name in &names {
        world.publish(name, "x");
    }
    world.publish("other", "x");
    for (limit, budget) in [(1, 1 << 20), (7, 100), (100, 1), (10_000, 1 << 30)] {
        let mut cursor = ListCursor::default();
        let mut found = BTreeSet::new();
        loop {
            let mut page: Vec<Listed> = Vec::new();
            let done = world
                .zone
                .list(&mut cursor, b"room.", limit, budget, &mut page);
            assert!(page.len() <= limit);
            for channel in page {
                assert_eq!((channel.first_seq, channel.next_seq), (1, 2));
                assert!(found.insert(String::from_utf8(channel.name).unwrap()));
            }
            // A channel that comes meanwhile disturbs nobody.
            world.publish(&format!("late {}", found.len()), "x");
            if done {
                break;
            }
        }
        assert_eq!(found, names, "limit {limit}, budget {budget}");
    }
}

#[test]
fn a_cursor_from_elsewhere_does_no_harm() {
    let world = World::new(1 << 20);
    world.publish("a", "x");
    for (shard, bucket) in [(u32::MAX, 0), (0, u32::MAX), (u32::MAX, u32::MAX)] {
        let mut cursor = ListCursor {
            shard,
            bucket,
            after: vec![255; 300],
        };
        let mut page = Vec::new();
        assert!(world.zone.list(&mut cursor, b"", 10, 1 << 20, &mut page));
        assert!(page.is_empty());
    }
}

#[test]
fn who_is_disconnected_may_come_back() {
    let world = World::new(1 << 20);
    let mut wake = WakeSet::default();
    let signed = world
        .zone
        .sign(b"a", 500_000, [9; 16], &limits(), NOW, &mut wake)
        .unwrap();
    for n in 1..=6 {
        world.publish("a", &n.to_string());
    }
    let (subscription, _) = world.subscribe(world.me, "a", 7, Stay::Always).unwrap();
    world.subscribe(world.me, "a", 2, Stay::Always).unwrap();
    let before = world.zone.channel(b"a").unwrap();

    let mut wake = WakeSet::default();
    let ended = world
        .zone
        .disconnect(b"a", false, &limits(), NOW, &mut wake);
    assert_eq!(ended, Ok(Some(2)));
    world.check();
    // The worker is told, and that nothing is lost.
    assert!(world.zone.has_dirty(world.me));
    let old = subscription.channel.unwrap();
    let reading = world.zone.reading(world.me);
    let window = reading.window(old, 2, 10, &limits(), NOW, &mut Vec::new());
    assert!(window.closed && window.lost == 0 && window.next == 7);
    drop(reading);
    let mut list = world.zone.take_dirty(world.me);
    while list.next(&world.zone).is_some() {}
    world.zone.unsubscribe(world.me, old, 2, &limits(), NOW);
    world.check();

    // The channel is what it was.
    let after = world.zone.channel(b"a").unwrap();
    assert_eq!(after.subscribers, 0);
    assert_eq!((after.first_seq, after.next_seq), (3, 7));
    assert_eq!(after.expires_at, before.expires_at);
    let again = world
        .zone
        .sign(b"a", 500_000, [1; 16], &limits(), NOW, &mut wake)
        .unwrap();
    assert_eq!(again.token, signed.token);
    assert_eq!(world.publish("a", "7"), 7);
    let (_, texts) = world.subscribe(world.me, "a", 5, Stay::Always).unwrap();
    assert_eq!(texts, ["5", "6", "7"]);
    world.check();
}

#[test]
fn nobody_to_disconnect() {
    let world = World::new(1 << 20);
    world.publish("a", "x");
    let mut wake = WakeSet::default();
    let disconnect =
        |name: &[u8], wake: &mut WakeSet| world.zone.disconnect(name, false, &limits(), NOW, wake);
    assert_eq!(disconnect(b"a", &mut wake), Ok(Some(0)));
    assert_eq!(disconnect(b"b", &mut wake), Ok(None));
    assert_eq!(all(&world, "a"), numbered(&[(1, "x")]));
}
