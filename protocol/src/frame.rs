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
pub use stream::{
    disconnected_end, disconnected_frame, iframe_head, socket_text, sse_event, sse_retry,
    stream_frame,
};

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
    /// `ws`: a WebSocket, one text message each.
    WebSocket(Socket),
}

/// What was agreed on with the client of a WebSocket.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, serde::Deserialize, serde::Serialize)]
pub enum Socket {
    /// Nothing.
    Plain,
    /// Messages are compressed.
    Deflate,
    /// A test of the protocol itself: what the client sends comes back.
    Echo,
    /// The same, with compression.
    EchoDeflate,
}

impl Socket {
    /// Whether messages are compressed.
    pub fn deflates(self) -> bool {
        matches!(self, Socket::Deflate | Socket::EchoDeflate)
    }

    /// Whether messages come back.
    pub fn echoes(self) -> bool {
        matches!(self, Socket::Echo | Socket::EchoDeflate)
    }

    /// The same with compression or without.
    pub fn deflating(self, deflates: bool) -> Socket {
        match (self.echoes(), deflates) {
            (false, false) => Socket::Plain,
            (false, true) => Socket::Deflate,
            (true, false) => Socket::Echo,
            (true, true) => Socket::EchoDeflate,
        }
    }
}

impl Transport {
    /// The `Content-Type` of a response; `jsonp`: it has a callback (long poll only).
    pub fn content_type(self, jsonp: bool) -> &'static str {
        match self {
            Self::LongPoll if jsonp => "text/javascript; charset=utf-8",
            Self::LongPoll | Self::Stream => "application/json; charset=utf-8",
            Self::Sse => "text/event-stream; charset=utf-8",
            Self::Iframe => "text/html; charset=utf-8",
            // The answer has no body.
            Self::WebSocket(_) => "",
        }
    }
}
