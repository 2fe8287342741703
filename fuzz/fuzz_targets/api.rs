//! Requests of the JSON API: bodies and queries.
//!
//! Input: the body, or the query; both are tried. It is compared with a tree that serde_json reads.

#![no_main]

use icomet_protocol::api::publication::{
    Media, Publication, Whom, batch, disconnect, plain, publish,
};
use icomet_protocol::api::query::{self, Cursor};
use icomet_protocol::api::{MAX_ID, MAX_LIMIT, Problem};
use icomet_protocol::content::check_encoded;
use icomet_protocol::option::{MAX_TTL, check_event};
use icomet_protocol::params::{check_channel_name, check_user};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const MOST: usize = 8;

fuzz_target!(|data: &[u8]| {
    let tree = serde_json::from_slice::<Value>(data).ok();
    match publish(data, MOST) {
        Ok(publication) => {
            is_sound(&publication);
            if let Some(tree) = &tree {
                is_what_it_says(&publication, tree);
            }
        }
        Err(problem) => is_told(&problem),
    }
    match batch(data, MOST) {
        Ok(publications) => {
            let all: usize = publications.iter().map(|p| p.channels.len()).sum();
            assert!((1..=MOST).contains(&all));
            for (n, publication) in publications.iter().enumerate() {
                is_sound(publication);
                if let Some(tree) = &tree {
                    is_what_it_says(publication, &tree["messages"][n]);
                }
            }
        }
        Err(problem) => is_told(&problem),
    }
    match disconnect(data) {
        Ok(asked) => {
            let (user, channel) = match &asked.whom {
                Whom::Channel(channel) => (None, Some(channel)),
                Whom::User(user, channel) => (Some(user), channel.as_ref()),
            };
            assert!(!asked.revoke || channel.is_some());
            if let Some(name) = channel {
                check_channel_name(name.as_bytes()).expect("a checked name");
            }
            if let Some(user) = user {
                check_user(user.as_bytes()).expect("a checked id");
            }
            if let Some(tree) = &tree {
                assert_eq!(tree["channel"].as_str(), channel.map(|name| &**name));
                assert_eq!(tree["user"].as_str(), user.map(|user| &**user));
                assert_eq!(tree["stay_away"] == true, asked.stay_away);
                assert_eq!(tree["revoke"] == true, asked.revoke);
            }
        }
        Err(problem) => is_told(&problem),
    }
    queries(data);
    if let Some(at) = data.iter().position(|byte| *byte == b'\n') {
        let (head, rest) = (&data[..at], &data[at + 1..]);
        let _ = Media::of_content_type(head);
        for media in [Media::Text, Media::Binary] {
            match plain(media, head, rest) {
                Ok(publication) => is_sound(&publication),
                Err(problem) => is_told(&problem),
            }
        }
    }
});

fn queries(data: &[u8]) {
    match query::history(data) {
        Ok(asked) => {
            check_channel_name(asked.channel.as_bytes()).expect("a checked name");
            assert!((1..=MAX_LIMIT as usize).contains(&asked.limit));
        }
        Err(problem) => is_told(&problem),
    }
    match query::channels(data) {
        Ok(asked) => {
            assert!((1..=MAX_LIMIT as usize).contains(&asked.limit));
            assert_eq!(Cursor::parse(&asked.cursor.to_text()), Some(asked.cursor));
        }
        Err(problem) => is_told(&problem),
    }
    match query::presence(data) {
        Ok(asked) => {
            check_channel_name(asked.channel.as_bytes()).expect("a checked name");
            assert!((1..=MAX_LIMIT as usize).contains(&asked.limit));
        }
        Err(problem) => is_told(&problem),
    }
    if let Err(problem) = query::none(data) {
        is_told(&problem);
    }
    if let Some(cursor) = std::str::from_utf8(data).ok().and_then(Cursor::parse) {
        assert_eq!(Cursor::parse(&cursor.to_text()), Some(cursor));
    }
}

fn is_sound(publication: &Publication<'_>) {
    assert!(!publication.channels.is_empty());
    for name in &publication.channels {
        check_channel_name(name.as_bytes()).expect("a checked name");
    }
    check_encoded(&publication.content).expect("the inside of a JSON string");
    if let Some(id) = &publication.id {
        assert!((1..=MAX_ID).contains(&id.chars().count()));
    }
    if let Some(event) = &publication.event {
        check_event(event.as_bytes()).expect("a checked name");
    }
    if let Some(ttl) = publication.ttl {
        assert!((1..=MAX_TTL * 1000).contains(&ttl));
    }
}

/// What a parser that knows nothing of us reads there.
fn is_what_it_says(publication: &Publication<'_>, tree: &Value) {
    let names: Vec<&str> = match &tree["channels"] {
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ => tree["channel"].as_str().into_iter().collect(),
    };
    assert_eq!(publication.channels, names);
    assert_eq!(publication.id.as_deref(), tree["id"].as_str());
    assert_eq!(publication.event.as_deref(), tree["event"].as_str());
    assert_eq!(publication.exclude.as_deref(), tree["exclude"].as_str());
    assert_eq!(publication.ttl.is_some(), tree["ttl"].is_number());
    let quoted = [b"\"", &publication.content[..], b"\""].concat();
    let text: String = serde_json::from_slice(&quoted).expect("a JSON string");
    match &tree["content"] {
        Value::String(content) => assert_eq!(&text, content),
        content => assert_eq!(
            &serde_json::from_str::<Value>(&text).expect("a JSON value"),
            content
        ),
    }
}

/// A problem is JSON, and short whatever was sent.
fn is_told(problem: &Problem) {
    let json = problem.to_json();
    assert!(json.len() < 2000, "{}", json.len());
    let tree: Value = serde_json::from_slice(&json).expect("JSON");
    assert_eq!(tree["status"], problem.status);
    assert_eq!(tree["code"], problem.code);
    assert!((400..500).contains(&problem.status));
}
