//! What holds for every frame, whatever the channel's name and the content.

use icomet_protocol::content::escape_raw;
use icomet_protocol::frame::{self, Sign};
use icomet_protocol::resume::{Epoch, parse_id};
use icomet_protocol::{Callback, Kind, Message, PollBatch, Transport};
use proptest::prelude::*;
use serde_json::{Value, json};

#[derive(Clone, Debug)]
struct Sent {
    kind: Kind,
    channel: String,
    seq: u64,
    raw: String,
    encoded: Vec<u8>,
    event: String,
}

impl Sent {
    fn message(&self) -> Message<'_> {
        Message {
            kind: self.kind,
            channel: &self.channel,
            seq: self.seq,
            content: &self.encoded,
            event: &self.event,
        }
    }

    /// What a client has to read: the message, and a broadcast's `next_seq`.
    fn expected(&self) -> Vec<Value> {
        let name = match self.kind {
            Kind::Data => "data".to_owned(),
            Kind::Broadcast => "broadcast".to_owned(),
            Kind::Noop => "noop".to_owned(),
            Kind::NextSeq => "next_seq".to_owned(),
            Kind::Close => "close".to_owned(),
            Kind::Lost => "lost".to_owned(),
            Kind::Epoch => "epoch".to_owned(),
            Kind::Skipped => unreachable!("nothing is shown of it"),
            Kind::Status(status) => status.to_string(),
        };
        let of = |name: &str, seq, content: &str| json!({"type": name, "cname": self.channel, "seq": seq, "content": content});
        let mut all = vec![of(&name, self.seq, &self.raw)];
        if !self.event.is_empty() {
            all[0]["event"] = json!(self.event);
        }
        if self.kind == Kind::Broadcast {
            all.push(of("next_seq", self.seq.saturating_add(1), ""));
        }
        all
    }
}

/// Text rich in what breaks frames.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<String>(),
        prop::sample::select(vec![
            "</script>",
            "<!--",
            "]]>",
            "\u{2028}",
            "\u{2029}",
            "\u{2027}",
            "\r\n",
            "\n\n",
            "\r",
            "data: x",
            "\"",
            "\\",
            "\0",
            "\u{7f}",
            "\\u003c",
            "\u{1f600}",
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat())
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Data),
        Just(Kind::Broadcast),
        Just(Kind::Noop),
        Just(Kind::NextSeq),
        Just(Kind::Close),
        Just(Kind::Lost),
        (400u16..600).prop_map(Kind::Status),
    ]
}

fn sent() -> impl Strategy<Value = Sent> {
    let event = "[a-z<\"\\\\é: ]{0,5}";
    (kind(), text(), any::<u64>(), text(), event).prop_map(|(kind, channel, seq, raw, event)| {
        let mut encoded = Vec::new();
        escape_raw(raw.as_bytes(), &mut encoded);
        Sent {
            kind,
            channel,
            seq,
            raw,
            encoded,
            event,
        }
    })
}

fn streamed(transport: Transport, epoch: Epoch, sent: &Sent) -> Result<String, TestCaseError> {
    let mut out = Vec::new();
    frame::stream_frame(transport, epoch, &sent.message(), &mut out);
    String::from_utf8(out).map_err(|error| TestCaseError::fail(error.to_string()))
}

fn value(text: &str) -> Result<Value, TestCaseError> {
    serde_json::from_str(text).map_err(|error| TestCaseError::fail(format!("{error} in {text:?}")))
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Result<&'a str, TestCaseError> {
    text.strip_prefix(start)
        .and_then(|text| text.strip_suffix(end))
        .ok_or_else(|| TestCaseError::fail(format!("not {start:?}...{end:?}: {text:?}")))
}

