//! Content and frames: whatever is published, a client of each transport reads what was sent.
//!
//! Input, cut at bytes 0xff: a channel's name, then messages. A message's first byte chooses its kind
//! and its seq, the rest is its content, raw.

#![no_main]

use std::borrow::Cow;

use icomet_protocol::callback::Callback;
use icomet_protocol::content::{check_encoded, escape_raw, escape_str};
use icomet_protocol::frame::{self, Sign, Socket, chunk};
use icomet_protocol::resume::{Epoch, parse_id};
use icomet_protocol::{Kind, Message, PollBatch, Transport};
use icomet_websocket::deflate::inflate;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

const KINDS: [(Kind, &str); 9] = [
    (Kind::Data, "data"),
    (Kind::Broadcast, "broadcast"),
    (Kind::Noop, "noop"),
    (Kind::NextSeq, "next_seq"),
    (Kind::Close, "close"),
    (Kind::Lost, "lost"),
    (Kind::Epoch, "epoch"),
    (Kind::Status(401), "401"),
    (Kind::Status(429), "429"),
];

const SEQS: [u64; 8] = [0, 1, 2, 9, 10, 1 << 53, u64::MAX - 1, u64::MAX];

struct Sent<'a> {
    kind: (Kind, &'static str),
    seq: u64,
    raw: &'a [u8],
    encoded: Vec<u8>,
}

fuzz_target!(|data: &[u8]| {
    let mut parts = data.split(|byte| *byte == 0xff);
    let channel = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let sent: Vec<Sent<'_>> = parts.filter_map(sent).collect();
    for one in &sent {
        content(one);
        for transport in [Transport::Stream, Transport::Sse, Transport::Iframe] {
            streamed(transport, &channel, one);
        }
        for socket in [Socket::Plain, Socket::Deflate] {
            socket_messages(socket, &channel, one);
        }
        unescaped(&channel, one);
    }
    for (array, jsonp) in [(false, false), (false, true), (true, false), (true, true)] {
        polled(&channel, &sent, array, jsonp);
    }
    let said = sent.first().map_or(&b""[..], |one| one.raw);
    answers(&channel, &String::from_utf8_lossy(said));
});

fn sent(part: &[u8]) -> Option<Sent<'_>> {
    let (choice, raw) = part.split_first()?;
    let mut encoded = Vec::new();
    escape_raw(raw, &mut encoded);
    Some(Sent {
        kind: KINDS[usize::from(choice & 15) % KINDS.len()],
        seq: SEQS[usize::from(choice >> 3 & 7)],
        raw,
        encoded,
    })
}

impl Sent<'_> {
    fn message<'m>(&'m self, channel: &'m str) -> Message<'m> {
        Message {
            kind: self.kind.0,
            channel,
            seq: self.seq,
            content: &self.encoded,
            event: "",
        }
    }

    /// What a client has to read: the message, and a broadcast's `next_seq`.
    fn expected(&self, channel: &str) -> Vec<Value> {
        let of = |name: &str, seq: u64, content: &str| json!({"type": name, "cname": channel, "seq": seq, "content": content});
        let mut all = vec![of(
            self.kind.1,
            self.seq,
            &String::from_utf8_lossy(self.raw),
        )];
        if self.kind.0 == Kind::Broadcast {
            all.push(of("next_seq", self.seq.saturating_add(1), ""));
        }
        all
    }
}

/// push escapes what a JSON parser reads back; pub takes exactly what a JSON parser would.
fn content(sent: &Sent<'_>) {
    let text = String::from_utf8_lossy(sent.raw);
    assert_eq!(check_encoded(&sent.encoded), Ok(()));
    assert_eq!(unquoted(&sent.encoded).as_deref(), Some(&text[..]));
    let mut same = Vec::new();
    escape_str(&text, &mut same);
    assert_eq!(same, sent.encoded);
    match check_encoded(sent.raw) {
        Ok(()) => assert!(unquoted(sent.raw).is_some(), "no JSON string"),
        Err(error) => {
            assert!(unquoted(sent.raw).is_none(), "{error}");
            assert!(error.offset <= sent.raw.len());
        }
    }
}

