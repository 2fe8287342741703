//! From a zone to a file and into another zone.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

#[path = "../../engine/tests/common/mod.rs"]
mod common;

use std::collections::BTreeMap;
use std::io::Cursor;

use common::{NOW, World, limits};
use icomet_engine::{
    Authority, Kind, Limits, Lost, OnFull, Request, ScanCursor, Stay, WakeSet, journal,
};
use icomet_state::{Clocks, LoadError, Loaded, load, save};
use proptest::prelude::*;

const WALL: u64 = 1_700_000_000_000;
const AT: Clocks = Clocks {
    zone: NOW,
    wall: WALL,
};

fn wake() -> WakeSet {
    WakeSet::default()
}

fn saved(world: &World) -> Vec<u8> {
    save(&world.zone, AT, Vec::new()).unwrap().0
}

fn loaded(file: &[u8], world: &World, limits: &Limits) -> Result<Loaded, LoadError> {
    load(Cursor::new(file), &world.zone, limits, AT)
}

fn broadcast(world: &World, content: &str) {
    let mut job = world
        .zone
        .broadcast(world.me, content.as_bytes(), NOW)
        .unwrap();
    while !world
        .zone
        .broadcast_step(&mut job, 64, &limits(), NOW, &mut wake())
    {}
}

/// All channels as their readers find them: next seq, messages from the oldest, expiry.
type Contents = BTreeMap<String, (u64, Vec<(Kind, String)>, u64)>;

fn contents(world: &World) -> Contents {
    let mut names = Vec::new();
    let mut cursor = ScanCursor::default();
    while !world
        .zone
        .scan(&mut cursor, 100, &mut |name| names.push(name.to_vec()))
    {}
    let describe = |name: Vec<u8>| {
        let info = world.zone.channel(&name).unwrap();
        let request = Request {
            name: &name,
            seq: info.first_seq,
            epoch: None,
            authority: Authority::Open,
            stay: Stay::Always,
            user: None,
        };
        let reading = world.zone.reading(world.me);
        let mut found = Vec::new();
        let subscription = reading
            .subscribe(&request, &limits(), NOW, &mut found, &mut wake())
            .unwrap();
        let messages = found.into_iter().map(|m| {
            let message = reading.message(m);
            let text = String::from_utf8_lossy(message.content).into_owned();
            (message.kind, text)
        });
        let messages = messages.collect();
        drop(reading);
        let channel = subscription.channel.unwrap();
        world.zone.unsubscribe(world.me, channel, 1, &limits(), NOW);
        let name = String::from_utf8_lossy(&name).into_owned();
        (name, (info.next_seq, messages, info.expires_at))
    };
    names.into_iter().map(describe).collect()
}

#[test]
fn changes_after_a_load_are_later_ones() {
    journal::begin();
    let change = |world: &World, name: &str| {
        journal::take();
        world.publish(name, "x");
        let changes = journal::take();
        assert_eq!(changes.len(), 1);
        changes[0].order
    };
    let world = World::new(1 << 20);
    let mut last = change(&world, "before");
    let mut file = saved(&world);
    // The clock was set back meanwhile, and goes on.
    for wall in [WALL - 1_000_000, WALL - 999_999, WALL + 1] {
        let world = World::new(1 << 20);
        let at = Clocks { zone: NOW, wall };
        load(Cursor::new(&file), &world.zone, &limits(), at).unwrap();
        for name in ["one", "two"] {
            let order = change(&world, &format!("{name} {wall}"));
            assert!(order > last, "{order} after {last}");
            assert!(order < 1 << 53);
            last = order;
        }
        file = save(&world.zone, at, Vec::new()).unwrap().0;
    }
}

#[derive(Debug, Clone)]
enum Step {
    Publish(u8, usize),
    Broadcast(u8),
    Sign(u8, u64),
    Clear(u8),
    Close(u8),
    Subscribe(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..12u8, 0..3000usize).prop_map(|(c, len)| Step::Publish(c, len)),
        1 => (0..9u8).prop_map(Step::Broadcast),
        1 => (0..12u8, 0..100_000u64).prop_map(|(c, ms)| Step::Sign(c, ms)),
        1 => (0..12u8).prop_map(Step::Clear),
        1 => (0..12u8).prop_map(Step::Close),
        1 => (0..12u8).prop_map(Step::Subscribe),
    ]
}

