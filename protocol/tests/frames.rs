//! The exact bytes of every frame and answer.

use icomet_protocol::frame::{self, Sign, Socket};
use icomet_protocol::resume::Epoch;
use icomet_protocol::{Callback, Kind, Message, PollBatch, Transport};

const EPOCH: Epoch = Epoch {
    zone: 0xab,
    incarnation: 35,
};

fn message(kind: Kind, seq: u64, content: &str) -> Message<'_> {
    Message {
        kind,
        channel: "abc",
        seq,
        content: content.as_bytes(),
        event: "",
    }
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).unwrap_or_default()
}

fn stream(transport: Transport, message: &Message<'_>) -> String {
    written(|out| frame::stream_frame(transport, EPOCH, message, out))
}

fn poll(callback: Option<&Callback<'_>>, replay: bool, messages: &[Message<'_>]) -> String {
    written(|out| {
        let mut batch = PollBatch::new(out, callback, replay);
        messages.iter().for_each(|message| batch.push(message));
        batch.finish();
    })
}

#[test]
fn each_type() {
    for (message, json) in [
        (
            message(Kind::Data, 1, "hi"),
            r#"{"type":"data","cname":"abc","seq":1,"content":"hi"}"#,
        ),
        (
            message(Kind::Broadcast, 2, "x"),
            r#"{"type":"broadcast","cname":"abc","seq":2,"content":"x"}"#,
        ),
        (
            message(Kind::Noop, 3, ""),
            r#"{"type":"noop","cname":"abc","seq":3,"content":""}"#,
        ),
        (
            message(Kind::NextSeq, 4, ""),
            r#"{"type":"next_seq","cname":"abc","seq":4,"content":""}"#,
        ),
        (
            message(Kind::Close, 5, ""),
            r#"{"type":"close","cname":"abc","seq":5,"content":""}"#,
        ),
        (
            message(Kind::Lost, 6, "5"),
            r#"{"type":"lost","cname":"abc","seq":6,"content":"5"}"#,
        ),
        (
            message(Kind::Status(401), 0, "Token error"),
            r#"{"type":"401","cname":"abc","seq":0,"content":"Token error"}"#,
        ),
        (
            message(Kind::Data, u64::MAX, ""),
            r#"{"type":"data","cname":"abc","seq":18446744073709551615,"content":""}"#,
        ),
    ] {
        assert_eq!(written(|out| message.write_json(out)), json);
    }
}

#[test]
fn one_message_by_transport() {
    let hi = message(Kind::Data, 1, "hi");
    let json = r#"{"type":"data","cname":"abc","seq":1,"content":"hi"}"#;
    let cb = Callback::DEFAULT;
    assert_eq!(poll(None, false, &[hi]), format!("{json}\n"));
    assert_eq!(
        poll(Some(&cb), false, &[hi]),
        format!("/**/icomet_cb({json});\n")
    );
    assert_eq!(stream(Transport::Stream, &hi), format!("{json}\n"));
    assert_eq!(
        stream(Transport::Sse, &hi),
        format!("id: 00000000000000ab.z-1\ndata: {json}\n\n")
    );
    assert_eq!(
        stream(Transport::Iframe, &hi),
        format!("<script>parent.icomet_cb({json});</script>\n")
    );
    assert_eq!(stream(Transport::LongPoll, &hi), poll(None, false, &[hi]));
}

#[test]
fn batches() {
    let (one, two) = (message(Kind::Data, 1, "a"), message(Kind::Data, 2, "b"));
    let json_one = r#"{"type":"data","cname":"abc","seq":1,"content":"a"}"#;
    let json_two = r#"{"type":"data","cname":"abc","seq":2,"content":"b"}"#;
    let cb = Callback::DEFAULT;
    assert_eq!(
        poll(None, true, &[one, two]),
        format!("[{json_one},{json_two}]\n")
    );
    assert_eq!(
        poll(Some(&cb), true, &[one, two]),
        format!("/**/icomet_cb([{json_one},{json_two}]);\n")
    );
    assert_eq!(
        poll(None, true, &[one]),
        format!("[{json_one}]\n"),
        "a replay is an array"
    );
    assert_eq!(
        poll(None, false, &[one, two]),
        format!("[{json_one},{json_two}]\n")
    );
    assert_eq!(
        poll(Some(&cb), false, &[one, two]),
        poll(Some(&cb), true, &[one, two])
    );
    for replay in [false, true] {
        assert_eq!(poll(None, replay, &[]), "[]\n");
        assert_eq!(poll(Some(&cb), replay, &[]), "/**/icomet_cb([]);\n");
    }
}

