//! What a client says on its WebSocket. No command is known yet.

use serde_json::{Value, json};

/// The answer to a text message of a client: a JSON object with the command's `id`, if it has one.
pub fn answer(text: &str) -> Vec<u8> {
    let (id, code, content) = match serde_json::from_str(text) {
        Ok(Value::Object(mut command)) => (
            command.remove("id"),
            "unknown_command",
            "no such command is known here",
        ),
        _ => (None, "bad_command", "a command is a JSON object"),
    };
    let mut reply = json!({"type": "error", "code": code, "content": content});
    // What it is does not matter, but not all that a client can think of comes back.
    if let (Some(id @ (Value::String(_) | Value::Number(_))), Some(reply)) =
        (id, reply.as_object_mut())
    {
        reply.insert("id".to_owned(), id);
    }
    reply.to_string().into_bytes()
}