fn has_separator(text: &str) -> bool {
    text.contains(['\u{2028}', '\u{2029}'])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn stream_lines(sent in sent()) {
        let text = streamed(Transport::Stream, Epoch::NONE, &sent)?;
        prop_assert!(text.ends_with('\n') && !text.contains('\r'));
        let read = text.lines().map(value).collect::<Result<Vec<_>, _>>()?;
        prop_assert_eq!(read, sent.expected());
    }

    #[test]
    fn sse_events(zone: u64, incarnation: u64, sent in sent()) {
        let epoch = Epoch { zone, incarnation };
        let text = streamed(Transport::Sse, epoch, &sent)?;
        prop_assert!(!text.contains('\r'));
        let mut read = Vec::new();
        for event in between(&text, "", "\n\n")?.split("\n\n") {
            let data = match event.strip_prefix("id: ").and_then(|rest| rest.split_once('\n')) {
                Some((id, data)) => {
                    let (id_epoch, seq) = parse_id(id.as_bytes())
                        .ok_or_else(|| TestCaseError::fail("id does not parse"))?;
                    prop_assert_eq!(id_epoch, epoch);
                    prop_assert!(seq <= sent.seq);
                    data
                }
                None => event,
            };
            let data = match data.strip_prefix("event: ").and_then(|rest| rest.split_once('\n')) {
                Some((name, data)) => {
                    prop_assert_eq!(name, &sent.event);
                    data
                }
                None => data,
            };
            prop_assert!(!data.contains('\n'), "escaped content needs one data line only");
            read.push(value(between(data, "data: ", "")?)?);
        }
        prop_assert_eq!(read, sent.expected());
    }

    /// Even content that nobody escaped cannot forge a field or an event.
    #[test]
    fn sse_data_has_no_raw_line_end(content: Vec<u8>) {
        let message =
            Message { kind: Kind::Noop, channel: "abc", seq: 1, content: &content, event: "" };
        let mut out = Vec::new();
        frame::stream_frame(Transport::Sse, Epoch::NONE, &message, &mut out);
        prop_assert!(!out.contains(&b'\r'));
        let body = out.strip_suffix(b"\n\n").ok_or_else(|| TestCaseError::fail("no end"))?;
        for line in body.split(|&byte| byte == b'\n') {
            prop_assert!(line.starts_with(b"data: "));
        }
    }

    #[test]
    fn iframe_scripts(sent in sent()) {
        let text = streamed(Transport::Iframe, Epoch::NONE, &sent)?;
        prop_assert!(!has_separator(&text));
        let mut read = Vec::new();
        for script in text.split_inclusive('\n') {
            let json = between(script, "<script>parent.icomet_cb(", ");</script>\n")?;
            prop_assert!(!json.contains('<'));
            read.push(value(json)?);
        }
        prop_assert_eq!(read, sent.expected());
    }

    #[test]
    fn long_polls(all in prop::collection::vec(sent(), 0..5), replay: bool, jsonp: bool) {
        let callback = Callback::DEFAULT;
        let mut out = Vec::new();
        let mut batch = PollBatch::new(&mut out, jsonp.then_some(&callback), replay);
        for sent in &all {
            batch.push(&sent.message());
        }
        batch.finish();
        let text = String::from_utf8(out).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let body = if jsonp {
            prop_assert!(!has_separator(&text));
            between(&text, "/**/icomet_cb(", ");\n")?
        } else {
            between(&text, "", "\n")?
        };
        prop_assert!(!body.contains(['\n', '\r']));
        let expected: Vec<Value> = all.iter().flat_map(Sent::expected).collect();
        let read = value(body)?;
        if replay || expected.len() != 1 {
            prop_assert_eq!(read, Value::Array(expected));
        } else {
            prop_assert_eq!(&read, &expected[0]);
        }
    }

    #[test]
    fn answers_are_json(name in text(), said in text(), number: u64, token: [u8; 16]) {
        let read = |write: &dyn Fn(&mut Vec<u8>)| {
            let mut out = Vec::new();
            write(&mut out);
            let text = String::from_utf8(out).unwrap_or_default();
            value(between(&text, "", "\n")?).map(|value| (text, value))
        };
        let (text, info) = read(&|out| frame::info_channel(&name, number, out))?;
        prop_assert!(!text.contains('<'));
        prop_assert_eq!(info, json!({"cname": name, "subscribers": number}));

        let (text, check) = read(&|out| frame::check(Some(&name), out))?;
        prop_assert!(!text.contains('<'));
        prop_assert_eq!(check, json!({ name.as_str(): 1 }));

        let (_, error) = read(&|out| frame::error_body(404, &name, &said, out))?;
        prop_assert_eq!(error, json!({"type": "404", "cname": name, "seq": 0, "content": said}));

        let sign = Sign { channel: &name, seq: number, token: &token, expires: 1, sub_timeout: 2 };
        let (text, signed) = read(&|out| frame::sign(None, &sign, out))?;
        prop_assert!(!text.contains('<') && !has_separator(&text));
        prop_assert_eq!(&signed["cname"], &json!(name));
        prop_assert_eq!(&signed["seq"], &json!(number));
        let hex: String = token.iter().map(|byte| format!("{byte:02x}")).collect();
        prop_assert_eq!(&signed["token"], &json!(hex));
    }

    #[test]
    fn plain_answers_hold_no_markup(name in text()) {
        let mut out = Vec::new();
        frame::not_connected(&name, &mut out);
        prop_assert!(!out.contains(&b'<') && !out.contains(&b'>'));
    }
}