#[test]
fn a_batch_is_appended() {
    let mut out = b"before".to_vec();
    let mut batch = PollBatch::new(&mut out, None, false);
    batch.push(&message(Kind::Broadcast, 1, ""));
    batch.finish();
    assert!(out.starts_with(b"before[{") && out.ends_with(b"}]\n"));
}

#[test]
fn a_broadcast_brings_its_next_seq() {
    let (data, broadcast) = (
        message(Kind::Data, 6, "a"),
        message(Kind::Broadcast, 7, "x"),
    );
    let first = r#"{"type":"data","cname":"abc","seq":6,"content":"a"}"#;
    let second = r#"{"type":"broadcast","cname":"abc","seq":7,"content":"x"}"#;
    let third = r#"{"type":"next_seq","cname":"abc","seq":8,"content":""}"#;
    assert_eq!(
        poll(None, false, &[broadcast]),
        format!("[{second},{third}]\n")
    );
    assert_eq!(
        poll(None, true, &[data, broadcast]),
        format!("[{first},{second},{third}]\n")
    );
    assert_eq!(
        poll(None, true, &[broadcast, data]),
        format!("[{second},{third},{first}]\n")
    );
    assert_eq!(
        stream(Transport::Stream, &broadcast),
        format!("{second}\n{third}\n")
    );
    assert_eq!(
        stream(Transport::Sse, &broadcast),
        format!(
            "id: 00000000000000ab.z-7\ndata: {second}\n\nid: 00000000000000ab.z-7\ndata: {third}\n\n"
        )
    );
    assert_eq!(
        stream(Transport::Iframe, &broadcast),
        format!(
            "<script>parent.icomet_cb({second});</script>\n\
             <script>parent.icomet_cb({third});</script>\n"
        )
    );
    let last = message(Kind::Broadcast, u64::MAX, "");
    assert_eq!(
        last.after_broadcast().unwrap().seq,
        u64::MAX,
        "seq never wraps"
    );
}

#[test]
fn sse_ids_by_type() {
    for (kind, seq, id) in [
        (Kind::Data, 9, Some("9")),
        (Kind::NextSeq, 9, Some("8")),
        (Kind::Lost, 9, Some("8")),
        (Kind::Lost, 0, Some("0")),
        (Kind::Noop, 9, None),
        (Kind::Close, 9, None),
        (Kind::Status(429), 0, None),
    ] {
        let text = stream(Transport::Sse, &message(kind, seq, ""));
        let expected = match id {
            Some(id) => format!("id: 00000000000000ab.z-{id}\ndata: {{"),
            None => "data: {".to_owned(),
        };
        assert!(text.starts_with(&expected), "{text}");
    }
}

#[test]
fn sse_splits_raw_line_ends() {
    let text = stream(
        Transport::Sse,
        &message(Kind::Noop, 1, "a\rb\nc\r\nd\n\rdata: x"),
    );
    let head = r#"data: {"type":"noop","cname":"abc","seq":1,"content":"a"#;
    assert_eq!(
        text,
        format!("{head}\ndata: b\ndata: c\ndata: d\ndata: \ndata: data: x\"}}\n\n")
    );
}

#[test]
fn the_event_follows_the_content_and_is_a_field_of_sse() {
    let message = Message {
        event: "price \"up\"",
        ..message(Kind::Data, 7, "hi")
    };
    let json = r#"{"type":"data","cname":"abc","seq":7,"content":"hi","event":"price \"up\""}"#;
    assert_eq!(stream(Transport::Stream, &message), format!("{json}\n"));
    assert_eq!(poll(None, false, &[message]), format!("{json}\n"));
    assert_eq!(
        stream(Transport::Sse, &message),
        format!("id: 00000000000000ab.z-7\nevent: price \"up\"\ndata: {json}\n\n")
    );
    let forged = Message {
        event: "a\ndata: b",
        ..message
    };
    let text = stream(Transport::Sse, &forged);
    assert!(text.contains("\nevent: a\ndata: {"), "{text}");
}

