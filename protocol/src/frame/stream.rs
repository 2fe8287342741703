//! The transports without end: stream, SSE and iframe.

use super::{PollBatch, Socket, Transport};
use crate::content::Place;
use crate::message::{Kind, Message};
use crate::resume::Epoch;
use crate::{number, resume};
use icomet_websocket::{CloseCode, frame};
use std::sync::LazyLock;

/// Appends one message in the framing of `transport`; a broadcast is followed by its `next_seq`. Of one
/// that is skipped SSE has the id, so that it is not asked for again, and the others have nothing.
///
/// `epoch` is the channel's and goes into SSE ids. A long poll gets a whole answer without callback
/// (see [`PollBatch`] for more).
pub fn stream_frame(transport: Transport, epoch: Epoch, message: &Message<'_>, out: &mut Vec<u8>) {
    if message.kind == Kind::Skipped {
        // An event without data, which a browser notes the id of and shows nobody.
        if transport == Transport::Sse {
            id(epoch, message, out);
            out.push(b'\n');
        }
        return;
    }
    let write = match transport {
        Transport::Stream => line,
        Transport::Sse => event,
        Transport::Iframe => script,
        Transport::LongPoll => {
            let mut batch = PollBatch::new(out, None, false);
            batch.push(message);
            return batch.finish();
        }
        Transport::WebSocket(socket) => return socket_message(socket, message, out),
    };
    write(epoch, message, out);
    if let Some(next_seq) = message.after_broadcast() {
        write(epoch, &next_seq, out);
    }
}

/// A WebSocket's frames; the one that closes it is the last thing after the channel's `close`, or an error.
fn socket_message(socket: Socket, message: &Message<'_>, out: &mut Vec<u8>) {
    let mut json = Vec::new();
    message.write_json(&mut json);
    socket_text(socket, &json, out);
    if let Some(next_seq) = message.after_broadcast() {
        json.clear();
        next_seq.write_json(&mut json);
        socket_text(socket, &json, out);
    }
    match message.kind {
        Kind::Close if message.stays_away() => stay_away(out),
        Kind::Close => frame::close(CloseCode::Normal, "channel closed", out),
        // Another try may go well when others have left.
        Kind::Status(429) => refuse(CloseCode::TryAgainLater, message, out),
        Kind::Status(_) => refuse(CloseCode::Policy, message, out),
        _ => {}
    }
}

/// Appends the `close` of one subscriber whose channel goes on: it alone is ended.
pub fn disconnected_frame(
    transport: Transport,
    epoch: Epoch,
    message: &Message<'_>,
    out: &mut Vec<u8>,
) {
    let Transport::WebSocket(socket) = transport else {
        return stream_frame(transport, epoch, message, out);
    };
    let mut json = Vec::new();
    message.write_json(&mut json);
    socket_text(socket, &json, out);
    disconnected_end(transport, message.stays_away(), out);
}

/// Appends what follows the `close` messages of a subscriber that is ended, all of them.
pub fn disconnected_end(transport: Transport, stays_away: bool, out: &mut Vec<u8>) {
    match transport {
        Transport::WebSocket(_) if stays_away => stay_away(out),
        Transport::WebSocket(_) => frame::close(CloseCode::Policy, "disconnected", out),
        _ => {}
    }
}

fn stay_away(out: &mut Vec<u8>) {
    frame::close(CloseCode::StayAway, "stay away", out);
}

fn refuse(code: CloseCode, message: &Message<'_>, out: &mut Vec<u8>) {
    frame::close(code, &String::from_utf8_lossy(message.content), out);
}

/// Appends a text message, compressed if that was agreed on.
pub fn socket_text(socket: Socket, text: &[u8], out: &mut Vec<u8>) {
    if socket.deflates() {
        frame::text_compressed(text, out);
    } else {
        frame::text(text, out);
    }
}

fn line(_epoch: Epoch, message: &Message<'_>, out: &mut Vec<u8>) {
    message.write_json(out);
    out.push(b'\n');
}

