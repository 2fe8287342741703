//! The answers of the endpoints that do not subscribe.
//!
//! Many of the admin side's go out as `text/html`, as the original's do. So that a channel's name
//! cannot become markup in a browser, JSON writes `<` as `\u003c` there and plain text is escaped
//! as HTML.

use crate::callback::Callback;
use crate::content::{self, Place};
use crate::number;

/// Appends `ping`'s answer; `sub_timeout` is the polling timeout in seconds.
pub fn ping(callback: Option<&Callback<'_>>, sub_timeout: u64, out: &mut Vec<u8>) {
    match callback {
        Some(callback) => callback.open(out),
        // Nothing in it is the client's.
        None => {
            out.extend_from_slice(Callback::DEFAULT.as_str().as_bytes());
            out.push(b'(');
        }
    }
    ping_body(sub_timeout, out);
    out.extend_from_slice(b");\n");
}

fn ping_body(sub_timeout: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"ping\",\"sub_timeout\":");
    number::write_u64(sub_timeout, out);
    out.push(b'}');
}

/// What `sign` tells.
#[derive(Clone, Copy)]
pub struct Sign<'a> {
    /// The channel's name, raw.
    pub channel: &'a str,
    /// The smallest buffered seq, else the next.
    pub seq: u64,
    /// The channel's token; written as 32 lower-case hex digits.
    pub token: &'a [u8; 16],
    /// How long the channel lives without a subscriber, in seconds.
    pub expires: u64,
    /// The polling timeout in seconds.
    pub sub_timeout: u64,
}

/// Appends `sign`'s answer.
pub fn sign(callback: Option<&Callback<'_>>, sign: &Sign<'_>, out: &mut Vec<u8>) {
    wrapped(callback, out, |out| {
        out.extend_from_slice(b"{\"type\":\"sign\",\"cname\":\"");
        content::write_text(sign.channel, Place::Html, out);
        out.extend_from_slice(b"\",\"seq\":");
        number::write_u64(sign.seq, out);
        out.extend_from_slice(b",\"token\":\"");
        for &byte in sign.token {
            number::write_hex_byte(byte, out);
        }
        out.extend_from_slice(b"\",\"expires\":");
        number::write_u64(sign.expires, out);
        out.extend_from_slice(b",\"sub_timeout\":");
        number::write_u64(sign.sub_timeout, out);
        out.push(b'}');
    });
}

/// Appends the answer to a `pub` or `push` that went well.
pub fn ok(callback: Option<&Callback<'_>>, out: &mut Vec<u8>) {
    wrapped(callback, out, |out| {
        out.extend_from_slice(b"{\"type\":\"ok\"}")
    });
}

/// Appends the answer to a `broadcast` that went well.
pub fn broadcast_done(out: &mut Vec<u8>) {
    out.extend_from_slice(b"ok\n");
}

/// Appends the body of an HTTP error; `channel` is empty when there is no valid name.
pub fn error_body(status: u16, channel: &str, text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"");
    number::write_u64(status.into(), out);
    out.extend_from_slice(b"\",\"cname\":\"");
    content::write_text(channel, Place::Json, out);
    out.extend_from_slice(b"\",\"seq\":0,\"content\":\"");
    content::write_text(text, Place::Json, out);
    out.extend_from_slice(b"\"}\n");
}

/// Appends `info`'s answer about one channel.
pub fn info_channel(channel: &str, subscribers: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"cname\": \"");
    content::write_text(channel, Place::Html, out);
    out.extend_from_slice(b"\", \"subscribers\": ");
    number::write_u64(subscribers, out);
    out.extend_from_slice(b"}\n");
}

/// Appends `info`'s answer about the hub; `version` is the module's.
pub fn info_total(version: &str, channels: u64, subscribers: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"version\": \"");
    content::write_text(version, Place::Html, out);
    out.extend_from_slice(b"\", \"channels\": ");
    number::write_u64(channels, out);
    out.extend_from_slice(b", \"subscribers\": ");
    number::write_u64(subscribers, out);
    out.extend_from_slice(b"}\n");
}

/// Appends `check`'s answer: the channel's name if it is alive.
pub fn check(alive: Option<&str>, out: &mut Vec<u8>) {
    out.push(b'{');
    if let Some(channel) = alive {
        out.push(b'"');
        content::write_text(channel, Place::Html, out);
        out.extend_from_slice(b"\": 1");
    }
    out.extend_from_slice(b"}\n");
}

/// Appends the answer to a `close` or `clear` that went well.
pub fn closed(next_seq: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"ok ");
    number::write_u64(next_seq, out);
    out.push(b'\n');
}

/// Appends the 404 body of `close` and `clear`.
pub fn not_connected(channel: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"channel[");
    write_html(channel, out);
    out.extend_from_slice(b"] not connected\n");
}

/// Appends one line of `psub`: the channel is there (`online`) or gone.
///
/// The name stands as it is, so that a routing table can use it: names hold no control character,
/// and the answer is `text/plain`, which no browser runs.
pub fn presence_line(online: bool, channel: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(if online { b"1 " } else { b"0 " });
    out.extend_from_slice(channel);
    out.push(b'\n');
}

fn wrapped(callback: Option<&Callback<'_>>, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let Some(callback) = callback else {
        body(out);
        return out.push(b'\n');
    };
    callback.open(out);
    body(out);
    out.extend_from_slice(b");\n");
}

/// Appends `text` with the characters escaped that nginx's `ngx_escape_html` escapes.
fn write_html(text: &str, out: &mut Vec<u8>) {
    for &byte in text.as_bytes() {
        match byte {
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'&' => out.extend_from_slice(b"&amp;"),
            b'"' => out.extend_from_slice(b"&quot;"),
            _ => out.push(byte),
        }
    }
}