#[test]
fn of_what_is_skipped_there_is_nothing_but_the_id_of_sse() {
    let skipped = Message::bare(Kind::Skipped, "abc", 7);
    assert_eq!(
        stream(Transport::Sse, &skipped),
        "id: 00000000000000ab.z-7\n\n"
    );
    for transport in [
        Transport::Stream,
        Transport::Iframe,
        Transport::WebSocket(Socket::Plain),
        Transport::WebSocket(Socket::Deflate),
    ] {
        assert_eq!(stream(transport, &skipped), "");
    }
    let data = message(Kind::Data, 8, "hi");
    assert_eq!(
        poll(None, false, &[skipped, data]),
        poll(None, false, &[data])
    );
    assert_eq!(poll(None, true, &[skipped]), "[]\n");
}

#[test]
fn scripts_cannot_be_ended() {
    let evil = "</script>\u{2028}\u{2029}\u{2027}é\\\\";
    let data = Message {
        kind: Kind::Data,
        channel: "<!--\"",
        seq: 1,
        content: evil.as_bytes(),
        event: "",
    };
    assert_eq!(
        stream(Transport::Iframe, &data),
        "<script>parent.icomet_cb({\"type\":\"data\",\"cname\":\"\\u003c!--\\\"\",\"seq\":1,\
         \"content\":\"\\u003c/script>\\u2028\\u2029\u{2027}é\\\\\"});</script>\n"
    );
    assert_eq!(
        poll(Some(&Callback::DEFAULT), false, &[data]),
        "/**/icomet_cb({\"type\":\"data\",\"cname\":\"<!--\\\"\",\"seq\":1,\
         \"content\":\"</script>\\u2028\\u2029\u{2027}é\\\\\"});\n"
    );
    assert!(
        stream(Transport::Stream, &data).contains(evil),
        "plain JSON stays as it is"
    );
}

#[test]
fn iframe_head_pads_a_whole_page_start() {
    let head = std::str::from_utf8(frame::iframe_head()).unwrap();
    assert!(head.starts_with("<!DOCTYPE html>\n<html>"));
    assert!(head.contains("<body>") && !head.contains("</body>"));
    assert!(head.contains("charset=\"utf-8\"") && head.contains("no-cache"));
    assert!(!head.contains("document.domain"));
    assert!(head.len() > 4096 && head.ends_with("-->\n"));
}

#[test]
fn content_types() {
    assert_eq!(
        Transport::LongPoll.content_type(false),
        "application/json; charset=utf-8"
    );
    assert_eq!(
        Transport::LongPoll.content_type(true),
        "text/javascript; charset=utf-8"
    );
    assert_eq!(
        Transport::Stream.content_type(true),
        "application/json; charset=utf-8"
    );
    assert_eq!(
        Transport::Sse.content_type(false),
        "text/event-stream; charset=utf-8"
    );
    assert_eq!(
        Transport::Iframe.content_type(false),
        "text/html; charset=utf-8"
    );
}