/// The text that JSON writes so between quotes.
fn unquoted(inside: &[u8]) -> Option<String> {
    serde_json::from_slice(&[b"\"", inside, b"\""].concat()).ok()
}

fn streamed(transport: Transport, channel: &str, sent: &Sent<'_>) {
    const EPOCH: Epoch = Epoch {
        zone: 0x0123_4567_89ab_cdef,
        incarnation: 35,
    };
    let mut frame = b"before".to_vec();
    frame::stream_frame(transport, EPOCH, &sent.message(channel), &mut frame);
    let frame = frame.strip_prefix(b"before").expect("a frame is appended");
    assert_eq!(unchunked(&chunked(frame)), frame);
    let text = std::str::from_utf8(frame).expect("UTF-8");
    let read: Vec<Value> = match transport {
        Transport::Sse => events(text)
            .iter()
            .map(|(id, data)| {
                if let Some(id) = id {
                    let (epoch, seq) = parse_id(id.as_bytes()).expect("an id of ours");
                    assert!(epoch == EPOCH && seq <= sent.seq);
                }
                value(data)
            })
            .collect(),
        Transport::Iframe => text
            .split_inclusive('\n')
            .map(|line| {
                let script = between(line, "<script>parent.icomet_cb(", ");</script>\n");
                assert!(!script.contains('<'), "markup in a script: {script}");
                in_script(script)
            })
            .collect(),
        Transport::Stream | Transport::LongPoll | Transport::WebSocket(_) => {
            assert!(text.ends_with('\n'));
            text[..text.len() - 1].split('\n').map(value).collect()
        }
    };
    assert_eq!(read, sent.expected(channel));
}

/// The messages of a WebSocket, as its client reads them.
fn socket_messages(socket: Socket, channel: &str, sent: &Sent<'_>) {
    let mut frames = Vec::new();
    let transport = Transport::WebSocket(socket);
    frame::stream_frame(transport, Epoch::NONE, &sent.message(channel), &mut frames);
    let mut read = Vec::new();
    let mut rest = &frames[..];
    while let [first, length, ..] = *rest {
        let (start, length) = match length {
            126 => (4, usize::from(u16::from_be_bytes([rest[2], rest[3]]))),
            127 => panic!("no input is that long"),
            length => (2, usize::from(length)),
        };
        let payload = &rest[start..start + length];
        rest = &rest[start + length..];
        let text = match first {
            0x81 => payload.to_vec(),
            0xc1 if socket == Socket::Deflate => inflate(payload, 1 << 20).expect("deflate"),
            // A close is the last.
            0x88 => break,
            other => panic!("frame {other:x}"),
        };
        read.push(value(std::str::from_utf8(&text).expect("UTF-8")));
    }
    assert!(rest.is_empty());
    assert_eq!(read, sent.expected(channel));
}

/// Content that nobody escaped stays data: it forges neither a field nor an event.
fn unescaped(channel: &str, sent: &Sent<'_>) {
    let message = Message {
        content: sent.raw,
        kind: Kind::Noop,
        ..sent.message(channel)
    };
    let mut frame = Vec::new();
    frame::stream_frame(Transport::Sse, Epoch::NONE, &message, &mut frame);
    let events = events(&String::from_utf8_lossy(&frame));
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].0, None);
}

