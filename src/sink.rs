//! Where a subscriber's bytes go.

use icomet_protocol::frame::Transport;

use crate::ffi::connection::{Connection, Received};
use crate::ffi::output::{Frame, Sent};
use crate::ffi::request::{Request, code};
use crate::worker::parking;

/// A held request, whose output goes through nginx's filters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Held(pub Request);

/// A subscriber's connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Sink {
    /// With its request.
    Held(Held),
    /// Without; what is kept of the request has that handle.
    Parked(Connection, u32),
    /// It is a subscription of the subscriber of that index, who has the connection; nothing is sent to it
    /// itself.
    Of(u32),
}

impl Held {
    /// Whether an earlier piece is still under way: nothing may be sent until it is drained.
    pub fn is_busy(&self) -> bool {
        self.0
            .context()
            .is_some_and(|context| context.output.is_busy())
    }

    /// Sends a piece of an endless answer. When the connection is broken the request is ended here,
    /// which takes what it belongs to out of the worker's tables.
    pub fn send(&self, frame: &Frame, from: usize) -> Sent {
        let Some(context) = self.0.context() else {
            return Sent::Broken;
        };
        let sent = context.output.send(self.0, Frame::clone(frame), from);
        if sent == Sent::Broken {
            self.0.finalize(code::ERROR);
        }
        sent
    }
}

impl Sink {
    /// It will be sent something soon: its memory is asked for.
    pub fn ask(&self) {
        match self {
            Sink::Held(held) => held.0.ask(),
            Sink::Parked(connection, _) => connection.ask(),
            Sink::Of(_) => {}
        }
    }

    /// It will be sent something very soon: what its memory leads to is asked for.
    pub fn ask_further(&self) {
        match self {
            Sink::Held(held) => held.0.ask_further(),
            Sink::Parked(connection, _) => connection.ask_further(),
            Sink::Of(_) => {}
        }
    }

    /// Takes what the client of an upgraded connection has sent.
    pub fn receive(&self, buffer: &mut [u8]) -> Received {
        match self {
            Sink::Held(held) => held.0.receive(buffer),
            Sink::Parked(connection, _) => connection.receive(buffer),
            Sink::Of(_) => Received::Nothing,
        }
    }

    /// Has it looked in the next turn of the loop whether its client has sent something.
    pub fn read_soon(&self) {
        match self {
            Sink::Held(held) => held.0.read_soon(),
            Sink::Parked(connection, _) => connection.read_soon(),
            Sink::Of(_) => {}
        }
    }

    /// Sends a piece of an endless answer, in chunks where the answer is. When the connection is broken
    /// the subscription is ended here, which takes it out of the worker's tables.
    pub fn send(&self, frame: &Frame, from: usize) -> Sent {
        match self {
            Sink::Held(held) => held.send(frame, from),
            Sink::Parked(connection, _) => parking::send(*connection, frame, from),
            Sink::Of(_) => Sent::Broken,
        }
    }
}

/// Media type of a transport's answer; nginx is told the charset by itself.
pub fn media_type(transport: Transport, jsonp: bool) -> &'static str {
    let content_type = transport.content_type(jsonp);
    content_type
        .strip_suffix("; charset=utf-8")
        .unwrap_or(content_type)
}
