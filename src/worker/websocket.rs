//! What the client of a WebSocket sends, and how it is answered.
//!
//! A connection keeps nothing between messages. While something of its client is incomplete, an
//! [`Input`] stands in the worker's table, and the subscriber does not move to another worker.
//! As long as it has not taken all that it was sent, nothing is read from it: so answers cannot pile up.
//! When it is read from, and how much of it, [`super::input`] says.

use icomet_protocol::frame::{Socket, Transport, socket_text};
use icomet_websocket::rate::Bucket;
use icomet_websocket::{CloseCode, Event, FrameError, Limits, Parser, frame};

use super::delivery::Step;
use super::frames::OWN;
use super::input::Budget;
use super::{Worker, generation, parking, shutdown, with};
use crate::context::Owner;
use crate::endpoint::command;
use crate::ffi::connection::Received;
use crate::ffi::event;
use crate::ffi::log;
use crate::ffi::output::{Frame, Sent};
use crate::ffi::request::code;
use crate::sink::Sink;

/// Bytes that are read at a time.
const PIECE: usize = 16 << 10;

/// Bytes of messages, inflated, after which others have a turn: some bytes can inflate to a thousand times as
/// many.
const WORK: usize = 256 << 10;

/// Input that is not complete, or was not looked at yet.
#[derive(Default)]
pub struct Input {
    /// What came together with the request, or was too much for one step.
    early: Vec<u8>,
    parser: Parser,
    /// When it began, for [`super::input::Inputs`]; 0: not kept yet.
    pub age: u64,
    /// The bytes that were counted of it there.
    pub counted: usize,
}

/// What is answered to some bytes of a client.
#[derive(Default)]
struct Reply {
    frames: Vec<u8>,
    /// They are the last.
    ends: bool,
}

/// What is known of a subscriber whose client is read from.
struct Reader {
    sink: Sink,
    socket: Socket,
    max_message: usize,
}

/// Whether a subscriber is a WebSocket.
pub fn is_one(index: u32) -> bool {
    let socket = with(|worker| worker.subscribers.get(index)?.socket());
    socket.flatten().is_some()
}

/// The WebSocket that a held request belongs to.
pub fn of_owner(owner: Owner) -> Option<u32> {
    match owner {
        Owner::Subscriber(index) if is_one(index) => Some(index),
        _ => None,
    }
}

/// What came together with the request is looked at in the next turn.
pub fn begin_with(index: u32, early: Vec<u8>) {
    if !early.is_empty() {
        with(|worker| {
            worker.subscribers.get_mut(index)?.has_more = true;
            let input = Input {
                early,
                ..Input::default()
            };
            worker.inputs.put(index, Box::new(input));
            Some(())
        });
        read_on(index);
    }
}

/// A WebSocket has taken what it was sent, and is read from again.
pub fn read_on(index: u32) {
    let sink = with(|worker| {
        let subscriber = worker.subscribers.get(index)?;
        subscriber.socket().map(|_| subscriber.sink)
    });
    if let Some(sink) = sink.flatten() {
        sink.read_soon();
    }
}

/// Reads what a client has sent, once, and answers; whether more may be read.
pub fn read(index: u32, budget: &mut Budget) -> bool {
    let Some((sink, reader, early)) = with(|worker| worker.reader(index)).flatten() else {
        return false;
    };
    if !early.is_empty() {
        return take(index, reader, &early, budget);
    }
    let mut buffer = [0; PIECE];
    let space = match reader {
        Some(_) => &mut buffer[..],
        None => &mut [],
    };
    match sink.receive(space) {
        Received::Bytes(n) => {
            let bytes = buffer.get(..n).unwrap_or_default();
            take(index, reader, bytes, budget)
        }
        Received::Nothing => false,
        Received::Gone => {
            parking::gone(index);
            false
        }
        Received::Exiting => {
            shutdown::begin();
            false
        }
    }
}

/// Reads bytes of a client, and answers; whether more may be read now.
fn take(index: u32, reader: Option<Reader>, bytes: &[u8], budget: &mut Budget) -> bool {
    let Some(reader) = reader else { return false };
    let input = with(|worker| worker.inputs.take(index));
    let mut input = input.flatten().unwrap_or_default();
    let reply = input.answer(index, &reader, bytes, budget);
    with(|worker| worker.heard(index, input, budget.bucket()));
    let frames = Frame::new(reply.frames);
    if reply.ends {
        if let Some(leaving) = with(|worker| worker.remove_subscriber(index)).flatten() {
            leaving.finish(frames);
        }
        return false;
    }
    let goes_on = frames.is_empty()
        || match reader.sink.send(&frames, 0) {
            Sent::Whole => true,
            Sent::Pending => {
                with(|worker| worker.set_busy(index, true));
                false
            }
            Sent::Broken => false,
        };
    keep_within_bounds(reader.max_message);
    goes_on
}

/// Ends who began first, as long as incomplete messages take too much memory.
fn keep_within_bounds(longest: usize) {
    while let Some((leaving, is_sending)) =
        with(|worker| worker.end_oldest_input(longest)).flatten()
    {
        if is_sending {
            // Nothing can follow half of a frame.
            leaving.end(code::ERROR);
            continue;
        }
        let mut last = Vec::new();
        let why = "too many messages are incomplete here";
        frame::close(CloseCode::TryAgainLater, why, &mut last);
        leaving.finish(Frame::new(last));
    }
}

impl Input {
    /// Bytes of memory that it takes.
    pub fn held(&self) -> usize {
        size_of::<Input>() + self.early.capacity() + self.parser.held()
    }

