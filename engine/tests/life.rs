//! Lives of channels: whoever resumes in another one than the channel's is told.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use std::collections::HashSet;
use std::sync::Mutex;

use common::{NOW, World, limits};
use icomet_engine::{
    Authority, ChannelRef, Epoch, GIVEN, Made, Once, Publication, Request, Stay, Subscription,
    WakeSet,
};

const SIZE: usize = 4 << 20;

fn wake() -> WakeSet {
    WakeSet::default()
}

fn incarnation(world: &World, name: &str) -> u64 {
    world.zone.channel(name.as_bytes()).unwrap().incarnation
}

fn epoch(world: &World, incarnation: u64) -> Epoch {
    Epoch {
        zone: world.zone.epoch(),
        incarnation,
    }
}

/// What a client gets that comes with that seq and epoch.
fn resume(world: &World, name: &str, seq: u64, epoch: Epoch) -> (Subscription, usize) {
    let request = Request {
        name: name.as_bytes(),
        seq,
        epoch: Some(epoch),
        authority: Authority::Open,
        stay: Stay::Never,
        user: None,
    };
    let mut found = Vec::new();
    let reading = world.zone.reading(world.me);
    let subscription = reading
        .subscribe(&request, &limits(), NOW, &mut found, &mut wake())
        .unwrap();
    (subscription, found.len())
}

fn expire(world: &World, name: &str) {
    let mut later = NOW;
    while world.zone.channel(name.as_bytes()).is_some() {
        later += 10_000;
        assert!(later < NOW + 1_000_000, "it does not expire");
        world.zone.expire(&limits(), later, 100, &mut wake());
    }
}

#[test]
fn who_stood_in_a_life_that_is_over_is_told_and_gets_all_that_is_buffered() {
    type End = fn(&World, &str);
    let ends: [End; 2] = [expire, |world, name| {
        world
            .zone
            .close(name.as_bytes(), &limits(), NOW, &mut wake())
            .unwrap();
    }];
    for end in ends {
        let world = World::new(SIZE);
        for n in 1..=3 {
            world.publish("a", &n.to_string());
        }
        let before = epoch(&world, incarnation(&world, "a"));
        end(&world, "a");
        // Nothing is there: then too it may have lost some.
        let (answer, found) = resume(&world, "a", 4, before);
        let lost = answer.lost.unwrap();
        assert_eq!((lost.count, lost.first, found), (None, 1, 0));
        assert!(answer.created);
        for n in 1..=4 {
            world.publish("a", &n.to_string());
        }
        let (answer, found) = resume(&world, "a", 4, before);
        let lost = answer.lost.unwrap();
        assert_eq!((lost.count, lost.first, found), (None, 1, 4));
        let now = epoch(&world, answer.incarnation);
        assert_ne!(now, before);
        let (answer, found) = resume(&world, "a", 4, now);
        assert_eq!((answer.lost, found), (None, 1));
        world.check();
    }
}

/// The first that a client of an empty channel is told is the seq 1.
#[test]
fn a_seq_of_an_empty_channel_is_of_that_life_too() {
    let world = World::new(SIZE);
    let (answer, _) = world.subscribe(world.me, "a", 0, Stay::Never).unwrap();
    assert_eq!((answer.told, answer.next), (true, 1));
    let before = epoch(&world, answer.incarnation);
    assert_eq!(resume(&world, "a", 1, before).0.lost, None);
    expire(&world, "a");
    world.publish("a", "of the next life");
    expire(&world, "a");
    let (answer, _) = resume(&world, "a", 1, before);
    assert_eq!(answer.lost.map(|lost| lost.count), Some(None));
    world.check();
}

#[test]
fn clear_and_disconnect_keep_a_life() {
    let world = World::new(SIZE);
    world.publish("a", "1");
    let before = incarnation(&world, "a");
    world.zone.clear(b"a").unwrap();
    assert_eq!(incarnation(&world, "a"), before);
    world.subscribe(world.me, "a", 0, Stay::Always).unwrap();
    let ended = world
        .zone
        .disconnect(b"a", false, &limits(), NOW, &mut wake());
    assert_eq!(ended, Ok(Some(1)));
    world.publish("a", "2");
    assert_eq!(incarnation(&world, "a"), before);
    // What was cleared is told with its number.
    let (answer, found) = resume(&world, "a", 1, epoch(&world, before));
    assert_eq!(answer.lost.map(|lost| lost.count), Some(Some(1)));
    assert_eq!(found, 1);
    world.check();
}

#[test]
fn subscribers_of_a_channel_are_told_to_stay_away_once() {
    let world = World::new(SIZE);
    for stay_away in [true, false] {
        let (subscription, _) = world.subscribe(world.me, "a", 0, Stay::Always).unwrap();
        let channel = subscription.channel.unwrap();
        let ended = world
            .zone
            .disconnect(b"a", stay_away, &limits(), NOW, &mut wake());
        assert_eq!(ended, Ok(Some(1)));
        let reading = world.zone.reading(world.me);
        let window = reading.window(channel, 1, 8, &limits(), NOW, &mut Vec::new());
        drop(reading);
        assert_eq!((window.closed, window.stay_away), (true, stay_away));
        assert_eq!(world.zone.stays_away(b"a", channel.number()), stay_away);
        // Any number may be asked for, also the channel's that has the name now.
        assert!(!(0..9).any(|place| world.zone.stays_away(b"a", place)));
        assert!(!world.zone.stays_away(b"a", channel.number() + 1));
        world.zone.unsubscribe(world.me, channel, 1, &limits(), NOW);
        let mut dirty = world.zone.take_dirty(world.me);
        while dirty.next(&world.zone).is_some() {}
        assert!(!world.zone.stays_away(b"a", channel.number()));
        world.check();
    }
}

