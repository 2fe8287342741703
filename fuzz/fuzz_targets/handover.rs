//! Packets between workers: a subscriber that moves, hellos and answers.
//!
//! Input: the packet.

#![no_main]

use icomet_handover::{DecodeError, Packet, VERSION};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    match Packet::decode(data) {
        Ok(packet) => {
            assert_eq!(data.first(), Some(&VERSION));
            // What is read is written again as something that is read the same.
            let mut written = Vec::new();
            packet.encode(&mut written).expect("a Vec takes it");
            assert_eq!(Packet::decode(&written), Ok(packet));
        }
        Err(DecodeError::Version(version)) => {
            assert_eq!(version, data.first().copied());
            assert_ne!(version, Some(VERSION));
        }
        Err(DecodeError::Malformed(_)) => assert_eq!(data.first(), Some(&VERSION)),
    }
});
