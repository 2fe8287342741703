//! Messages as clients get them.

use serde::Deserialize;

/// One message of the protocol. Unknown or missing keys are refused.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// What it is: `data`, `broadcast`, `noop`, `next_seq`, `close`, `lost`, `401`, `429`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The channel.
    pub cname: String,
    /// The sequence number that goes with its type.
    pub seq: u64,
    /// The content, unescaped.
    pub content: String,
    /// The `id:` of the event (SSE only).
    #[serde(skip)]
    pub id: Option<String>,
}

impl Message {
    /// Parses one message.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(text)
            .map_err(|error| format!("{error} in {:?}", String::from_utf8_lossy(text)))
    }

    /// Parses a long poll's answer that calls `callback`.
    pub fn parse_jsonp(text: &[u8], callback: &str) -> Result<Vec<Self>, String> {
        let inside = text
            .strip_prefix(b"/**/")
            .and_then(|rest| rest.strip_prefix(callback.as_bytes()))
            .and_then(|rest| rest.strip_prefix(b"("))
            .and_then(|rest| rest.strip_suffix(b");\n"))
            .ok_or_else(|| format!("no call: {:?}", String::from_utf8_lossy(text)))?;
        Self::parse_list(inside)
    }

    /// Parses a long poll's answer: one message, or an array of them.
    pub fn parse_batch(text: &[u8]) -> Result<Vec<Self>, String> {
        let line = text
            .strip_suffix(b"\n")
            .ok_or_else(|| format!("no line end: {:?}", String::from_utf8_lossy(text)))?;
        Self::parse_list(line)
    }

    fn parse_list(text: &[u8]) -> Result<Vec<Self>, String> {
        if text.first() == Some(&b'[') {
            serde_json::from_slice(text)
                .map_err(|error| format!("{error} in {:?}", String::from_utf8_lossy(text)))
        } else {
            Ok(vec![Self::parse(text)?])
        }
    }

    /// The last sequence number a client has after this message, if the message says one: what
    /// the event's `id:` must say too.
    pub fn last_seq(&self) -> Option<u64> {
        match self.kind.as_str() {
            "data" | "broadcast" => Some(self.seq),
            "next_seq" | "lost" => self.seq.checked_sub(1),
            _ => None,
        }
    }
}