fn script(_epoch: Epoch, message: &Message<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"<script>parent.icomet_cb(");
    message.write_at(Place::Html, out);
    out.extend_from_slice(b");</script>\n");
}

fn id(epoch: Epoch, message: &Message<'_>, out: &mut Vec<u8>) {
    if let Some(seq) = message.kind.last_seq(message.seq) {
        out.extend_from_slice(b"id: ");
        resume::format_id(epoch, seq, out);
        out.push(b'\n');
    }
}

fn event(epoch: Epoch, message: &Message<'_>, out: &mut Vec<u8>) {
    /// The fields' names and line ends, rounded up.
    const AROUND: usize = 16;
    // At once, so that a fresh buffer grows once.
    out.reserve(AROUND + resume::MAX_ID + message.size_hint() + message.event.len());
    id(epoch, message, out);
    event_data(message, out);
}

/// Appends an SSE event of a subscriber of several channels, whose `id` tells where it stands in each;
/// a broadcast is followed by its `next_seq`.
pub fn sse_event(id: &[u8], message: &Message<'_>, out: &mut Vec<u8>) {
    if !id.is_empty() {
        out.extend_from_slice(b"id: ");
        out.extend_from_slice(id);
        out.push(b'\n');
    }
    if message.kind == Kind::Skipped {
        return out.push(b'\n');
    }
    event_data(message, out);
    if let Some(next_seq) = message.after_broadcast() {
        event_data(&next_seq, out);
    }
}

/// What of an event follows its id.
fn event_data(message: &Message<'_>, out: &mut Vec<u8>) {
    if !message.event.is_empty() {
        out.extend_from_slice(b"event: ");
        // It has no line end, but whoever called may not have looked.
        let line = message
            .event
            .bytes()
            .take_while(|byte| !matches!(byte, b'\r' | b'\n'));
        out.extend(line);
        out.push(b'\n');
    }
    out.extend_from_slice(b"data: ");
    let start = out.len();
    message.write_json(out);
    split_data(start, out);
    out.extend_from_slice(b"\n\n");
}

/// Makes each line end in `out[start..]` start a new `data:` line.
///
/// Escaped content has none; content from elsewhere must not be able to forge fields or events.
fn split_data(start: usize, out: &mut Vec<u8>) {
    let Some(first) = memchr::memchr2(b'\r', b'\n', &out[start..]) else {
        return;
    };
    let tail = out.split_off(start + first);
    let mut rest = &tail[..];
    while let Some(index) = memchr::memchr2(b'\r', b'\n', rest) {
        out.extend_from_slice(&rest[..index]);
        out.extend_from_slice(b"\ndata: ");
        let end = if rest[index..].starts_with(b"\r\n") {
            2
        } else {
            1
        };
        rest = &rest[index + end..];
    }
    out.extend_from_slice(rest);
}

/// Appends the SSE field that tells a browser to reconnect after `milliseconds`.
pub fn sse_retry(milliseconds: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"retry: ");
    number::write_u64(milliseconds, out);
    out.push(b'\n');
}

/// The start of the forever iframe: an HTML head, the start of the body, and padding.
///
/// Old browsers hold back the first bytes of a page, up to a few KiB, before they run its first
/// script, hence the padding. The original's `document.domain` line is left out on purpose: it is
/// deprecated, browsers are giving it up, and where it works it opens the page to the scripts of
/// every host and port under that domain. Page and iframe have to be of one origin instead.
pub fn iframe_head() -> &'static [u8] {
    static HEAD: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut head = b"<!DOCTYPE html>\n<html>\n<head>\n\
            <meta charset=\"utf-8\">\n\
            <meta http-equiv=\"Cache-Control\" content=\"no-cache\">\n\
            <title>icomet</title>\n</head>\n<body>\n<!--"
            .to_vec();
        head.resize(head.len() + IFRAME_PADDING, b' ');
        head.extend_from_slice(b"-->\n");
        head
    });
    &HEAD
}

/// Bytes of padding in [`iframe_head`].
const IFRAME_PADDING: usize = 4096;
