//! State files: any bytes; and any records in chunks with right checksums, loaded into a zone.
//!
//! Input: an even first byte, then what stands behind a file's header; or an odd one, then records.

#![no_main]

#[path = "../../engine/tests/common/mod.rs"]
mod common;

use std::io::Cursor;

use common::{NOW, World, limits};
use icomet_state::format::{FULL, Record, header};
use icomet_state::{Clocks, LoadError, Writer, load, save};
use libfuzzer_sys::fuzz_target;

const AT: Clocks = Clocks {
    zone: NOW,
    wall: 1_700_000_000_000,
};

fuzz_target!(|data: &[u8]| {
    let Some((kind, data)) = data.split_first() else {
        return;
    };
    let file = if kind % 2 == 0 {
        [&header(FULL)[..], data].concat()
    } else {
        written(data)
    };
    let world = World::new(1 << 20);
    let loaded = load(Cursor::new(&file), &world.zone, &limits(), AT);
    world.check();
    match loaded {
        Ok(_) => {
            // What came in goes out again, and is a file that fits.
            let (again, _) = save(&world.zone, AT, Vec::new()).expect("a Vec takes it");
            let second = World::new(1 << 20);
            let reloaded = load(Cursor::new(&again), &second.zone, &limits(), AT);
            assert!(reloaded.is_ok(), "{reloaded:?}");
            let (one, two) = (world.zone.stats(), second.zone.stats());
            assert_eq!((one.channels, one.messages), (two.channels, two.messages));
            second.check();
        }
        Err(LoadError::Read(_)) => assert_eq!(world.zone.stats().channels, 0),
        Err(_) => {}
    }
});

/// As many records as can be read, in a file that nothing is wrong with but they.
fn written(mut data: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new()).expect("a Vec takes it");
    while let Ok((record, rest)) = postcard::take_from_bytes::<Record<'_>>(data) {
        writer.put(&record).expect("a Vec takes it");
        data = rest;
    }
    writer.finish().expect("a Vec takes it").0
}
