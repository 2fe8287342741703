//! What is said of messages outlives a restart; files of the format before are read.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

#[path = "../../engine/tests/common/mod.rs"]
mod common;

use std::io::Cursor;

use common::{NOW, World, limits};
use icomet_engine::{
    Authority, GIVEN, Kind, Limits, Made, Options, Page, Publication, Request, Stay, WakeSet,
};
use icomet_state::format::{Begin, CHUNK_HEADER, Channel, HEADER, OLDEST, Record, VERSION};
use icomet_state::{Clocks, Writer, load, save};

const AT: Clocks = Clocks {
    zone: NOW,
    wall: 1_700_000_000_000,
};

/// So many milliseconds after [`AT`], on a machine that was started so long before.
fn after(milliseconds: u64, up: u64) -> Clocks {
    Clocks {
        zone: up,
        wall: AT.wall + milliseconds,
    }
}

fn publish(world: &World, publication: Publication<'_>, now: u64) {
    let mut wake = WakeSet::default();
    world
        .zone
        .publish(b"x", publication, &limits(), now, &mut wake)
        .unwrap();
}

fn restarted(world: &World, saved: Clocks, clocks: Clocks, limits: &Limits) -> World {
    let file = save(&world.zone, saved, Vec::new()).unwrap().0;
    let fresh = World::new(1 << 20);
    load(Cursor::new(file), &fresh.zone, limits, clocks).unwrap();
    fresh.check();
    fresh
}

/// Seqs, contents and ages.
fn history(world: &World, limits: &Limits, now: u64) -> Vec<(u64, String, u64)> {
    let page = Page {
        name: b"x",
        after: 0,
        max: 100,
        reverse: false,
    };
    let reading = world.zone.reading(world.me);
    let mut found = Vec::new();
    reading.history(&page, limits, now, &mut found);
    let describe = |(seq, m)| {
        let message = reading.message(m);
        let text = String::from_utf8(message.content.to_vec()).unwrap();
        (seq, text, message.age(now))
    };
    found.into_iter().map(describe).collect()
}

fn plain(content: &str) -> Publication<'_> {
    Publication::from(content.as_bytes())
}

#[test]
fn options_outlive_a_restart_and_times_go_on() {
    let world = World::new(1 << 20);
    let ttl = |content, ttl| Publication {
        ttl: Some(ttl),
        ..plain(content)
    };
    publish(&world, ttl("ended before", 1), NOW - 10);
    publish(&world, ttl("ends while nginx is away", 3000), NOW);
    let all = Publication {
        event: b"e",
        exclude: 77,
        ..ttl("stays", 60_000)
    };
    publish(&world, all, NOW);
    world
        .zone
        .expire(&limits(), NOW, 100, &mut WakeSet::default());
    assert_eq!(world.zone.stats().messages, 2);
    let up = 5000;
    let fresh = restarted(&world, AT, after(10_000, up), &limits());
    assert_eq!(
        history(&fresh, &limits(), up),
        [(3, "stays".to_owned(), 10_000)]
    );
    // Who resumes from before them is told nothing.
    let request = Request {
        name: b"x",
        seq: 1,
        epoch: None,
        authority: Authority::Open,
        stay: Stay::Never,
        user: None,
    };
    let reading = fresh.zone.reading(fresh.me);
    let mut found = Vec::new();
    let mut wake = WakeSet::default();
    let subscribed = reading
        .subscribe(&request, &limits(), up, &mut found, &mut wake)
        .unwrap();
    assert_eq!((subscribed.first, subscribed.lost), (3, None));
    let message = reading.message(found[0]);
    let options = Options {
        event: b"e",
        exclude: 77,
        until: Some(up + 50_000),
    };
    assert_eq!((message.kind, message.options), (Kind::Data, options));
    drop(reading);
    assert_eq!(fresh.zone.user_tag(b"alice"), world.zone.user_tag(b"alice"));
    assert_eq!(history(&fresh, &limits(), up + 50_000), []);
    fresh
        .zone
        .expire(&limits(), up + 51_000, 100, &mut WakeSet::default());
    assert_eq!(fresh.zone.stats().messages, 0);
}

