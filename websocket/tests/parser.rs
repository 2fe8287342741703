//! Client frames: what is read, whatever the pieces it comes in, and what is refused.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use icomet_websocket::{Event, FrameError, Limits, Parser, frame};
use proptest::prelude::*;

const LIMITS: Limits = Limits {
    max_message: 1000,
    deflate: false,
};
const DEFLATE: Limits = Limits {
    deflate: true,
    ..LIMITS
};

/// A client's frame: the first byte, its payload, masked.
fn client(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [7, 99, 200, 1];
    let mut out = vec![first];
    match payload.len() {
        n @ 0..=125 => out.push(0x80 | n as u8),
        n @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend((n as u16).to_be_bytes());
        }
        n => {
            out.push(0x80 | 127);
            out.extend((n as u64).to_be_bytes());
        }
    }
    out.extend(mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
    out
}

/// All that comes of these pieces.
fn read<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    limits: &Limits,
) -> (Vec<Event>, Option<FrameError>) {
    let (mut parser, mut events) = (Parser::default(), Vec::new());
    for mut piece in pieces {
        loop {
            match parser.next(&mut piece, limits) {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => return (events, Some(error)),
            }
        }
        assert!(piece.is_empty());
    }
    (events, None)
}

fn one(bytes: &[u8]) -> Result<Event, FrameError> {
    match read([bytes], &LIMITS) {
        (mut events, None) if events.len() == 1 => Ok(events.remove(0)),
        (events, Some(error)) if events.is_empty() => Err(error),
        other => panic!("{other:?}"),
    }
}

#[test]
fn whole_messages() {
    let text = |text: &str| Event::Text(text.to_owned());
    assert_eq!(one(&client(0x81, b"")), Ok(text("")));
    assert_eq!(one(&client(0x81, "grüße".as_bytes())), Ok(text("grüße")));
    for n in [125, 126, 127, 999, 1000] {
        let bytes = vec![b'x'; n];
        assert_eq!(one(&client(0x82, &bytes)), Ok(Event::Binary(bytes)));
    }
    assert_eq!(one(&client(0x89, b"p")), Ok(Event::Ping(b"p".to_vec())));
    assert_eq!(one(&client(0x8a, b"")), Ok(Event::Pong));
    assert_eq!(one(&client(0x88, b"")), Ok(Event::Close(None)));
    assert_eq!(
        one(&client(0x88, b"\x03\xe8bye")),
        Ok(Event::Close(Some(1000)))
    );
}

#[test]
fn control_frames_come_between_fragments() {
    let bytes = [
        client(0x01, b"gr"),
        client(0x89, b"1"),
        client(0x00, b""),
        client(0x8a, b""),
        client(0x80, b"!"),
    ]
    .concat();
    let events = vec![
        Event::Ping(b"1".to_vec()),
        Event::Pong,
        Event::Text("gr!".to_owned()),
    ];
    assert_eq!(read([&bytes[..]], &LIMITS), (events, None));
}

#[test]
fn a_character_may_be_cut() {
    let bytes = [client(0x01, b"\xe2\x82"), client(0x80, b"\xac")].concat();
    assert_eq!(one(&bytes), Ok(Event::Text("€".into())));
    let half = [client(0x01, b"\xe2\x82"), client(0x80, b"")].concat();
    assert_eq!(one(&half), Err(FrameError::NotUtf8));
}

#[test]
fn refused() {
    let cases: [(&[u8], FrameError); 15] = [
        (b"\x81\x01x", FrameError::NotMasked),
        (&client(0xc1, b"x"), FrameError::ReservedBit),
        (&client(0xa1, b"x"), FrameError::ReservedBit),
        (&client(0x91, b"x"), FrameError::ReservedBit),
        (&client(0x83, b"x"), FrameError::Opcode),
        (&client(0x8b, b"x"), FrameError::Opcode),
        (&client(0x89, &[0; 126]), FrameError::Control),
        (&client(0x09, b""), FrameError::Control),
        (&client(0x80, b"x"), FrameError::Fragment),
        (
            &[client(0x01, b"x"), client(0x81, b"x")].concat(),
            FrameError::Fragment,
        ),
        (&client(0x81, b"a\xff"), FrameError::NotUtf8),
        (&client(0x81, &[b'x'; 1001]), FrameError::TooBig),
        (
            &[client(0x01, &[b'x'; 600]), client(0x80, &[b'x'; 401])].concat(),
            FrameError::TooBig,
        ),
        (&client(0x88, b"\x03"), FrameError::CloseCode),
        (&client(0x88, b"\x03\xe8\xff"), FrameError::NotUtf8),
    ];
    for (bytes, error) in cases {
        assert_eq!(one(bytes), Err(error), "{bytes:x?}");
    }
    // Text that is wrong already is refused before its frame is whole.
    let bytes = client(0x81, b"\xff and more");
    assert_eq!(one(&bytes[..8]), Err(FrameError::NotUtf8));
}

#[test]
fn close_codes() {
    for code in [1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 4999_u16] {
        let close = one(&client(0x88, &code.to_be_bytes()));
        assert_eq!(close, Ok(Event::Close(Some(code))), "{code}");
    }
    for code in [
        0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2999, 5000, 65535_u16,
    ] {
        let close = one(&client(0x88, &code.to_be_bytes()));
        assert_eq!(close, Err(FrameError::CloseCode), "{code}");
    }
}

