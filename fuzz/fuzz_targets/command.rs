//! What the client of a WebSocket says: whatever it is, the answer is JSON, and repeats the id.

#![no_main]

use icomet_protocol::command::{self, Action};
use icomet_protocol::params::check_channel_name;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    // A WebSocket lets nothing else through.
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let tree: Option<Value> = serde_json::from_str(text).ok();
    let (id, reply) = match command::read(text) {
        Ok(read) => {
            let tree = tree.as_ref().expect("what is taken is JSON");
            assert_eq!(tree["type"], read.action.name());
            let channel = match &read.action {
                Action::Subscribe { channel, .. } | Action::Unsubscribe { channel } => {
                    Some(channel)
                }
                Action::Presence(asked) => Some(&asked.channel),
                Action::Publish {
                    channel, content, ..
                } => {
                    let quoted = [b"\"", &content[..], b"\""].concat();
                    let content: String =
                        serde_json::from_slice(&quoted).expect("the inside of a string");
                    if let Value::String(sent) = &tree["content"] {
                        assert_eq!(*sent, content);
                    } else {
                        let again: Value =
                            serde_json::from_str(&content).expect("JSON as it was sent");
                        assert_eq!(again, tree["content"]);
                    }
                    Some(channel)
                }
                Action::History(history) => Some(&history.channel),
                Action::Ping => None,
            };
            if let Some(channel) = channel {
                assert!(check_channel_name(channel.as_bytes()).is_ok());
                assert_eq!(tree["channel"], **channel);
            }
            let reply = command::reply(read.id, read.action.name(), b"{\"a\":1}\n");
            (read.id, reply)
        }
        Err((id, failure)) => {
            assert!(failure.content.len() < 400);
            (id, command::failed(id, &failure))
        }
    };
    let reply: Value = serde_json::from_slice(&reply).expect("a reply is JSON");
    let expected = id.map(|id| serde_json::from_str::<Value>(id.get()).expect("an id is JSON"));
    assert_eq!(reply.get("id"), expected.as_ref());
});
