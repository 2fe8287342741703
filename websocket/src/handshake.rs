//! The request that opens a connection, and the answer to it (RFC 6455, section 4.2).

use core::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use crate::deflate::WINDOW_BITS;

/// The sub-protocol that is spoken here.
pub const PROTOCOL: &str = "icomet.v1";

/// The version that is spoken here, as `Sec-WebSocket-Version`.
pub const VERSION: &str = "13";

/// RFC 6455, section 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The header fields of a GET request by HTTP/1.1 that matter; fields that came several times joined
/// by commas.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// `Upgrade`
    pub upgrade: Option<&'a [u8]>,
    /// `Connection`
    pub connection: Option<&'a [u8]>,
    /// `Sec-WebSocket-Version`
    pub version: Option<&'a [u8]>,
    /// `Sec-WebSocket-Key`
    pub key: Option<&'a [u8]>,
    /// `Sec-WebSocket-Protocol`
    pub protocols: Option<&'a [u8]>,
    /// `Sec-WebSocket-Extensions`
    pub extensions: Option<&'a [u8]>,
}

/// What opens the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acceptance {
    /// `Sec-WebSocket-Accept`
    pub key: String,
    /// `Sec-WebSocket-Protocol`: the client offered it.
    pub protocol: Option<&'static str>,
    /// `Sec-WebSocket-Extensions`: messages are compressed.
    pub extension: Option<&'static str>,
}

/// Why it is not opened. Its text says what would be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeError {
    /// It does not ask for a WebSocket.
    NoUpgrade,
    /// Another version.
    Version,
    /// A key that is none.
    Key,
}

impl HandshakeError {
    /// The HTTP status of the answer; 426 comes with `Upgrade` and `Sec-WebSocket-Version`.
    pub fn status(self) -> u16 {
        match self {
            HandshakeError::NoUpgrade | HandshakeError::Version => 426,
            HandshakeError::Key => 400,
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HandshakeError::NoUpgrade => {
                "this is a WebSocket: send Upgrade: websocket and Connection: Upgrade"
            }
            HandshakeError::Version => "Sec-WebSocket-Version must be 13",
            HandshakeError::Key => "Sec-WebSocket-Key must be 16 bytes in base64",
        })
    }
}

impl std::error::Error for HandshakeError {}

/// Checks the request, and says what opens the connection.
pub fn accept(request: &Request<'_>) -> Result<Acceptance, HandshakeError> {
    let has = |field: Option<&[u8]>, token: &[u8]| {
        list(field.unwrap_or_default()).any(|known| known.eq_ignore_ascii_case(token))
    };
    if !has(request.upgrade, b"websocket") || !has(request.connection, b"upgrade") {
        return Err(HandshakeError::NoUpgrade);
    }
    if request.version.map(<[u8]>::trim_ascii) != Some(VERSION.as_bytes()) {
        return Err(HandshakeError::Version);
    }
    let key = request.key.unwrap_or_default().trim_ascii();
    if !STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16) {
        return Err(HandshakeError::Key);
    }
    let protocols = request.protocols.unwrap_or_default();
    Ok(Acceptance {
        key: accept_key(key),
        protocol: list(protocols)
            .any(|offered| offered == PROTOCOL.as_bytes())
            .then_some(PROTOCOL),
        extension: extension(request.extensions.unwrap_or_default()),
    })
}

/// `Sec-WebSocket-Accept` of a key.
pub fn accept_key(key: &[u8]) -> String {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    STANDARD.encode(digest)
}

/// The elements of a header field that is a list.
fn list(field: &[u8]) -> impl Iterator<Item = &[u8]> {
    field.split(|c| *c == b',').map(<[u8]>::trim_ascii)
}

/// What is agreed to of the offers in `Sec-WebSocket-Extensions`: the first that can be kept to.
///
/// A client is told not to take its context over as well, so that an idle connection needs no window.
fn extension(offers: &[u8]) -> Option<&'static str> {
    list(offers).find_map(|offer| match window(offer)? {
        None => Some("permessage-deflate; server_no_context_takeover; client_no_context_takeover"),
        Some(bits) if bits >= WINDOW_BITS => Some(
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
             server_max_window_bits=12",
        ),
        Some(_) => None,
    })
}

const _: () = assert!(WINDOW_BITS == 12, "it stands in the answer");

/// The server_max_window_bits of a valid offer of permessage-deflate (RFC 7692, section 7.1), if it has
/// one; `None` when the offer is another's or not valid.
fn window(offer: &[u8]) -> Option<Option<u8>> {
    let mut parts = offer.split(|c| *c == b';').map(<[u8]>::trim_ascii);
    if !parts.next()?.eq_ignore_ascii_case(b"permessage-deflate") {
        return None;
    }
    let mut seen: Vec<&[u8]> = Vec::new();
    let mut server = None;
    for part in parts {
        let mut sides = part.splitn(2, |c| *c == b'=').map(<[u8]>::trim_ascii);
        let (name, value) = (sides.next()?, sides.next());
        if seen.contains(&name) {
            return None;
        }
        seen.push(name);
        match (name, value) {
            (b"server_no_context_takeover" | b"client_no_context_takeover", None) => {}
            (b"client_max_window_bits", None) => {}
            (b"client_max_window_bits", Some(value)) => {
                bits(value)?;
            }
            (b"server_max_window_bits", Some(value)) => server = Some(bits(value)?),
            _ => return None,
        }
    }
    Some(server)
}

/// A number of bits: 8 to 15, without leading zeros, perhaps in quotes.
fn bits(value: &[u8]) -> Option<u8> {
    let unquoted = value
        .strip_prefix(b"\"")
        .and_then(|v| v.strip_suffix(b"\""));
    match unquoted.unwrap_or(value) {
        [digit @ b'8'..=b'9'] => Some(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Some(10 + digit - b'0'),
        _ => None,
    }
}
