//! Compressed bodies.

#![allow(missing_docs, clippy::unwrap_used)]

use flate2::{Compress, Compression, FlushCompress};
use icomet_protocol::coding::{Coding, CodingError, inflate, of_content_encoding};
use proptest::prelude::*;

const FAST: Compression = Compression::fast();

fn deflated(mut compress: Compress, text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() * 2 + 1024);
    let finish = FlushCompress::Finish;
    let status = compress.compress_vec(text, &mut out, finish).unwrap();
    assert_eq!(status, flate2::Status::StreamEnd);
    out
}

fn gzip(text: &[u8]) -> Vec<u8> {
    deflated(Compress::new_gzip(FAST, 15), text)
}

#[test]
fn what_a_content_encoding_names() {
    for (field, coding) in [
        ("", Ok(None)),
        ("identity", Ok(None)),
        (" GZip ", Ok(Some(Coding::Gzip))),
        ("x-gzip", Ok(Some(Coding::Gzip))),
        ("identity, deflate,", Ok(Some(Coding::Deflate))),
        ("gzip, gzip", Err(CodingError::Unknown)),
        ("br", Err(CodingError::Unknown)),
    ] {
        assert_eq!(of_content_encoding(field.as_bytes()), coding, "{field}");
    }
}

#[test]
fn a_bomb_is_refused_at_its_bound() {
    let zeros = vec![0; 8 << 20];
    for (coding, body) in [
        (Coding::Gzip, gzip(&zeros)),
        (Coding::Deflate, deflated(Compress::new(FAST, true), &zeros)),
    ] {
        assert!(body.len() < zeros.len() / 100);
        let longest = zeros.len();
        assert_eq!(inflate(coding, &body, longest).unwrap(), zeros);
        let refused = Err(CodingError::TooLong);
        assert_eq!(inflate(coding, &body, longest - 1), refused);
        assert_eq!(inflate(coding, &body, 0), refused);
    }
}

#[test]
fn members_are_read_up_to_their_bound() {
    let member = gzip(b"ab");
    let both = member.repeat(2);
    assert_eq!(inflate(Coding::Gzip, &both, 4).unwrap(), b"abab");
    assert_eq!(inflate(Coding::Gzip, &both, 3), Err(CodingError::TooLong));
    let many = gzip(b"").repeat(65);
    let refused = Err(CodingError::Malformed);
    assert_eq!(inflate(Coding::Gzip, &many, 100), refused);
    let twice = deflated(Compress::new(FAST, true), b"ab").repeat(2);
    assert_eq!(inflate(Coding::Deflate, &twice, 100), refused);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn comes_out_as_it_went_in(text in prop::collection::vec(any::<u8>(), 0..3000)) {
        let zlib = deflated(Compress::new(FAST, true), &text);
        let raw = deflated(Compress::new(FAST, false), &text);
        for (coding, body) in [
            (Coding::Gzip, gzip(&text)),
            (Coding::Deflate, zlib),
            (Coding::Deflate, raw),
        ] {
            let done = inflate(coding, &body, text.len());
            prop_assert!(done.as_ref() == Ok(&text), "{coding:?} {} {:?} {:?}", text.len(), body.get(..4), done.err());
            // What is cut is never taken for whole.
            let cut = body.get(..body.len() - 1).unwrap();
            prop_assert_eq!(inflate(coding, cut, text.len()), Err(CodingError::Malformed));
        }
    }

    #[test]
    fn any_bytes_end(body in prop::collection::vec(any::<u8>(), 0..200), longest in 0..5000_usize) {
        for coding in [Coding::Gzip, Coding::Deflate] {
            if let Ok(text) = inflate(coding, &body, longest) {
                prop_assert!(text.len() <= longest);
            }
        }
    }
}
