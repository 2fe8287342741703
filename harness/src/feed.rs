//! One open streaming response (stream, SSE, iframe, WebSocket), read event by event.

use std::collections::VecDeque;

use tokio::io::AsyncWriteExt;

use crate::body::Decoder;
use crate::http::{Connection, Head, HttpError, find};
use crate::message::Message;

/// What opens a WebSocket.
pub const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A client's empty pong, with a mask of zeroes.
const PONG: &[u8] = &[0x8a, 0x80, 0, 0, 0, 0];

/// What an iframe's line begins with.
const SCRIPT: &[u8] = b"<script>parent.icomet_cb(";

/// The ways to subscribe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// `sub`
    LongPoll,
    /// `sub` with a callback
    Jsonp,
    /// `stream`
    Stream,
    /// `sse`
    Sse,
    /// `iframe`
    Iframe,
    /// `ws`
    WebSocket,
}

impl Transport {
    /// All of them, to deal out in turn.
    pub const ALL: [Transport; 6] = [
        Transport::LongPoll,
        Transport::Jsonp,
        Transport::Stream,
        Transport::Sse,
        Transport::Iframe,
        Transport::WebSocket,
    ];

    /// The transport of the `index`th of many subscribers.
    pub fn of(index: usize) -> Self {
        Self::ALL[index % Self::ALL.len()]
    }

    /// Whether a response brings one batch, and the next is asked for.
    pub fn is_poll(self) -> bool {
        matches!(self, Transport::LongPoll | Transport::Jsonp)
    }

    /// The last path segment.
    pub fn endpoint(self) -> &'static str {
        match self {
            Transport::LongPoll | Transport::Jsonp => "sub",
            Transport::Stream => "stream",
            Transport::Sse => "sse",
            Transport::Iframe => "iframe",
            Transport::WebSocket => "ws",
        }
    }

    /// Whether a polite end says when to come again.
    pub fn has_retry(self) -> bool {
        self == Transport::Sse
    }

    /// The content type of the answer.
    pub fn content_type(self) -> &'static str {
        match self {
            Transport::LongPoll | Transport::Stream => "application/json; charset=utf-8",
            Transport::Jsonp => "text/javascript; charset=utf-8",
            Transport::Sse => "text/event-stream; charset=utf-8",
            Transport::Iframe => "text/html; charset=utf-8",
            Transport::WebSocket => "",
        }
    }
}

/// What a streaming response brings.
#[derive(Debug)]
pub enum Event {
    /// A message.
    Message(Message),
    /// SSE `retry:`, milliseconds; but not the one that a stream begins with.
    Retry(u64),
    /// The response ended as HTTP says it ends.
    End,
}

/// The text of a response, cut into events.
#[derive(Debug)]
pub struct Parser {
    transport: Transport,
    /// Decoded and not yet parsed.
    pub text: Vec<u8>,
    id: Option<String>,
    data: Option<String>,
    started: bool,
    /// Pings of a WebSocket that are not answered yet.
    pings: usize,
    /// A WebSocket's close frame has come.
    is_closed: bool,
    /// The response is of several channels: who reads it holds the ids against all of them.
    is_many: bool,
}

impl Parser {
    /// A parser for the body of this transport.
    pub fn new(transport: Transport, is_many: bool) -> Self {
        Self {
            transport,
            is_many,
            text: Vec::new(),
            id: None,
            data: None,
            started: false,
            pings: 0,
            is_closed: false,
        }
    }

    /// Takes all whole lines out of the text.
    pub fn parse(&mut self, events: &mut VecDeque<Event>) -> Result<(), String> {
        if self.transport == Transport::WebSocket {
            return self.frames(events);
        }
        let text = std::mem::take(&mut self.text);
        let mut start = 0;
        while let Some(length) = find(&text[start..], b"\n") {
            self.line(&text[start..start + length], events)?;
            start += length + 1;
        }
        self.text = text;
        self.text.drain(..start);
        Ok(())
    }