#[test]
fn answers() {
    let cb = Callback::DEFAULT;
    let token = [0x0f, 0xa0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255];
    let signed = Sign {
        channel: "abc",
        seq: 7,
        token: &token,
        expires: 60,
        sub_timeout: 30,
    };
    let json = "{\"type\":\"sign\",\"cname\":\"abc\",\"seq\":7,\
                \"token\":\"0fa002030405060708090a0b0c0d0eff\",\"expires\":60,\"sub_timeout\":30}";
    for (answer, expected) in [
        (
            written(|out| frame::ping(Some(&cb), 30, out)),
            "/**/icomet_cb({\"type\":\"ping\",\"sub_timeout\":30});\n",
        ),
        (
            written(|out| frame::sign(None, &signed, out)),
            &format!("{json}\n"),
        ),
        (
            written(|out| frame::sign(Some(&cb), &signed, out)),
            &format!("/**/icomet_cb({json});\n"),
        ),
        (written(|out| frame::ok(None, out)), "{\"type\":\"ok\"}\n"),
        (
            written(|out| frame::ok(Some(&cb), out)),
            "/**/icomet_cb({\"type\":\"ok\"});\n",
        ),
        (written(frame::broadcast_done), "ok\n"),
        (written(|out| frame::closed(12, out)), "ok 12\n"),
        (
            written(|out| frame::not_connected("abc", out)),
            "channel[abc] not connected\n",
        ),
        (
            written(|out| frame::info_channel("abc", 2, out)),
            "{\"cname\": \"abc\", \"subscribers\": 2}\n",
        ),
        (
            written(|out| frame::info_total("0.1.0", 3, 4, out)),
            "{\"version\": \"0.1.0\", \"channels\": 3, \"subscribers\": 4}\n",
        ),
        (
            written(|out| frame::check(Some("abc"), out)),
            "{\"abc\": 1}\n",
        ),
        (written(|out| frame::check(None, out)), "{}\n"),
        (
            written(|out| frame::presence_line(true, b"abc", out)),
            "1 abc\n",
        ),
        (
            written(|out| frame::presence_line(false, b"abc", out)),
            "0 abc\n",
        ),
        (written(|out| frame::sse_retry(1500, out)), "retry: 1500\n"),
        (
            written(|out| frame::error_body(400, "", "cname is \"missing\"", out)),
            "{\"type\":\"400\",\"cname\":\"\",\"seq\":0,\"content\":\"cname is \\\"missing\\\"\"}\n",
        ),
    ] {
        assert_eq!(answer, expected);
    }
}

#[test]
fn names_are_escaped_where_they_are_echoed() {
    let name = "<b>\"&'";
    assert_eq!(
        written(|out| frame::not_connected(name, out)),
        "channel[&lt;b&gt;&quot;&amp;'] not connected\n"
    );
    assert_eq!(
        written(|out| frame::presence_line(true, name.as_bytes(), out)),
        "1 <b>\"&'\n"
    );
    assert_eq!(
        written(|out| frame::check(Some(name), out)),
        "{\"\\u003cb>\\\"&'\": 1}\n"
    );
    assert_eq!(
        written(|out| frame::info_channel(name, 0, out)),
        "{\"cname\": \"\\u003cb>\\\"&'\", \"subscribers\": 0}\n"
    );
}

#[test]
fn a_websockets_frames() {
    let plain = Transport::WebSocket(Socket::Plain);
    let data = message(Kind::Data, 1, "hi");
    let json = r#"{"type":"data","cname":"abc","seq":1,"content":"hi"}"#;
    assert_eq!(
        stream_bytes(plain, &data),
        [b"\x81\x34", json.as_bytes()].concat()
    );
    // A short message is the same where compression was agreed on.
    assert_eq!(
        stream_bytes(Transport::WebSocket(Socket::Deflate), &data),
        stream_bytes(plain, &data)
    );
    let broadcast = stream_bytes(plain, &message(Kind::Broadcast, 2, "x"));
    let next_seq = stream_bytes(plain, &message(Kind::NextSeq, 3, ""));
    assert!(broadcast.ends_with(&next_seq));
    let close = stream_bytes(plain, &message(Kind::Close, 5, ""));
    assert!(close.ends_with(b"\x88\x10\x03\xe8channel closed"));
    for (status, code) in [(401, 1008_u16), (429, 1013)] {
        let refused = stream_bytes(plain, &message(Kind::Status(status), 0, "no"));
        let end = [b"\x88\x04", &code.to_be_bytes()[..], b"no"].concat();
        assert!(refused.ends_with(&end), "{status}");
    }
    let long = "long ".repeat(100);
    let compressed = stream_bytes(
        Transport::WebSocket(Socket::Deflate),
        &message(Kind::Data, 1, &long),
    );
    assert_eq!(compressed[0], 0xc1);
    assert!(compressed.len() < 150);
}

fn stream_bytes(transport: Transport, message: &Message<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    frame::stream_frame(transport, EPOCH, message, &mut out);
    out
}
