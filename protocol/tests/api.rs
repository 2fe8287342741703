//! The JSON API: what is read, and what is said of mistakes. The suites t/api_*.t say the same of a server.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use icomet_protocol::Params;
use icomet_protocol::api::problem::{Problem, Where};
use icomet_protocol::api::publication::{
    Disconnect, Media, Whom, batch, disconnect, plain, publish,
};
use icomet_protocol::api::query::{Cursor, channels, history, history_of, presence, presence_of};
use proptest::prelude::*;
use serde_json::{Value, json};

fn code_of<T: std::fmt::Debug>(read: Result<T, Problem>) -> (u16, &'static str, Option<String>) {
    let problem = read.unwrap_err();
    let place = problem.place.map(|place| match place {
        Where::Pointer(text) | Where::Parameter(text) => text.into_string(),
    });
    (problem.status, problem.code, place)
}

#[test]
fn a_string_is_published_as_it_is_and_any_other_value_as_its_text() {
    for (sent, content) in [
        (r#""a\u00e4\n""#, "aä\\n"),
        (r#"{"a": 1.10}"#, r#"{\"a\": 1.10}"#),
        ("12345678901234567890123", "12345678901234567890123"),
        ("[\n]", "[\\n]"),
    ] {
        let body = format!(r#"{{"channel":"c","content":{sent}}}"#);
        let publication = publish(body.as_bytes(), 1).unwrap();
        assert_eq!(String::from_utf8(publication.content).unwrap(), content);
        assert!(publication.is_single && publication.id.is_none());
    }
}

#[test]
fn options_are_read_from_the_body_or_the_query() {
    let body = br#"{"channel":"c","content":1,"ttl":1.5,"event":"e \u00e4","exclude":"alice"}"#;
    let read = publish(body, 1).unwrap();
    assert_eq!(read.ttl, Some(1500));
    assert_eq!(read.event.as_deref(), Some("e \u{e4}"));
    assert_eq!(read.exclude.as_deref(), Some("alice"));
    let query = b"channel=c&ttl=1.5&event=e+%c3%a4&exclude=alice";
    let read = plain(Media::Text, query, b"x").unwrap();
    assert_eq!(read.ttl, Some(1500));
    assert_eq!(read.event.as_deref(), Some("e \u{e4}"));
    assert_eq!(read.exclude.as_deref(), Some("alice"));
    let body = br#"{"channel":"c","channels":null,"content":null,"id":null,"ttl":null,"event":null,"exclude":null,"once":"o"}"#;
    let read = publish(body, 1).unwrap();
    assert_eq!((read.content.as_slice(), read.ttl), (&b"null"[..], None));
    assert_eq!((read.event, read.exclude), (None, None));
    assert_eq!(read.id.as_deref(), Some("o"));
    let read = plain(Media::Text, b"channel=c&once=o", b"x").unwrap();
    assert_eq!(read.id.as_deref(), Some("o"));
    for (member, code) in [
        (r#""ttl":0"#, "bad_member"),
        (r#""ttl":-1"#, "bad_member"),
        (r#""ttl":31536000.1"#, "bad_member"),
        (r#""ttl":"1""#, "wrong_type"),
        (r#""ttl":[]"#, "wrong_type"),
        (r#""event":"""#, "bad_member"),
        (r#""event":"a\nb""#, "bad_member"),
        (r#""event":1"#, "wrong_type"),
        (r#""exclude":"""#, "bad_member"),
        (r#""exclude":["a"]"#, "wrong_type"),
    ] {
        let body = format!(r#"{{"messages":[{{"channel":"c","content":1,{member}}}]}}"#);
        let name = member.split('"').nth(1).unwrap();
        let place = Some(format!("/messages/0/{name}"));
        assert_eq!(code_of(batch(body.as_bytes(), 9)), (400, code, place));
    }
    for (query, name) in [
        ("ttl=0", "ttl"),
        ("event=%0a", "event"),
        ("exclude=", "exclude"),
        ("once=", "once"),
        ("id=o&once=o", "once"),
    ] {
        let query = format!("channel=c&{query}");
        let place = Some(name.to_owned());
        let refused = code_of(plain(Media::Text, query.as_bytes(), b"x"));
        assert_eq!(refused, (400, "bad_parameter", place));
    }
}

#[test]
fn disconnect_names_a_channel_or_a_user_or_both() {
    let asked = |whom, stay_away, revoke| {
        Ok(Disconnect {
            whom,
            stay_away,
            revoke,
        })
    };
    let a = || Whom::Channel("a".into());
    assert_eq!(disconnect(br#"{"channel":"a"}"#), asked(a(), false, false));
    let user = disconnect(br#"{"user":"ann","stay_away":true,"revoke":false}"#);
    assert_eq!(user, asked(Whom::User("ann".into(), None), true, false));
    let both = disconnect(br#"{"user":"\u0061nn","channel":"a","revoke":true}"#);
    let ann = Whom::User("ann".into(), Some("a".into()));
    assert_eq!(both, asked(ann, false, true));
    let all = disconnect(br#"{"stay_away":true,"revoke":true,"channel":"a"}"#);
    assert_eq!(all, asked(a(), true, true));
    let refused = |body: &str| code_of(disconnect(body.as_bytes()));
    assert_eq!(refused("{}").1, "missing_member");
    for (body, code, pointer) in [
        (r#"{"user":""}"#, "bad_member", "/user"),
        (r#"{"user":"a\n"}"#, "bad_member", "/user"),
        (r#"{"user":1}"#, "wrong_type", "/user"),
        (r#"{"user":"a","channel":""}"#, "bad_member", "/channel"),
        (r#"{"user":"a","id":""}"#, "unknown_member", "/id"),
        (r#"{"user":"a","revoke":true}"#, "bad_member", "/revoke"),
        (r#"{"channel":"a","revoke":1}"#, "wrong_type", "/revoke"),
        (
            r#"{"channel":"a","stay_away":"true"}"#,
            "wrong_type",
            "/stay_away",
        ),
        (
            r#"{"channel":"a","stay_away":[]}"#,
            "wrong_type",
            "/stay_away",
        ),
    ] {
        assert_eq!(
            refused(body),
            (400, code, Some(pointer.to_owned())),
            "{body}"
        );
    }
}

#[test]
fn subscribers_ask_as_back_ends_do_and_may_say_more() {
    let (query, more) = (
        b"limit=7&cursor=00000000000000ff",
        b"limit=7&cursor=00000000000000ff&x=1",
    );
    let of_api = presence(b"channel=a&limit=7&cursor=00000000000000ff").unwrap();
    assert_eq!((of_api.limit, of_api.cursor), (7, Some(255)));
    for query in [query.as_slice(), more] {
        assert_eq!(
            presence_of("a".into(), &Params::new(query, None)).unwrap(),
            of_api
        );
    }
    let of_api = history(b"channel=a&since=3&reverse=true").unwrap();
    let params = Params::new(b"cname=a&since=3&reverse=true", None);
    assert_eq!(history_of("a".into(), &params).unwrap(), of_api);
    for bad in ["cursor=ff", "cursor=", "limit=0", "limit=%ff"] {
        let name = bad.split('=').next().map(str::to_owned);
        let params = Params::new(bad.as_bytes(), None);
        let refused = code_of(presence_of("a".into(), &params));
        assert_eq!(refused, (400, "bad_parameter", name), "{bad}");
    }
}

#[test]
fn depth_costs_no_stack() {
    let deep = "[".repeat(1 << 20) + &"]".repeat(1 << 20);
    let body = format!(r#"{{"channel":"c","content":{deep}}}"#);
    assert_eq!(publish(body.as_bytes(), 1).unwrap().content.len(), 2 << 20);
    let objects = r#"{"content":"#.repeat(1 << 16);
    assert_eq!(code_of(publish(objects.as_bytes(), 1)).1, "bad_json");
}

#[test]
fn a_batch_is_bounded_over_all_its_messages() {
    let body = br#"{"messages":[{"channels":["a","b"],"content":1},{"channel":"c","content":2}]}"#;
    assert_eq!(batch(body, 3).unwrap().len(), 2);
    assert_eq!(code_of(batch(body, 2)), (413, "too_many_publishes", None));
    assert_eq!(code_of(batch(body, 1)), (413, "too_many_publishes", None));
}

#[test]
fn mistakes_are_named_by_their_place() {
    let body = br#"{"messages":[{"channel":"a","content":1},{"channels":["b",3],"content":2}]}"#;
    let place = Some("/messages/1/channels/1".to_owned());
    assert_eq!(code_of(batch(body, 9)), (400, "wrong_type", place));
    let long = format!(r#"{{"{}":1}}"#, "x/".repeat(500));
    let (_, code, place) = code_of(publish(long.as_bytes(), 9));
    assert_eq!(code, "unknown_member");
    let place = place.unwrap();
    assert!(place.starts_with("/x~1x~1") && place.len() < 200, "{place}");
    assert_eq!(
        code_of(history(b"channel=a&limit=0")),
        (400, "bad_parameter", Some("limit".to_owned()))
    );
}

#[test]
fn a_problem_is_a_problem_detail() {
    let problem = publish(br#"{"channel":"a","content":1,"x":2}"#, 1).unwrap_err();
    let tree: Value = serde_json::from_slice(&problem.to_json()).unwrap();
    let expected = json!({
        "type": "about:blank", "title": "Bad Request", "status": 400, "code": "unknown_member",
        "detail": "no such member: channel, channels, content, id, ttl, event, exclude, once are known", "pointer": "/x",
    });
    assert_eq!(tree, expected);
}

#[test]
fn content_types() {
    let of = |text: &str| Media::of_content_type(text.as_bytes());
    assert_eq!(of("application/json"), Some(Media::Json));
    assert_eq!(
        of("Application/JSON ; charset=\"UTF-8\""),
        Some(Media::Json)
    );
    assert_eq!(of("text/plain;format=flowed"), Some(Media::Text));
    assert_eq!(of("application/octet-stream"), Some(Media::Binary));
    for other in [
        "",
        "text/html",
        "text/plain; charset=latin1",
        "application/jsonx",
    ] {
        assert_eq!(of(other), None, "{other}");
    }
}

#[test]
fn bytes_are_published_as_base64() {
    let publication = plain(Media::Binary, b"channel=c&id=1", b"\0\xff\xfe~").unwrap();
    assert_eq!(publication.content, b"AP/+fg==");
    assert_eq!(publication.id.as_deref(), Some("1"));
    let text = plain(Media::Text, b"channel=c", b"a\xff");
    assert_eq!(code_of(text), (400, "not_utf8", None));
}

proptest! {
    #[test]
    fn what_is_read_is_what_was_written(
        names in prop::collection::btree_set("[a-zä\"\\\\]{1,20}", 1..5),
        content in "\\PC{0,30}",
        id in prop::option::of("\\PC{1,20}"),
    ) {
        let names: Vec<_> = names.into_iter().collect();
        let mut body = json!({"channels": names, "content": content});
        if let Some(id) = &id {
            body["id"] = json!(id);
        }
        let body = body.to_string();
        let publication = publish(body.as_bytes(), 5).unwrap();
        prop_assert_eq!(&publication.channels, &names);
        prop_assert_eq!(publication.id.as_deref(), id.as_deref());
        let quoted = format!("\"{}\"", String::from_utf8(publication.content).unwrap());
        prop_assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), content);
    }

    #[test]
    fn a_cursor_comes_back(place: [u32; 2], after in prop::collection::vec(any::<u8>(), 0..256)) {
        let cursor = Cursor { place, after };
        let query = format!("cursor={}", cursor.to_text());
        prop_assert_eq!(channels(query.as_bytes()).unwrap().cursor, cursor);
    }
}