    /// Takes all whole frames of a WebSocket out of the text.
    fn frames(&mut self, events: &mut VecDeque<Event>) -> Result<(), String> {
        while let [first, length, rest @ ..] = &self.text[..] {
            let (start, length) = match (length, rest) {
                (126, [a, b, ..]) => (4, usize::from(u16::from_be_bytes([*a, *b]))),
                (127, [a, b, c, d, e, f, g, h, ..]) => {
                    let length = u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]);
                    (10, usize::try_from(length).map_err(|e| e.to_string())?)
                }
                (126 | 127, _) => return Ok(()),
                (length, _) => (2, usize::from(*length)),
            };
            let first = *first;
            let Some(payload) = self.text.get(start..start + length) else {
                return Ok(());
            };
            match first {
                0x81 => events.push_back(Event::Message(Message::parse(payload)?)),
                0x89 => self.pings += 1,
                // The channel was closed, the server stops, or a reload.
                0x88 if matches!(payload, [3, 0xe8 | 0xe9 | 0xf4, ..]) => {
                    self.is_closed = true;
                    events.push_back(Event::End);
                }
                _ => return Err(format!("frame {first:x} {payload:?}")),
            }
            self.text.drain(..start + length);
        }
        Ok(())
    }

    fn line(&mut self, line: &[u8], events: &mut VecDeque<Event>) -> Result<(), String> {
        match self.transport {
            Transport::LongPoll | Transport::Jsonp | Transport::Stream => {
                events.push_back(Event::Message(Message::parse(line)?));
                Ok(())
            }
            Transport::Iframe => self.script(line, events),
            Transport::Sse => self.field(line, events),
            Transport::WebSocket => Err("a WebSocket has no lines".into()),
        }
    }

    fn script(&mut self, line: &[u8], events: &mut VecDeque<Event>) -> Result<(), String> {
        match line
            .strip_prefix(SCRIPT)
            .and_then(|rest| rest.strip_suffix(b");</script>"))
        {
            Some(json) => {
                self.started = true;
                events.push_back(Event::Message(Message::parse(json)?));
                Ok(())
            }
            None if !self.started && !line.starts_with(b"<script>parent") => Ok(()),
            None => Err(format!("iframe line {:?}", String::from_utf8_lossy(line))),
        }
    }

    fn field(&mut self, line: &[u8], events: &mut VecDeque<Event>) -> Result<(), String> {
        let line = std::str::from_utf8(line).map_err(|error| error.to_string())?;
        if line.is_empty() {
            let id = self.id.take();
            if let Some(data) = self.data.take() {
                let mut message = Message::parse(data.as_bytes())?;
                if !self.is_many {
                    check_id(&message, id.as_deref())?;
                }
                message.id = id;
                events.push_back(Event::Message(message));
            }
        } else if let Some(value) = line.strip_prefix("data: ") {
            match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            }
        } else if let Some(value) = line.strip_prefix("id: ") {
            self.id = Some(value.to_owned());
        } else if let Some(value) = line.strip_prefix("retry: ") {
            events.push_back(Event::Retry(
                value.parse().map_err(|_| format!("line {line:?}"))?,
            ));
        } else if !line.starts_with(':') {
            return Err(format!("SSE line {line:?}"));
        }
        Ok(())
    }
}

/// Holds an event's id against its message: `EPOCH-SEQ` with the last seq the client then has.
fn check_id(message: &Message, id: Option<&str>) -> Result<(), String> {
    let told = match id {
        None => None,
        Some(id) => Some(
            id.split_once('-')
                .filter(|(epoch, _)| matches!(epoch.split_once('.'), Some((zone, life)) if zone.len() == 16 && !life.is_empty()))
                .and_then(|(_, seq)| seq.parse::<u64>().ok())
                .ok_or_else(|| format!("id {id:?}"))?,
        ),
    };
    if told == message.last_seq() {
        Ok(())
    } else {
        Err(format!("id {id:?} on {} {}", message.kind, message.seq))
    }
}

/// An open streaming response.
#[derive(Debug)]
pub struct Feed {
    /// Its connection.
    pub connection: Connection,
    /// The worker that serves it.
    pub worker: Option<i32>,
    decoder: Decoder,
    parser: Parser,
    events: VecDeque<Event>,
    begun: bool,
    /// The `retry:` that it began with, as long as nothing else came.
    hint: Option<u64>,
}

impl Feed {
    /// Sends the request on a connection and waits for the response's head.
    pub async fn open(
        mut connection: Connection,
        transport: Transport,
        target: &str,
        headers: &str,
    ) -> Result<Self, HttpError> {
        let headers = match transport {
            Transport::WebSocket => format!("{headers}{UPGRADE}"),
            _ => headers.to_owned(),
        };
        connection.get(target, &headers).await?;
        let head = connection.head().await?;
        check_head(&head, transport)?;
        let decoder = match transport {
            Transport::WebSocket => Decoder::Raw,
            _ => Decoder::new(&head)?,
        };
        Ok(Self {
            connection,
            worker: head.worker(),
            decoder,
            parser: Parser::new(transport, is_many(target)),
            events: VecDeque::new(),
            begun: false,
            hint: None,
        })
    }