    /// Whether something has come that was not looked at yet.
    pub fn is_early(&self) -> bool {
        !self.early.is_empty()
    }

    fn answer(
        &mut self,
        index: u32,
        reader: &Reader,
        mut bytes: &[u8],
        budget: &mut Budget,
    ) -> Reply {
        let mut reply = Reply::default();
        let mut work = 0;
        let limits = Limits {
            max_message: reader.max_message,
            deflate: reader.socket.deflates(),
        };
        while !reply.ends {
            // In the midst of a message it is read to its end, for which it is charged then.
            if budget.is_spent() && self.parser.is_empty() {
                self.early = bytes.to_vec();
                break;
            }
            match self.parser.next(&mut bytes, &limits) {
                Ok(Some(event)) => {
                    work += match &event {
                        Event::Text(text) => text.len(),
                        Event::Binary(bytes) => bytes.len(),
                        _ => 0,
                    };
                    // What follows has just begun.
                    self.age = 0;
                    let before = reply.frames.len();
                    reply.to(event, index, reader.socket);
                    let answered = reply.frames.len() - before;
                    budget.charge(self.parser.take_inflated() + answered);
                    if work > WORK || reply.frames.len() > OWN || budget.is_over() {
                        self.early = bytes.to_vec();
                        break;
                    }
                }
                Ok(None) => break,
                Err(error) => reply.refuse(error),
            }
        }
        reply
    }
}

impl Reply {
    fn to(&mut self, event: Event, index: u32, socket: Socket) {
        let out = &mut self.frames;
        match event {
            Event::Ping(payload) => frame::pong(&payload, out),
            Event::Pong => {}
            Event::Close(code) => {
                frame::close_answer(code, out);
                self.ends = true;
            }
            Event::Text(text) if socket.echoes() => socket_text(socket, text.as_bytes(), out),
            Event::Binary(bytes) if socket.echoes() => frame::binary(&bytes, out),
            Event::Text(text) => command::answer(index, socket, &text, out),
            Event::Binary(_) => {
                frame::close(CloseCode::Unsupported, "commands are text", out);
                self.ends = true;
            }
        }
    }

    fn refuse(&mut self, error: FrameError) {
        log::info(&format!("client broke the WebSocket protocol: {error}"));
        frame::close(error.close_code(), &error.to_string(), &mut self.frames);
        self.ends = true;
    }
}

/// The last frame to one whose worker exits.
pub fn farewell(to: &mut Vec<u8>) {
    if generation::is_superseded() {
        frame::close(CloseCode::Restart, "reload: come again", to);
    } else {
        frame::close(CloseCode::GoingAway, "server stops", to);
    }
}

impl Worker {
    /// The sink of a WebSocket, and what it is read with unless it has to wait; with it what came early.
    fn reader(&mut self, index: u32) -> Option<(Sink, Option<Reader>, Vec<u8>)> {
        let subscriber = self.subscribers.get(index)?;
        let (sink, socket) = (subscriber.sink, subscriber.socket()?);
        // One that is to move is read from by its next worker; others are ended soon.
        if self.drain.is_some() || self.is_sending(index, subscriber) {
            return Some((sink, None, Vec::new()));
        }
        let hub = self.hubs.get(usize::from(subscriber.hub))?;
        let reader = Reader {
            sink,
            socket,
            max_message: hub.hub.ws_max_message_size,
        };
        let input = self.inputs.get_mut(index).filter(|_| subscriber.has_more);
        let early = input.map(|input| core::mem::take(&mut input.early));
        Some((sink, Some(reader), early.unwrap_or_default()))
    }

    /// A client has sent something: it lives; what is incomplete is kept.
    fn heard(&mut self, index: u32, input: Box<Input>, bucket: Bucket) {
        let Some(subscriber) = self.subscribers.get_mut(index) else {
            return;
        };
        subscriber.set_heard(bucket);
        subscriber.touch(index, event::now());
        subscriber.has_more = !input.parser.is_empty() || !input.early.is_empty();
        if subscriber.has_more {
            self.inputs.put(index, input);
        }
    }

    /// Nothing was heard of a WebSocket for polling_timeout: it is sent a ping. One that has not answered
    /// the last is ended, unless it has something to take yet, for which it has send_timeout, or is not read
    /// from because it was too fast.
    pub fn ping(&mut self, index: u32) -> Step {
        let Some(subscriber) = self.subscribers.get_mut(index) else {
            return Step::Nothing;
        };
        // Of one that is not read from no answer can be seen.
        let waits = subscriber.busy || self.listening.is_paused(index);
        let sink = subscriber.sink;
        let mut bytes = Vec::new();
        if !waits && subscriber.is_asked() {
            log::info("client has not answered a ping, subscription ended");
            frame::close(CloseCode::Unexpected, "no answer to a ping", &mut bytes);
            return match self.remove_subscriber(index) {
                Some(leaving) => Step::Finish(leaving, Frame::new(bytes)),
                None => Step::Nothing,
            };
        }
        subscriber.touch(index, event::now());
        if !waits {
            subscriber.set_asked();
        }
        self.wheel.insert(&mut self.subscribers, index);
        if waits {
            return Step::Nothing;
        }
        frame::ping(b"", &mut bytes);
        Step::Send(sink, Frame::new(bytes), 0)
    }
}

/// How a WebSocket is served that has agreed on compression, or not.
pub fn transport(echoes: bool, deflates: bool) -> Transport {
    let socket = if echoes { Socket::Echo } else { Socket::Plain };
    Transport::WebSocket(socket.deflating(deflates))
}
