//! Messages in the framing of each transport, and the answers of the other endpoints.

mod answer;
mod chunked;
mod poll;
mod stream;

pub use answer::{
    Sign, broadcast_done, check, closed, error_body, info_channel, info_total, not_connected, ok,
    ping, presence_line, sign,
};
pub use chunked::{LAST_CHUNK, chunk};
pub use poll::PollBatch;
pub use stream::{iframe_head, sse_retry, stream_frame};

/// How messages reach a subscriber.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, serde::Deserialize, serde::Serialize)]
pub enum Transport {
    /// `sub`, `poll`: one answer with one batch, JSONP when there is a callback.
    LongPoll,
    /// `stream`: one JSON object a line, without end.
    Stream,
    /// `sse`: an EventSource stream.
    Sse,
    /// `iframe`: an HTML page without end, one script a line.
    Iframe,
}

impl Transport {
    /// The `Content-Type` of a response; `jsonp`: it has a callback (long poll only).
    pub fn content_type(self, jsonp: bool) -> &'static str {
        match self {
            Self::LongPoll if jsonp => "text/javascript; charset=utf-8",
            Self::LongPoll | Self::Stream => "application/json; charset=utf-8",
            Self::Sse => "text/event-stream; charset=utf-8",
            Self::Iframe => "text/html; charset=utf-8",
        }
    }
}
