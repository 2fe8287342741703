//! Compression: what is sent stays within the window that was agreed on.
#![allow(missing_docs, clippy::unwrap_used)]

use icomet_websocket::deflate::{WINDOW_BITS, compress, inflate};
use proptest::prelude::*;

/// Bytes that repeat themselves only after `period`: what is shorter than them refers as far back.
fn repeated(period: usize, length: usize) -> Vec<u8> {
    // A linear congruential generator (Knuth's MMIX).
    let mut state = 1_u64;
    let once: Vec<u8> = (0..period)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()[0]
        })
        .collect();
    once.iter().copied().cycle().take(length).collect()
}

#[test]
fn a_message_refers_no_further_back_than_its_window() {
    let size = 1 << WINDOW_BITS;
    for period in [100, 200, 600, 1000, 3000, 4200, 9000] {
        let message = repeated(period, 20_000);
        match compress(&message) {
            Some(payload) => {
                assert!(period <= size, "{period}");
                assert!(inflate(&payload, message.len()).unwrap() == message);
            }
            None => assert!(period > size, "{period}"),
        }
    }
}

#[test]
fn what_does_not_compress_is_left_as_it_is() {
    // Sizes around those of the compressor's buffers.
    for size in [128, 4095, 4096, 16_384, 65_535, 65_536, 300_000] {
        assert_eq!(compress(&repeated(size, size)), None, "{size}");
    }
}

proptest! {
    #[test]
    fn any_message_comes_back(message in "[a-f]{0,40}([a-d\\PC]{0,900})[a-f]{0,2000}") {
        if let Some(payload) = compress(message.as_bytes()) {
            prop_assert!(inflate(&payload, message.len()).unwrap() == message.as_bytes());
        }
    }
}