    /// The next event. After [`Event::End`] there is none: ask no more.
    ///
    /// The `retry:` that a stream begins with is left out, unless it is all there is: then the server
    /// sends the client away.
    pub async fn next(&mut self) -> Result<Event, HttpError> {
        loop {
            let event = self.any().await?;
            let first = !std::mem::replace(&mut self.begun, true);
            match (event, self.hint.take()) {
                (Event::Retry(ms), _) if first => self.hint = Some(ms),
                (Event::End, Some(ms)) => return Ok(Event::Retry(ms)),
                (event, _) => return Ok(event),
            }
        }
    }

    async fn any(&mut self) -> Result<Event, HttpError> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            if self.decoder.is_done() {
                return match self.parser.text.is_empty() {
                    true => Ok(Event::End),
                    false => Err(HttpError::Malformed("ended inside a line".into())),
                };
            }
            self.decoder
                .decode(&mut self.connection.input, &mut self.parser.text)?;
            self.parser
                .parse(&mut self.events)
                .map_err(HttpError::Malformed)?;
            for _ in 0..std::mem::take(&mut self.parser.pings) {
                self.connection.socket().write_all(PONG).await?;
            }
            if self.events.is_empty() && self.parser.is_closed {
                return Ok(Event::End);
            }
            if self.events.is_empty() && !self.decoder.is_done() {
                self.connection.fill().await?;
            }
        }
    }
}

/// Whether a target names several channels.
fn is_many(target: &str) -> bool {
    let cname = target
        .split(['?', '&'])
        .find(|part| part.starts_with("cname="));
    cname.is_some_and(|cname| cname.contains(','))
}

/// Refuses an answer that is not the transport's.
pub fn check_head(head: &Head, transport: Transport) -> Result<(), HttpError> {
    let kind = head.header("content-type").unwrap_or("");
    let status = match transport {
        Transport::WebSocket => 101,
        _ => 200,
    };
    if head.status == status && kind == transport.content_type() {
        Ok(())
    } else if head.status == 507 {
        Err(HttpError::Refused(head.status))
    } else {
        Err(HttpError::Malformed(format!(
            "status {} with {kind:?}",
            head.status
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(transport: Transport, text: &[u8]) -> Result<Vec<(String, u64)>, String> {
        let mut parser = Parser::new(transport, false);
        let mut events = VecDeque::new();
        for byte in text {
            parser.text.push(*byte);
            parser.parse(&mut events)?;
        }
        Ok(events
            .into_iter()
            .map(|event| match event {
                Event::Message(message) => (message.kind, message.seq),
                Event::Retry(ms) => ("retry".into(), ms),
                Event::End => ("end".into(), 0),
            })
            .collect())
    }

    #[test]
    fn sse_events_carry_their_ids() {
        let text = b"id: 0123456789abcdef.1z-1\n\
            data: {\"type\":\"data\",\"cname\":\"a\",\"seq\":1,\"content\":\"x\"}\n\n\
            data: {\"type\":\"noop\",\"cname\":\"a\",\"seq\":7,\"content\":\"\"}\n\nretry: 900\n";
        let want = [
            ("data".to_owned(), 1),
            ("noop".to_owned(), 7),
            ("retry".to_owned(), 900),
        ];
        assert_eq!(messages(Transport::Sse, text).unwrap(), want);
    }

    #[test]
    fn a_wrong_id_is_found() {
        let text = b"id: 0123456789abcdef.1z-2\n\
            data: {\"type\":\"data\",\"cname\":\"a\",\"seq\":1,\"content\":\"x\"}\n\n";
        assert!(messages(Transport::Sse, text).is_err());
    }

    #[test]
    fn an_iframe_has_a_head_and_then_scripts_only() {
        let text = b"<html>\n<body>\n<script>parent.icomet_cb({\"type\":\"data\",\"cname\":\"a\",\
            \"seq\":1,\"content\":\"\"});</script>\n";
        assert_eq!(
            messages(Transport::Iframe, text).unwrap(),
            [("data".to_owned(), 1)]
        );
        let mut more = text.to_vec();
        more.extend_from_slice(b"stray\n");
        assert!(messages(Transport::Iframe, &more).is_err());
    }
}
