//! Files that are not as they were written.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

#[path = "../../engine/tests/common/mod.rs"]
mod common;

use std::io::Cursor;

use common::{NOW, World, limits};
use icomet_engine::WakeSet;
use icomet_state::format::{Begin, Channel, Counts, OLDEST, Record, VERSION};
use icomet_state::{Clocks, LoadError, Nothing, ReadError, Writer, load, read, save};
use proptest::prelude::*;

const AT: Clocks = Clocks {
    zone: NOW,
    wall: 1_700_000_000_000,
};

/// A small file that has something of everything.
fn file() -> Vec<u8> {
    let world = World::new(1 << 20);
    for n in 0..3 {
        world.publish(&format!("c{n}"), "one");
        world.publish(&format!("c{n}"), &"two ".repeat(20));
    }
    let mut wake = WakeSet::default();
    let mut job = world.zone.broadcast(world.me, b"to all", NOW).unwrap();
    while !world
        .zone
        .broadcast_step(&mut job, 9, &limits(), NOW, &mut wake)
    {}
    world
        .zone
        .sign(b"signed", 5000, [3; 16], &limits(), NOW, &mut wake)
        .unwrap();
    save(&world.zone, AT, Vec::new()).unwrap().0
}

fn try_load(bytes: &[u8], world: &World) -> Result<u64, LoadError> {
    load(Cursor::new(bytes), &world.zone, &limits(), AT).map(|loaded| loaded.restored.channels)
}

/// It is refused, and the zone is as it was.
fn refused(bytes: &[u8], world: &World) -> ReadError {
    match try_load(bytes, world) {
        Err(LoadError::Read(error)) => {
            let stats = world.zone.stats();
            assert_eq!((stats.channels, stats.messages), (0, 0));
            assert_eq!(world.zone.epoch(), 0x1234);
            error
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let file = file();
    let world = World::new(1 << 20);
    for len in 0..file.len() {
        refused(&file[..len], &world);
    }
    assert_eq!(try_load(&file, &world).unwrap(), 4);
}

#[test]
fn a_file_with_more_behind_it_is_refused() {
    let mut file = file();
    let world = World::new(1 << 20);
    for more in 1..40 {
        file.push(more);
        refused(&file, &world);
    }
    let twice = [&file[..], &file[..]].concat();
    refused(&twice, &world);
}

#[test]
fn a_bit_flipped_anywhere_is_found() {
    let file = file();
    let world = World::new(1 << 20);
    for at in 0..file.len() {
        for bit in 0..8 {
            let mut flipped = file.clone();
            flipped[at] ^= 1 << bit;
            let error = refused(&flipped, &world);
            match at {
                0..8 => assert!(matches!(error, ReadError::Foreign), "{at}: {error}"),
                // Another version that is read: then the checksum, which covers it, is wrong.
                8 if (OLDEST..VERSION).contains(&flipped[at].into()) => {
                    assert!(matches!(error, ReadError::Damaged { .. }), "{at}: {error}");
                }
                8..12 => assert!(matches!(error, ReadError::OtherVersion(_)), "{at}: {error}"),
                _ => assert!(matches!(error, ReadError::Damaged { .. }), "{at}: {error}"),
            }
        }
    }
}

#[test]
fn chunks_out_of_their_order_are_found() {
    let world = World::new(4 << 20);
    for n in 0..40 {
        world.publish(&format!("c{n}"), &"long ".repeat(2000));
    }
    let file = save(&world.zone, AT, Vec::new()).unwrap().0;
    let mut chunks = Vec::new();
    let mut at = 16;
    while at < file.len() {
        let len = u32::from_le_bytes(file[at..at + 4].try_into().unwrap()) as usize;
        chunks.push(&file[at..at + 8 + len]);
        at += 8 + len;
    }
    assert!(chunks.len() > 3, "{} chunks", chunks.len());
    let fresh = World::new(4 << 20);
    for left in 0..chunks.len() {
        let mut without = chunks.clone();
        without.remove(left);
        refused(&[&file[..16], &without.concat()].concat(), &fresh);
    }
    for pair in 1..chunks.len() {
        let mut swapped = chunks.clone();
        swapped.swap(pair - 1, pair);
        refused(&[&file[..16], &swapped.concat()].concat(), &fresh);
    }
}

#[derive(Debug, Clone)]
enum Piece {
    Begin,
    Broadcast(Vec<u8>),
    Channel(Vec<u8>, u64, u64),
    Message(u32, Vec<u8>),
    Reference(u32, u32),
    End(u64, u64, u64),
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..30)
}

fn piece() -> impl Strategy<Value = Piece> {
    prop_oneof![
        Just(Piece::Begin),
        bytes().prop_map(Piece::Broadcast),
        (bytes(), any::<u64>(), any::<u64>())
            .prop_map(|(name, next, messages)| Piece::Channel(name, next, messages)),
        (0..6u32, bytes()).prop_map(|(n, content)| Piece::Message(n, content)),
        (0..6u32, 0..4u32).prop_map(|(n, b)| Piece::Reference(n, b)),
        (0..4u64, 0..4u64, 0..4u64).prop_map(|(b, c, m)| Piece::End(b, c, m)),
    ]
}

/// The pieces of a right file, but that two channels may have one name.
fn right() -> impl Strategy<Value = Vec<Piece>> {
    let channel = ("[a-c]{1,2}", 0..4u64, 1..9u64);
    let broadcasts = prop::collection::vec(bytes(), 0..3);
    (broadcasts, prop::collection::vec(channel, 0..6)).prop_map(|(broadcasts, channels)| {
        let mut pieces = vec![Piece::Begin];
        let bodies = broadcasts.len() as u32;
        pieces.extend(broadcasts.into_iter().map(Piece::Broadcast));
        for (name, messages, gone) in &channels {
            let next = messages + gone;
            pieces.push(Piece::Channel(name.clone().into(), next, *messages));
        }
        for (number, (name, messages, _)) in channels.iter().enumerate() {
            for n in 0..*messages as u32 {
                pieces.push(if n < bodies {
                    Piece::Reference(number as u32, n)
                } else {
                    Piece::Message(number as u32, name.repeat(n as usize).into())
                });
            }
        }
        pieces
    })
}

#[derive(Debug, Clone)]
enum Edit {
    Swap(prop::sample::Index, prop::sample::Index),
    Remove(prop::sample::Index),
    Insert(prop::sample::Index, Piece),
}

fn edit() -> impl Strategy<Value = Edit> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        (index(), index()).prop_map(|(a, b)| Edit::Swap(a, b)),
        index().prop_map(Edit::Remove),
        (index(), piece()).prop_map(|(at, piece)| Edit::Insert(at, piece)),
    ]
}

