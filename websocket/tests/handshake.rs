//! The handshake: what is accepted, refused, agreed to.
#![allow(missing_docs, clippy::unwrap_used)]

use icomet_websocket::handshake::{HandshakeError, Request, accept};

const GOOD: Request<'_> = Request {
    upgrade: Some(b"websocket"),
    connection: Some(b"keep-alive, Upgrade"),
    version: Some(b"13"),
    key: Some(b"dGhlIHNhbXBsZSBub25jZQ=="),
    protocols: None,
    extensions: None,
};

#[test]
fn the_example_of_the_rfc() {
    let accepted = accept(&GOOD).unwrap();
    assert_eq!(accepted.key, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!((accepted.protocol, accepted.extension), (None, None));
}

#[test]
fn refused() {
    let no = |request: Request<'_>| accept(&request).unwrap_err();
    let upgrade = [None, Some(&b"h2c"[..])];
    for upgrade in upgrade {
        assert_eq!(no(Request { upgrade, ..GOOD }), HandshakeError::NoUpgrade);
    }
    for connection in [None, Some(&b"keep-alive"[..])] {
        assert_eq!(
            no(Request { connection, ..GOOD }),
            HandshakeError::NoUpgrade
        );
    }
    for version in [None, Some(&b"8"[..]), Some(b"13, 8")] {
        assert_eq!(no(Request { version, ..GOOD }), HandshakeError::Version);
    }
    let keys: [&[u8]; 4] = [
        b"",
        b"short",
        b"dGhlIHNhbXBsZSBub25j",
        b"dGhlIHNhbXBsZSBub25jZQ==, x",
    ];
    for key in keys.map(Some).into_iter().chain([None]) {
        assert_eq!(no(Request { key, ..GOOD }), HandshakeError::Key);
    }
}

#[test]
fn sub_protocol() {
    let chosen = |protocols: &str| {
        let protocols = Some(protocols.as_bytes());
        accept(&Request { protocols, ..GOOD }).unwrap().protocol
    };
    assert_eq!(chosen("chat, icomet.v1"), Some("icomet.v1"));
    assert_eq!(chosen("icomet.v10,Icomet.v1"), None);
}

#[test]
fn compression() {
    const PLAIN: &str =
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    let agreed = |extensions: &str| {
        let extensions = Some(extensions.as_bytes());
        accept(&Request { extensions, ..GOOD }).unwrap().extension
    };
    for offer in [
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate;client_max_window_bits=\"10\"; server_no_context_takeover",
        "x-webkit-deflate-frame, permessage-deflate; client_no_context_takeover",
        "permessage-deflate; server_max_window_bits=9, permessage-deflate",
        "permessage-deflate; unknown, permessage-deflate",
    ] {
        assert_eq!(agreed(offer), Some(PLAIN), "{offer}");
    }
    // Python's websockets.
    let limited =
        agreed("permessage-deflate; server_max_window_bits=12; client_max_window_bits=12");
    assert_eq!(
        limited,
        Some(&*format!("{PLAIN}; server_max_window_bits=12"))
    );
    for offer in [
        "",
        "deflate",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=11",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; client_max_window_bits=08",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; client_max_window_bits; client_max_window_bits",
    ] {
        assert_eq!(agreed(offer), None, "{offer}");
    }
}