#[test]
fn no_incarnation_is_given_twice() {
    let world = World::new(SIZE);
    let seen = Mutex::new(HashSet::new());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (zone, seen) = (world.zone, &seen);
            scope.spawn(move || {
                for round in 0..500 {
                    let name = format!("{thread}-{}", round % 7);
                    let published =
                        zone.publish(name.as_bytes(), &b"x"[..], &limits(), NOW, &mut wake());
                    let published = published.unwrap();
                    if published.created {
                        let is_new = seen.lock().unwrap().insert(published.incarnation);
                        assert!(is_new && published.incarnation > 0);
                    }
                    if round % 2 == 0 {
                        zone.close(name.as_bytes(), &limits(), NOW, &mut wake());
                    }
                }
            });
        }
    });
    assert!(seen.lock().unwrap().len() > 1000);
    world.check();
}

#[test]
fn another_authority_gives_an_incarnation() {
    let world = World::new(SIZE);
    let make = |incarnation| {
        world
            .zone
            .make(b"a", incarnation, &limits(), NOW, &mut wake())
            .unwrap()
    };
    assert_eq!(make(7), Made::Created);
    assert_eq!(incarnation(&world, "a"), GIVEN | 7);
    world.publish("a", "kept");
    assert_eq!(make(GIVEN | 7), Made::Kept);
    assert_eq!(world.zone.channel(b"a").unwrap().next_seq, 2);
    let (subscription, _) = world.subscribe(world.me, "a", 0, Stay::Always).unwrap();
    let old: ChannelRef = subscription.channel.unwrap();
    assert_eq!(make(8), Made::Begun);
    // The old one's subscribers are told.
    let mut found = Vec::new();
    let reading = world.zone.reading(world.me);
    let window = reading.window(old, 2, 10, &limits(), NOW, &mut found);
    assert!(window.closed);
    drop(reading);
    assert_eq!(world.zone.channel(b"a").unwrap().next_seq, 1);
    let (answer, _) = resume(&world, "a", 2, epoch(&world, GIVEN | 7));
    assert!(answer.lost.is_some());
    world.zone.unsubscribe(world.me, old, 1, &limits(), NOW);
    // The zone's own numbers do not come near.
    world.publish("b", "x");
    assert!(incarnation(&world, "b") < GIVEN);
    world.check();
}

/// What a publisher is told again, under its id, belongs to the life in which it was published.
#[test]
fn a_repeated_publish_says_when_its_life_is_over() {
    for client in [false, true] {
        repeat_over_lives(client);
    }
}

/// An entry's incarnation, subscribers and kind are told apart.
fn repeat_over_lives(client: bool) {
    let world = World::new(SIZE);
    world.subscribe(world.me, "a", 0, Stay::Always).unwrap();
    let publish = || {
        let once = Once {
            id: b"id",
            window: 1_000_000,
            most: 100,
            client,
        };
        let publication = Publication {
            content: b"x",
            once: Some(once),
            ..Publication::default()
        };
        let published = world
            .zone
            .publish(b"a", publication, &limits(), NOW, &mut wake());
        published.unwrap()
    };
    let first = publish();
    assert_eq!(first.incarnation, incarnation(&world, "a"));
    let again = publish();
    assert!(again.repeated);
    assert_eq!(again.incarnation, first.incarnation);
    assert_eq!((first.subscribers, again.subscribers), (1, 1));
    world.check();
    world.zone.close(b"a", &limits(), NOW, &mut wake()).unwrap();
    assert_eq!(publish().incarnation, 0);
    world.publish("a", "next life");
    let again = publish();
    assert_eq!(
        (again.repeated, again.incarnation, again.subscribers),
        (true, 0, 1)
    );
    world.check();
}

/// A subscriber that moves between workers is not attached to another life in silence.
#[test]
fn a_subscriber_is_not_passed_on_to_another_life() {
    let world = World::new(SIZE);
    let (old, new) = (world.worker(), world.worker());
    // Others keep the page that the channel is in, so that its place is a channel's again.
    for n in 0..64 {
        let name = n.to_string();
        world.subscribe(world.me, &name, 0, Stay::Always).unwrap();
    }
    let (subscription, _) = world.subscribe(old, "a", 0, Stay::Always).unwrap();
    let life = world.life("a", subscription.channel.unwrap());
    // The worker is gone with all its counts, and the channel's place is taken by its next life.
    world.zone.detach(old, &limits(), NOW);
    expire(&world, "a");
    let mut number = None;
    for _ in 0..1000 {
        world.publish("a", "x");
        let (subscription, _) = world.subscribe(new, "a", 0, Stay::Always).unwrap();
        let channel = subscription.channel.unwrap();
        number = Some(channel.number()).filter(|number| *number == life.0);
        if number.is_some() {
            break;
        }
        world.zone.unsubscribe(new, channel, 1, &limits(), NOW);
        world.zone.close(b"a", &limits(), NOW, &mut wake()).unwrap();
    }
    assert_eq!(number, Some(life.0), "its place was not taken again");
    assert_eq!(world.zone.pass_on(b"a", life, 1, None, old, new), None);
    assert!(!world.zone.can_pass_on(b"a", life, 1));
    world.check();
}