fn polled(channel: &str, sent: &[Sent<'_>], array: bool, jsonp: bool) {
    let callback = Callback::new(Cow::Borrowed(b"app.on$_1")).expect("a callback");
    let mut body = b"before".to_vec();
    let mut batch = PollBatch::new(&mut body, jsonp.then_some(&callback), array);
    for one in sent {
        batch.push(&one.message(channel));
    }
    batch.finish();
    let body = body.strip_prefix(b"before").expect("a body is appended");
    let text = std::str::from_utf8(body).expect("UTF-8");
    let read = match jsonp {
        true => in_script(between(text, "/**/app.on$_1(", ");\n")),
        false => value(between(text, "", "\n")),
    };
    let mut expected: Vec<Value> = sent.iter().flat_map(|one| one.expected(channel)).collect();
    match expected.len() {
        1 if !array => assert_eq!(read, expected.remove(0)),
        _ => assert_eq!(read, Value::Array(expected)),
    }
}

/// The answers of the other endpoints; those that browsers take for HTML hold no markup.
fn answers(channel: &str, said: &str) {
    let written = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("UTF-8")
    };
    let error = written(&|out| frame::error_body(404, channel, said, out));
    let expected = json!({"type": "404", "cname": channel, "seq": 0, "content": said});
    assert_eq!(value(between(&error, "", "\n")), expected);

    let info = written(&|out| frame::info_channel(channel, 7, out));
    assert_eq!(value(&info), json!({"cname": channel, "subscribers": 7}));
    let check = written(&|out| frame::check(Some(channel), out));
    assert_eq!(value(&check), json!({ channel: 1 }));
    let gone = written(&|out| frame::not_connected(channel, out));
    assert!(!gone.contains('>'));
    let sign = Sign {
        channel,
        seq: 3,
        token: b"0123456789abcdef",
        expires: 60,
        sub_timeout: 25,
    };
    let signed = written(&|out| frame::sign(Some(&Callback::DEFAULT), &sign, out));
    let read = in_script(between(&signed, "/**/icomet_cb(", ");\n"));
    assert_eq!(read["cname"], json!(channel));
    assert_eq!(read["token"], json!("30313233343536373839616263646566"));
    for html in [&info, &check, &gone, &signed] {
        assert!(!html.contains('<'), "markup: {html}");
    }
}

fn value(json: &str) -> Value {
    assert!(!json.trim_end_matches('\n').contains(['\n', '\r']));
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"))
}

/// In scripts of before ES2019 U+2028 and U+2029 end a line, and so a string.
fn in_script(json: &str) -> Value {
    assert!(!json.contains(['\u{2028}', '\u{2029}']));
    value(json)
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let inside = text
        .strip_prefix(start)
        .and_then(|rest| rest.strip_suffix(end));
    inside.unwrap_or_else(|| panic!("not {start}...{end}: {text}"))
}

/// An EventSource's parser (HTML standard, 9.2.6): id and data of each event.
fn events(text: &str) -> Vec<(Option<String>, String)> {
    assert!(text.ends_with("\n\n"), "the last event has no end");
    let (mut events, mut id, mut data) = (Vec::new(), None, Vec::new());
    for line in text.replace("\r\n", "\n").replace('\r', "\n").split('\n') {
        if line.is_empty() {
            if !data.is_empty() {
                events.push((id.take(), std::mem::take(&mut data).join("\n")));
            }
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
        match field {
            "id" => id = Some(value),
            "data" => data.push(value),
            _ => panic!("a field that nobody sent: {line}"),
        }
    }
    events
}

fn chunked(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let (first, second) = content.split_at(content.len() / 2);
    chunk(first, &mut out);
    chunk(b"", &mut out);
    chunk(second, &mut out);
    out.extend_from_slice(frame::LAST_CHUNK);
    out
}

/// A client's reading of chunks (RFC 9112, section 7.1).
fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    loop {
        let end = rest
            .windows(2)
            .position(|pair| pair == b"\r\n")
            .expect("a size line");
        let size = std::str::from_utf8(&rest[..end]).expect("a size");
        let size = usize::from_str_radix(size, 16).expect("a hexadecimal size");
        rest = &rest[end + 2..];
        content.extend_from_slice(&rest[..size]);
        rest = rest[size..].strip_prefix(b"\r\n").expect("a chunk's end");
        if size == 0 {
            assert!(rest.is_empty(), "an end before the end");
            return content;
        }
    }
}