fn written(pieces: &[Piece]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new()).unwrap();
    for piece in pieces {
        let record = match piece {
            Piece::Begin => Record::Begin(Begin::default()),
            Piece::Broadcast(content) => Record::Broadcast {
                age: u64::MAX,
                content,
            },
            Piece::Channel(name, next, messages) if next % 2 == 0 => Record::Living {
                channel: Channel {
                    name,
                    next: *next,
                    messages: *messages,
                    remaining: u64::MAX,
                    token: None,
                },
                incarnation: *next,
            },
            Piece::Channel(name, next, messages) => Record::Channel(Channel {
                name,
                next: *next,
                messages: *messages,
                remaining: u64::MAX,
                token: None,
            }),
            Piece::Message(channel, content) => Record::Message {
                channel: *channel,
                age: 0,
                content,
            },
            Piece::Reference(channel, broadcast) => Record::Reference {
                channel: *channel,
                broadcast: *broadcast,
            },
            Piece::End(broadcasts, channels, messages) => Record::End(Counts {
                broadcasts: *broadcasts,
                channels: *channels,
                messages: *messages,
            }),
        };
        writer.put(&record).unwrap();
    }
    writer.finish().unwrap().0
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(read(bytes.as_slice(), &mut Nothing).is_err());
        let behind_a_header = [&icomet_state::format::header(*b"FULL")[..], &bytes].concat();
        prop_assert!(read(behind_a_header.as_slice(), &mut Nothing).is_err());
    }

    /// Records that nobody would write so, with right checksums.
    #[test]
    fn any_records_leave_a_whole_zone(
        mut pieces in right(),
        edits in prop::collection::vec(edit(), 0..3),
    ) {
        let is_right = edits.is_empty();
        for edit in edits {
            let len = pieces.len();
            match edit {
                Edit::Swap(a, b) => pieces.swap(a.index(len), b.index(len)),
                Edit::Remove(at) if len > 1 => drop(pieces.remove(at.index(len))),
                Edit::Remove(_) => {}
                Edit::Insert(at, piece) => pieces.insert(at.index(len + 1), piece),
            }
        }
        let world = World::new(1 << 20);
        let came = try_load(&written(&pieces), &world);
        prop_assert!(came.is_ok() || !is_right, "{came:?}");
        if came.is_err() {
            prop_assert_eq!(world.zone.stats().channels, 0);
        }
        world.check();
        world.publish("c", "x");
        world.check();
    }
}