fn take(world: &World, step: &Step) {
    let zone = &world.zone;
    let name = |n: &u8| format!("channel {n}");
    match step {
        Step::Publish(c, len) => {
            world.publish(&name(c), &format!("{len}{}", "x".repeat(*len)));
        }
        Step::Broadcast(n) => broadcast(world, &format!("to all {n}")),
        Step::Sign(c, ms) => {
            let token = [c + 1; 16];
            zone.sign(name(c).as_bytes(), *ms, token, &limits(), NOW, &mut wake())
                .unwrap();
        }
        Step::Clear(c) => _ = zone.clear(name(c).as_bytes()),
        Step::Close(c) => _ = zone.close(name(c).as_bytes(), &limits(), NOW, &mut wake()),
        Step::Subscribe(c) => {
            world
                .subscribe(world.me, &name(c), 0, Stay::Always)
                .unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn what_was_saved_is_loaded(steps in prop::collection::vec(step(), 0..120)) {
        let before = World::new(4 << 20);
        steps.iter().for_each(|step| take(&before, step));
        let file = saved(&before);
        let after = World::new(4 << 20);
        let came = loaded(&file, &after, &limits()).unwrap();
        prop_assert!(came.restored.is_whole());
        after.check();
        prop_assert_eq!(after.zone.epoch(), before.zone.epoch());
        let (was, is) = (contents(&before), contents(&after));
        prop_assert_eq!(came.restored.channels, was.len() as u64);
        let names: Vec<_> = was.keys().collect();
        prop_assert_eq!(is.keys().collect::<Vec<_>>(), names);
        for (name, (next, messages, expires)) in &was {
            let (next_now, messages_now, expires_now) = &is[name];
            prop_assert_eq!(next, next_now);
            prop_assert_eq!(messages, messages_now);
            prop_assert!(*expires_now >= *expires.max(&(NOW + 30_000)));
            // The token is that of before: who signs again gets it.
            let sign = |world: &World| world.zone
                .sign(name.as_bytes(), 1000, [99; 16], &limits(), NOW, &mut wake())
                .unwrap().token;
            prop_assert_eq!(sign(&before), sign(&after));
        }
        // It is a zone like another: it serves, and lets everything go.
        world_goes_on(&after);
    }
}

fn world_goes_on(world: &World) {
    for n in 0..20u8 {
        take(world, &Step::Publish(n % 12, 50));
    }
    broadcast(world, "again");
    world.check();
    while world
        .zone
        .expire(&limits(), NOW + 10_000_000, 1000, &mut wake())
        > 0
    {}
    world.check();
    let stats = world.zone.stats();
    assert_eq!((stats.channels, stats.messages), (0, 0));
}

#[test]
fn one_body_of_a_broadcast_stands_for_all_channels() {
    let before = World::new(2 << 20);
    for n in 0..500 {
        before.publish(&format!("c{n}"), "own");
    }
    // Once for each channel it would be 25 MB.
    broadcast(&before, &"b".repeat(50_000));
    let file = saved(&before);
    assert!(file.len() < 100_000, "{} bytes", file.len());
    let after = World::new(2 << 20);
    let came = loaded(&file, &after, &limits()).unwrap();
    assert!(came.restored.is_whole(), "{came:?}");
    after.check();
    let is = contents(&after);
    assert!(is.values().all(|(_, messages, _)| messages.len() == 2
        && messages[1] == (Kind::Broadcast, "b".repeat(50_000))));
    while after
        .zone
        .expire(&limits(), NOW + 10_000_000, 1000, &mut wake())
        > 0
    {}
    after.check();
    // What is freed waits for readers; publishing takes it back.
    for n in 0..200 {
        after.publish("one", &format!("{n}"));
        broadcast(&after, "small");
    }
    let stats = after.zone.stats();
    assert!(stats.pages_free * 100 > stats.pages * 90, "{stats:?}");
}

#[test]
fn a_full_zone_fits_into_one_of_its_size() {
    let evict = Limits {
        on_full: OnFull::Evict,
        ..limits()
    };
    let before = World::new(1 << 20);
    let mut random = common::Random(7);
    for n in 0..20_000u64 {
        let name = format!("c{}", random.below(900));
        let content = format!("{n} {}", "y".repeat(random.below(700) as usize));
        let published = before.zone.publish(
            name.as_bytes(),
            content.as_bytes(),
            &evict,
            NOW,
            &mut wake(),
        );
        published.unwrap();
    }
    assert!(before.zone.stats().evictions > 0, "it is not full");
    let file = saved(&before);
    let after = World::new(1 << 20);
    let came = loaded(&file, &after, &limits()).unwrap();
    assert!(came.restored.is_whole(), "{came:?}");
    after.check();
    let (was, is) = (contents(&before), contents(&after));
    assert_eq!(was.len(), is.len());
    assert!(
        was.iter()
            .all(|(name, (next, messages, _))| { is[name].0 == *next && is[name].1 == *messages })
    );
}

#[test]
fn a_smaller_zone_gets_the_newest_of_each_channel() {
    let roomy = Limits {
        channel_buffer_size: 100,
        ..limits()
    };
    let before = World::new(8 << 20);
    for n in 0..100 {
        for m in 0..40 {
            let (name, content) = (format!("c{n}"), format!("{m} {}", "z".repeat(600)));
            before
                .zone
                .publish(
                    name.as_bytes(),
                    content.as_bytes(),
                    &roomy,
                    NOW,
                    &mut wake(),
                )
                .unwrap();
        }
    }
    let file = saved(&before);
    let after = World::new(1 << 20);
    let came = loaded(&file, &after, &roomy).unwrap();
    let restored = came.restored;
    assert_eq!((restored.channels, restored.channels_left()), (100, 0));
    assert!(restored.messages_without_memory > 0, "{restored:?}");
    assert_eq!(restored.messages + restored.messages_left(), 4000);
    after.check();
    assert_eq!(after.zone.epoch(), before.zone.epoch());
    for n in 0..100 {
        let name = format!("c{n}");
        let info = after.zone.channel(name.as_bytes()).unwrap();
        assert_eq!(info.next_seq, 41);
        // 1 MB holds some ten of each, and the rounds end at powers of two.
        assert!((24..=37).contains(&info.first_seq), "{info:?}");
        let (subscription, texts) = after.subscribe(after.me, &name, 1, Stay::Never).unwrap();
        let gone = info.first_seq - 1;
        let lost = Lost {
            count: Some(gone),
            first: info.first_seq,
        };
        assert_eq!(subscription.lost, Some(lost));
        let numbers: Vec<u64> = texts
            .iter()
            .map(|text| text.split(' ').next().unwrap().parse().unwrap())
            .collect();
        assert_eq!(numbers, (gone..40).collect::<Vec<_>>());
    }
}

#[test]
fn a_smaller_buffer_takes_the_newest() {
    let before = World::new(1 << 20);
    for m in 1..=4 {
        before.publish("c", &format!("m{m}"));
    }
    let small = Limits {
        channel_buffer_size: 3,
        ..limits()
    };
    let after = World::new(1 << 20);
    let came = loaded(&saved(&before), &after, &small).unwrap();
    assert_eq!(came.restored.messages_over_limit, 1);
    after.check();
    let (subscription, texts) = after.subscribe(after.me, "c", 1, Stay::Never).unwrap();
    assert_eq!(texts, ["m2", "m3", "m4"]);
    assert_eq!(subscription.lost.unwrap().count, Some(1));
}

#[test]
fn who_read_a_channel_that_is_left_out_is_told_so() {
    let before = World::new(1 << 20);
    for n in 0..6 {
        for m in 0..4 {
            before.publish(&format!("c{n}"), &format!("m{m}"));
        }
    }
    let few = Limits {
        max_channels: 2,
        ..limits()
    };
    let after = World::new(1 << 20);
    let came = loaded(&saved(&before), &after, &few).unwrap();
    assert_eq!(came.restored.channels, 2);
    assert_eq!(came.restored.channels_over_limit, 4);
    assert_eq!(came.restored.messages_of_no_channel, 16);
    after.check();
    // One restart more changes nothing about that.
    let again = World::new(1 << 20);
    loaded(&saved(&after), &again, &few).unwrap();
    let after = again;
    for n in 0..6 {
        let name = format!("c{n}");
        let was_there = after.zone.channel(name.as_bytes()).is_some();
        // The reader had two of four messages; then one more is published.
        let seq = after.publish(&name, "new");
        assert_eq!(seq, 5, "{name}");
        let (subscription, texts) = after.subscribe(after.me, &name, 3, Stay::Never).unwrap();
        if was_there {
            assert_eq!(texts, ["m2", "m3", "new"]);
            assert_eq!(subscription.lost, None);
        } else {
            assert_eq!(texts, ["new"]);
            assert_eq!(subscription.lost.unwrap().count, Some(2));
        }
    }
}

#[test]
fn time_that_nginx_was_away_counts_but_clients_get_time_to_come_back() {
    let before = World::new(1 << 20);
    let day = 86_400_000;
    before
        .zone
        .sign(b"long", day, [5; 16], &limits(), NOW, &mut wake())
        .unwrap();
    before.publish("short", "x");
    let file = saved(&before);
    let after = World::new(1 << 20);
    // The machine was started anew: its clock is far behind, and two hours have passed.
    let away = 7_200_000;
    let clocks = Clocks {
        zone: 5_000,
        wall: WALL + away,
    };
    let came = load(Cursor::new(&file), &after.zone, &limits(), clocks).unwrap();
    assert_eq!(came.age, away);
    let expires = |name: &[u8]| after.zone.channel(name).unwrap().expires_at;
    assert_eq!(expires(b"long"), 5_000 + day - away);
    assert_eq!(expires(b"short"), 5_000 + 30_000);
    // A wall clock that was set back takes nothing off.
    let back = World::new(1 << 20);
    let clocks = Clocks {
        zone: NOW,
        wall: WALL - day,
    };
    load(Cursor::new(&file), &back.zone, &limits(), clocks).unwrap();
    assert_eq!(back.zone.channel(b"long").unwrap().expires_at, NOW + day);
}

#[test]
fn a_zone_in_use_takes_nothing() {
    let world = World::new(1 << 20);
    world.publish("c", "x");
    let file = saved(&world);
    let other = World::new(1 << 20);
    other.publish("d", "y");
    assert!(matches!(
        loaded(&file, &other, &limits()),
        Err(LoadError::ZoneInUse)
    ));
    assert_eq!(contents(&other).len(), 1);
}
