//! One open streaming response (stream, SSE, iframe), read event by event.

use std::collections::VecDeque;

use crate::body::Decoder;
use crate::http::{Connection, Head, HttpError, find};
use crate::message::Message;

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
}

impl Transport {
    /// All of them, to deal out in turn.
    pub const ALL: [Transport; 5] = [
        Transport::LongPoll,
        Transport::Jsonp,
        Transport::Stream,
        Transport::Sse,
        Transport::Iframe,
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
}

impl Parser {
    /// A parser for the body of this transport.
    pub fn new(transport: Transport) -> Self {
        Self {
            transport,
            text: Vec::new(),
            id: None,
            data: None,
            started: false,
        }
    }

    /// Takes all whole lines out of the text.
    pub fn parse(&mut self, events: &mut VecDeque<Event>) -> Result<(), String> {
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

    fn line(&mut self, line: &[u8], events: &mut VecDeque<Event>) -> Result<(), String> {
        match self.transport {
            Transport::LongPoll | Transport::Jsonp | Transport::Stream => {
                events.push_back(Event::Message(Message::parse(line)?));
                Ok(())
            }
            Transport::Iframe => self.script(line, events),
            Transport::Sse => self.field(line, events),
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
                check_id(&message, id.as_deref())?;
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
                .filter(|(epoch, _)| epoch.len() == 16)
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
        connection.get(target, headers).await?;
        let head = connection.head().await?;
        check_head(&head, transport)?;
        let decoder = Decoder::new(&head)?;
        Ok(Self {
            connection,
            worker: head.worker(),
            decoder,
            parser: Parser::new(transport),
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
            if self.events.is_empty() && !self.decoder.is_done() {
                self.connection.fill().await?;
            }
        }
    }
}

/// Refuses an answer that is not the transport's.
pub fn check_head(head: &Head, transport: Transport) -> Result<(), HttpError> {
    let kind = head.header("content-type").unwrap_or("");
    if head.status == 200 && kind == transport.content_type() {
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
        let mut parser = Parser::new(transport);
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
        let text = b"id: 0123456789abcdef-1\n\
            data: {\"type\":\"data\",\"cname\":\"a\",\"seq\":1,\"content\":\"x\"}\n\n\
            data: {\"type\":\"noop\",\"cname\":\"a\",\"seq\":7,\"content\":\"\"}\n\nretry: 900\n\n";
        let want = [
            ("data".to_owned(), 1),
            ("noop".to_owned(), 7),
            ("retry".to_owned(), 900),
        ];
        assert_eq!(messages(Transport::Sse, text).unwrap(), want);
    }

    #[test]
    fn a_wrong_id_is_found() {
        let text = b"id: 0123456789abcdef-2\n\
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