/// The clock of a machine that was just started is behind the messages' times.
#[test]
fn a_ttl_counts_from_the_publish_also_on_a_machine_that_was_started_anew() {
    let world = World::new(1 << 20);
    let kept = Limits {
        message_ttl: 60_000,
        ..limits()
    };
    for (content, before) in [("1", 59_000), ("2", 40_000), ("3", 20_000)] {
        publish(&world, plain(content), NOW - before);
    }
    let up = 1000;
    let fresh = restarted(&world, AT, after(10_000, up), &kept);
    let left = |now| {
        let found = history(&fresh, &kept, now);
        found.into_iter().map(|(seq, ..)| seq).collect::<Vec<_>>()
    };
    assert_eq!(left(up), [2, 3]);
    assert_eq!(history(&fresh, &kept, up)[0].2, 50_000);
    assert_eq!(left(up + 9999), [2, 3]);
    assert_eq!(left(up + 10_000), [3]);
    let at = after(10_000, up);
    // Saved once more, before the clock has come to where it was.
    let again = restarted(&fresh, at, at, &kept);
    assert_eq!(history(&again, &kept, up).len(), 1);
    fresh
        .zone
        .expire(&kept, up + 31_000, 100, &mut WakeSet::default());
    assert_eq!(fresh.zone.stats().messages, 0);
}

/// A file of that format, made of records that it has.
fn file_of(version: u32, next: u64, content: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new()).unwrap();
    let channel = Channel {
        name: b"x",
        next,
        messages: 1,
        remaining: 0,
        token: None,
    };
    let message = Record::Message {
        channel: 0,
        age: 0,
        content,
    };
    let begin = Record::Begin(Begin {
        epoch: 77,
        written: AT.wall,
        ..Begin::default()
    });
    for record in [begin, Record::Channel(channel), message] {
        writer.put(&record).unwrap();
    }
    let mut file = writer.finish().unwrap().0;
    // The version is in all checksums.
    file[8..12].copy_from_slice(&version.to_le_bytes());
    let mut crc = crc32fast::hash(&file[..12]);
    let mut at = HEADER;
    while at < file.len() {
        let length = u32::from_le_bytes(file[at..at + 4].try_into().unwrap()) as usize;
        let end = at + CHUNK_HEADER + length;
        let mut hasher = crc32fast::Hasher::new_with_initial(crc);
        hasher.update(&file[at..at + 4]);
        hasher.update(&file[at + CHUNK_HEADER..end]);
        crc = hasher.finalize();
        file[at + 4..at + 8].copy_from_slice(&crc.to_le_bytes());
        at = end;
    }
    file
}

#[test]
fn files_of_the_formats_before_are_read_and_their_channels_live_anew() {
    for version in OLDEST..VERSION {
        let file = file_of(version, 2, b"old");
        let fresh = World::new(1 << 20);
        load(Cursor::new(&file), &fresh.zone, &limits(), AT).unwrap();
        assert_eq!(history(&fresh, &limits(), NOW), [(1, "old".to_owned(), 0)]);
        assert_eq!(fresh.zone.epoch(), 77);
        assert_eq!(fresh.zone.channel(b"x").unwrap().incarnation, 1);
        fresh.publish("y", "new");
        assert_eq!(fresh.zone.channel(b"y").unwrap().incarnation, 2);
    }
}

/// Channels go on in their lives, and no number of one that is over comes back.
#[test]
fn incarnations_outlive_a_restart() {
    let world = World::new(1 << 20);
    let mut wake = WakeSet::default();
    world.publish("x", "first life");
    world.publish("over", "closed before");
    let over = world.zone.channel(b"over").unwrap().incarnation;
    world.zone.close(b"over", &limits(), NOW, &mut wake);
    let made = world
        .zone
        .make(b"given", 5, &limits(), NOW, &mut wake)
        .unwrap();
    assert_eq!(made, Made::Created);
    let of = |world: &World, name: &[u8]| world.zone.channel(name).unwrap().incarnation;
    let fresh = restarted(&world, AT, AT, &limits());
    assert_eq!(of(&fresh, b"x"), of(&world, b"x"));
    assert_eq!(of(&fresh, b"given"), GIVEN | 5);
    fresh.publish("over", "begins again");
    assert!(of(&fresh, b"over") > over, "{over}");
    // Also when it is written and read once more, and what it held is gone.
    fresh.zone.close(b"over", &limits(), NOW, &mut wake);
    fresh.zone.close(b"x", &limits(), NOW, &mut wake);
    let again = restarted(&fresh, AT, AT, &limits());
    again.publish("x", "second life");
    assert_eq!(of(&again, b"x"), of(&world, b"x") + 3);
}
