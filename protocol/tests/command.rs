//! Commands of a WebSocket's client.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use icomet_protocol::command::{self, Action, Failure};
use icomet_protocol::resume::Epoch;
use proptest::prelude::*;

fn action(text: &str) -> Action<'_> {
    command::read(text).unwrap().action
}

fn code(text: &str) -> &'static str {
    command::read(text).unwrap_err().1.code
}

#[test]
fn members_and_their_defaults() {
    assert_eq!(
        action(r#"{"type":"subscribe","channel":"a"}"#),
        Action::Subscribe {
            channel: "a".into(),
            seq: 0,
            epoch: None,
            token: "".into()
        }
    );
    let text = r#"{"token":"t","epoch":"00000000000000ff.z","seq":18446744073709551615,"channel":"\u00e4","type":"subscribe","id":-15}"#;
    assert_eq!(
        action(text),
        Action::Subscribe {
            channel: "ä".into(),
            seq: u64::MAX,
            epoch: Some(Epoch {
                zone: 255,
                incarnation: 35
            }),
            token: "t".into()
        }
    );
    assert_eq!(command::read(text).unwrap().id.unwrap().get(), "-15");
    let Action::Publish { content, once, .. } =
        action(r#"{"type":"publish","channel":"a","content":{"n": 1.0},"once":"k"}"#)
    else {
        panic!("another command");
    };
    assert_eq!(content, br#"{\"n\": 1.0}"#);
    assert_eq!(once.as_deref(), Some("k"));
    let text = r#"{"type":"publish","id":null,"channel":"a","content":null,"once":null,"ttl":null,"event":null,"exclude":null}"#;
    assert!(command::read(text).unwrap().id.is_none());
    assert_eq!(
        action(text),
        Action::Publish {
            channel: "a".into(),
            content: b"null".to_vec(),
            once: None,
            ttl: None,
            event: None,
            exclude: false
        }
    );
    let (_, not_json) = command::read("nonsense").unwrap_err();
    assert!(!not_json.content.contains("body"), "{}", not_json.content);
    let Action::History(history) =
        action(r#"{"type":"history","channel":"a","since":3,"limit":7,"reverse":true}"#)
    else {
        panic!("another command");
    };
    assert_eq!(
        (history.since, history.limit, history.reverse),
        (3, 7, true)
    );
}

#[test]
fn what_is_wrong_has_a_code() {
    for (text, expected) in [
        ("", "bad_json"),
        ("[1]", "wrong_type"),
        (r#"{"type":"ping"} x"#, "bad_json"),
        (r#"{"type":"ping","since":1}"#, "unknown_member"),
        (r#"{"type":"ping","what":1}"#, "unknown_member"),
        (r#"{"type":"sing"}"#, "unknown_command"),
        (r#"{"channel":"a"}"#, "missing_member"),
        (
            r#"{"type":"subscribe","channel":"a","seq":1.5}"#,
            "bad_member",
        ),
        (
            r#"{"type":"publish","channel":"a","content":"\ud800"}"#,
            "bad_string",
        ),
        (
            r#"{"type":"publish","channel":"a","content":1,"once":""}"#,
            "bad_member",
        ),
        (
            r#"{"type":"subscribe","channel":"a","epoch":1}"#,
            "wrong_type",
        ),
        (r#"{"type":"ping","id":[]}"#, "bad_member"),
        (r#"{"type":null}"#, "missing_member"),
        (r#"{"type":"ping","id":null,"id":1}"#, "duplicate_member"),
        (r#"{"type":"ping","id":true}"#, "bad_member"),
        (r#"{"type":"ping","id":1e999}"#, "bad_member"),
        (r#"{"type":"ping","id":"\ud800"}"#, "bad_member"),
    ] {
        assert_eq!(code(text), expected, "{text}");
    }
}

#[test]
fn answers_repeat_the_id_as_it_was_sent() {
    let read = command::read(r#"{"type":"ping","id":"\u0041"}"#).unwrap();
    let reply = command::reply(read.id, read.action.name(), b"{}");
    assert_eq!(reply, br#"{"type":"reply","id":"\u0041","command":"ping"}"#);
    let reply = command::reply(None, "history", b"{\"a\":1}\n");
    assert_eq!(reply, br#"{"type":"reply","command":"history","a":1}"#);
    let failure = Failure::new("bad_member", "not \"that\"");
    assert_eq!(
        command::failed(read.id, &failure),
        br#"{"type":"error","id":"\u0041","code":"bad_member","content":"not \"that\""}"#
    );
}

proptest! {
    #[test]
    fn any_text_is_answered_with_json(text in "[{}\\[\\]\":,a-z0-9\\\\ ]{0,80}") {
        let reply = match command::read(&text) {
            Ok(read) => command::reply(read.id, read.action.name(), &command::subscribed("a\"b", Epoch::NONE, 2)),
            Err((id, failure)) => command::failed(id, &failure),
        };
        prop_assert!(serde_json::from_slice::<serde_json::Value>(&reply).is_ok());
    }
}