#[test]
fn nothing_after_a_close() {
    let bytes = [client(0x88, b""), client(0x81, b"x")].concat();
    let (events, error) = read([&bytes[..]], &LIMITS);
    assert_eq!((events.len(), error), (1, Some(FrameError::Closed)));
}

#[test]
fn inflated_as_far_as_it_may_be() {
    let message = "abc ".repeat(250);
    let payload = icomet_websocket::deflate::compress(message.as_bytes()).unwrap();
    let bytes = client(0xc1, &payload);
    let events = vec![Event::Text(message)];
    assert_eq!(read([&bytes[..]], &DEFLATE), (events, None));
    let bomb = icomet_websocket::deflate::compress(&[b' '; 1001]).unwrap();
    let (_, error) = read([&client(0xc1, &bomb)[..]], &DEFLATE);
    assert_eq!(error, Some(FrameError::TooBig));
    let (_, error) = read([&client(0xc1, b"\xff\xff\xff")[..]], &DEFLATE);
    assert_eq!(error, Some(FrameError::Deflate));
    // A control frame and a later fragment are never compressed.
    let (_, error) = read([&client(0xc9, b"")[..]], &DEFLATE);
    assert_eq!(error, Some(FrameError::ReservedBit));
    let late = [client(0x01, b"x"), client(0xc0, b"x")].concat();
    let (_, error) = read([&late[..]], &DEFLATE);
    assert_eq!(error, Some(FrameError::ReservedBit));
}

#[test]
fn empty_compressed_messages() {
    // RFC 7692, section 7.2.3.6, and the same with a last block.
    for payload in [&b"\x00"[..], b"\x02\x00", b"\x03\x00"] {
        let (events, error) = read([&client(0xc1, payload)[..]], &DEFLATE);
        assert_eq!((events, error), (vec![Event::Text(String::new())], None));
    }
    // RFC 7692, section 7.2.3.1 to 7.2.3.4: "Hello".
    for payload in [
        &b"\xf2\x48\xcd\xc9\xc9\x07\x00"[..],
        b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00",
        b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00",
        b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
    ] {
        let (events, error) = read([&client(0xc1, payload)[..]], &DEFLATE);
        assert_eq!((events, error), (vec![Event::Text("Hello".into())], None));
    }
}

fn frames() -> impl Strategy<Value = Vec<u8>> {
    let payload = proptest::collection::vec(any::<u8>(), 0..300);
    let text = "\\PC{0,80}".prop_map(String::into_bytes);
    let first = prop_oneof![
        8 => proptest::sample::select(vec![0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x89, 0x8a, 0xc1, 0x88]),
        1 => any::<u8>(),
    ];
    let one =
        (first, prop_oneof![text, payload]).prop_map(|(first, payload)| client(first, &payload));
    let bytes = prop_oneof![8 => one, 1 => proptest::collection::vec(any::<u8>(), 0..20)];
    proptest::collection::vec(bytes, 0..8).prop_map(|frames| frames.concat())
}

proptest! {
    #[test]
    fn cut_anywhere_gives_the_same(bytes in frames(), cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12), deflate: bool) {
        let limits = Limits { max_message: 500, deflate };
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        places.extend([0, bytes.len()]);
        places.sort_unstable();
        let pieces = places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]);
        let whole = read([&bytes[..]], &limits);
        prop_assert_eq!(read(pieces, &limits), whole.clone());
        prop_assert_eq!(read(bytes.chunks(1), &limits), whole);
    }

    #[test]
    fn compressed_messages_come_back(message in "[a-d\\PC]{0,3000}", longest in 0..9000_usize) {
        if let Some(payload) = icomet_websocket::deflate::compress(message.as_bytes()) {
            prop_assert!(payload.len() < message.len());
            let inflated = icomet_websocket::deflate::inflate(&payload, longest);
            if message.len() <= longest {
                prop_assert_eq!(inflated, Ok(message.into_bytes()));
            } else {
                prop_assert!(inflated.is_err());
            }
        }
    }

    #[test]
    fn inflating_anything_stays_within_bounds(payload in proptest::collection::vec(any::<u8>(), 0..200), longest in 0..5000_usize) {
        if let Ok(message) = icomet_websocket::deflate::inflate(&payload, longest) {
            prop_assert!(message.len() <= longest);
        }
    }
}

/// A server's frame as its client reads it: first byte and payload.
fn server(bytes: &[u8]) -> (u8, &[u8]) {
    let start = match bytes[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    (bytes[0], &bytes[start..])
}

#[test]
fn server_frames() {
    for n in [0, 125, 126, 65535, 65536] {
        let message = vec![b'x'; n];
        let mut out = Vec::new();
        frame::text(&message, &mut out);
        assert_eq!(server(&out), (0x81, &message[..]));
    }
    let mut out = Vec::new();
    frame::close(
        icomet_websocket::CloseCode::GoingAway,
        &"é".repeat(80),
        &mut out,
    );
    assert_eq!(out[..4], [0x88, 124, 0x03, 0xe9]);
    assert!(core::str::from_utf8(&out[4..]).is_ok());
    out.clear();
    frame::text_compressed(&[b'x'; 500], &mut out);
    assert_eq!(out[0], 0xc1);
    assert!(out.len() < 50);
    out.clear();
    frame::text_compressed(b"short", &mut out);
    assert_eq!(server(&out), (0x81, &b"short"[..]));
}
