//! What is asked of each server: its URLs, and how a long poll goes on.

use std::net::SocketAddrV4;

use crate::content::Content;
use crate::http::{self, Client};
use crate::websocket;

/// A server that the bench knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Ours.
    Icomet,
    /// nchan in Debian's nginx.
    Nchan,
    /// The bare epoll server in `floor.rs`.
    Floor,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 3] = [Kind::Icomet, Kind::Nchan, Kind::Floor];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Icomet => "icomet",
            Kind::Nchan => "nchan",
            Kind::Floor => "floor",
        }
    }
}

/// How a subscriber listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Server-sent events.
    Sse,
    /// An endless stream of messages.
    Stream,
    /// Long polling.
    LongPoll,
    /// A WebSocket.
    WebSocket {
        /// Whether messages are compressed.
        deflates: bool,
    },
}

impl Transport {
    /// Those that are plain HTTP.
    pub const HTTP: [Transport; 3] = [Transport::Sse, Transport::Stream, Transport::LongPoll];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Transport::Sse => "sse",
            Transport::Stream => "stream",
            Transport::LongPoll => "longpoll",
            Transport::WebSocket { deflates: false } => "ws",
            Transport::WebSocket { deflates: true } => "ws-deflate",
        }
    }
}

/// How a message is sent to icomet; nchan takes POST alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Everything in the query string.
    Get,
    /// The content as a form.
    Post,
}

/// A running server as its clients see it.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// What it is.
    pub kind: Kind,
    /// Where it listens.
    pub address: SocketAddrV4,
    /// How messages are published to it.
    pub method: Method,
}

/// The name of a channel: 16 bytes.
pub fn channel_name(channel: u32) -> String {
    format!("bench-c-{channel:08}")
}

/// Where a long poll goes on: a seq, or nchan's two header fields.
#[derive(Debug, Clone, Copy)]
pub enum Resume<'a> {
    /// From now on.
    Now,
    /// icomet's seq.
    Seq(u32),
    /// nchan's header fields, ready to send.
    Headers(&'a [u8]),
}

impl Target {
    /// A subscriber's request.
    pub fn subscribe(
        &self,
        out: &mut Vec<u8>,
        transport: Transport,
        channel: u32,
        resume: Resume<'_>,
        client: Client,
    ) {
        let name = channel_name(channel);
        let seq = match resume {
            Resume::Seq(seq) => seq,
            _ => 0,
        };
        let path = match (self.kind, transport) {
            (Kind::Nchan, Transport::Sse) => format!("/sse?id={name}"),
            (Kind::Nchan, Transport::Stream) => format!("/stream?id={name}"),
            (Kind::Nchan, Transport::LongPoll) => format!("/poll?id={name}"),
            (Kind::Nchan, Transport::WebSocket { .. }) => format!("/ws?id={name}"),
            (_, Transport::Sse) => format!("/icomet/sse?cname={name}&seq={seq}"),
            (_, Transport::Stream) => format!("/icomet/stream?cname={name}&seq={seq}"),
            (_, Transport::LongPoll) => format!("/icomet/sub?cname={name}&seq={seq}"),
            (_, Transport::WebSocket { .. }) => format!("/icomet/ws?cname={name}&seq={seq}"),
        };
        let accept = match transport {
            Transport::Sse => "text/event-stream",
            _ => "*/*",
        };
        out.extend_from_slice(b"GET ");
        out.extend_from_slice(path.as_bytes());
        out.extend_from_slice(b" HTTP/1.1\r\nHost: bench.example\r\nAccept: ");
        out.extend_from_slice(accept.as_bytes());
        out.extend_from_slice(b"\r\n");
        if let Transport::WebSocket { deflates } = transport {
            // A page of the same host, as all servers allow it.
            let headers = client.headers().replace("Connection: keep-alive\r\n", "");
            let headers = headers.replace("//www.example.com", "//bench.example");
            out.extend_from_slice(headers.as_bytes());
            out.extend_from_slice(websocket::request_headers(deflates).as_bytes());
        } else {
            out.extend_from_slice(client.headers().as_bytes());
        }
        if let Resume::Headers(headers) = resume {
            out.extend_from_slice(headers);
        }
        out.extend_from_slice(b"\r\n");
    }

    /// A publisher's request.
    pub fn publish(&self, out: &mut Vec<u8>, content: Content) {
        let name = channel_name(content.channel);
        let text = content.write();
        let request = match (self.kind, self.method) {
            (Kind::Nchan, _) => format!(
                "POST /pub?id={name} HTTP/1.1\r\nHost: bench.example\r\n\
                 Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n{text}",
                text.len()
            ),
            (Kind::Icomet, Method::Post) => format!(
                "POST /icomet-admin/push?cname={name} HTTP/1.1\r\nHost: bench.example\r\n\
                 Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n\
                 content={text}",
                text.len() + 8
            ),
            (Kind::Icomet, Method::Get) | (Kind::Floor, _) => format!(
                "GET /icomet-admin/push?cname={name}&content={text} HTTP/1.1\r\n\
                 Host: bench.example\r\n\r\n"
            ),
        };
        out.extend_from_slice(request.as_bytes());
    }

    /// A publisher's request with a JSON text of so many bytes; `deflates`: for compressing subscribers, which
    /// nchan has to be told.
    pub fn publish_json(&self, out: &mut Vec<u8>, content: Content, length: usize, deflates: bool) {
        let name = channel_name(content.channel);
        let text = content.write_json(length);
        let (path, body) = match (self.kind, deflates) {
            (Kind::Nchan, false) => (format!("/pub?id={name}"), text),
            (Kind::Nchan, true) => (format!("/pub-deflate?id={name}"), text),
            _ => (
                "/icomet-admin/api/publish".to_owned(),
                format!("{{\"channel\":\"{name}\",\"content\":{text}}}"),
            ),
        };
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: bench.example\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        out.extend_from_slice(request.as_bytes());
    }

    /// Whether a long poll is told at once where to begin, and waits with its second request.
    pub fn tells_where_to_begin(&self) -> bool {
        self.kind != Kind::Nchan
    }
}

/// nchan's id of the last message, as header fields of the next poll.
pub fn nchan_resume(head: &[u8]) -> Option<Vec<u8>> {
    let modified = http::header(head, "last-modified")?;
    let tag = http::header(head, "etag")?;
    let mut out = Vec::with_capacity(modified.len() + tag.len() + 40);
    out.extend_from_slice(b"If-Modified-Since: ");
    out.extend_from_slice(modified);
    out.extend_from_slice(b"\r\nIf-None-Match: ");
    out.extend_from_slice(tag);
    out.extend_from_slice(b"\r\n");
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_has_sixteen_bytes() {
        assert_eq!(channel_name(999_999).len(), 16);
    }

    #[test]
    fn nchan_is_resumed_by_its_two_fields() {
        let head = b"HTTP/1.1 200 OK\r\nLast-Modified: Wed\r\nEtag: 3\r\n\r\n";
        let expected = b"If-Modified-Since: Wed\r\nIf-None-Match: 3\r\n";
        assert_eq!(nchan_resume(head).unwrap(), expected);
        assert_eq!(nchan_resume(b"HTTP/1.1 200 OK\r\n\r\n"), None);
    }
}
