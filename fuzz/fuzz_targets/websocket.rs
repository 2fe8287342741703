//! What a WebSocket client sends: the header fields of its handshake, and its frames.
//!
//! Input: a byte of choices, a byte that says how the rest is cut, then frames, or a header field.

#![no_main]

use icomet_protocol::origin::{AllowedOrigins, Page};
use icomet_websocket::handshake::{self, Request};
use icomet_websocket::{Event, FrameError, Limits, Parser};
use libfuzzer_sys::fuzz_target;

const LONGEST: usize = 4096;

fuzz_target!(|data: &[u8]| {
    let Some(([choices, cut], rest)) = data.split_first_chunk() else {
        return;
    };
    let limits = Limits {
        max_message: LONGEST,
        deflate: choices & 1 != 0,
    };
    let whole = read([rest].into_iter(), &limits);
    // However it is cut, the same comes of it.
    let piece = usize::from(*cut).max(1);
    assert_eq!(read(rest.chunks(piece), &limits), whole);
    assert_eq!(read(rest.chunks(1), &limits), whole);
    for event in &whole.0 {
        match event {
            Event::Text(text) => assert!(text.len() <= LONGEST),
            Event::Binary(bytes) => assert!(bytes.len() <= LONGEST),
            Event::Ping(payload) => assert!(payload.len() <= 125),
            Event::Pong | Event::Close(_) => {}
        }
    }
    handshake(rest);
});

fn read<'a>(
    pieces: impl Iterator<Item = &'a [u8]>,
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

/// Any field may hold anything.
fn handshake(field: &[u8]) {
    let good = Request {
        upgrade: Some(b"websocket"),
        connection: Some(b"Upgrade"),
        version: Some(b"13"),
        key: Some(b"dGhlIHNhbXBsZSBub25jZQ=="),
        protocols: Some(field),
        extensions: Some(field),
    };
    let accepted = handshake::accept(&good).expect("offers never refuse");
    if let Some(extension) = accepted.extension {
        assert!(
            field
                .windows(18)
                .any(|w| w.eq_ignore_ascii_case(b"permessage-deflate"))
        );
        assert!(extension.contains("no_context_takeover"));
    }
    let key = Some(field);
    if handshake::accept(&Request { key, ..good }).is_ok() {
        assert_eq!(field.trim_ascii().len(), 24);
    }
    let upgrade = Some(field);
    let _ = handshake::accept(&Request { upgrade, ..good });
    let page = Page {
        origin: Some(field),
        host: Some(b"a.example"),
        ..Page::default()
    };
    let _ = AllowedOrigins::SameOrigin.allow_socket(&page);
    let _ = AllowedOrigins::SameOrigin.allow(&page);
}
