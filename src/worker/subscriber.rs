//! A subscriber: a cursor into its channel, and the connection it is held on.

use icomet_protocol::frame::Transport;

use super::slab::NONE;
use super::wheel::Place;
use crate::sink::Sink;

/// A subscriber of one channel, on this worker. There is no queue: what it has not been sent is in
/// the channel's ring, from `cursor` on.
pub struct Subscriber {
    /// Where its messages go.
    pub sink: Sink,
    /// Index of its hub on this worker.
    pub hub: usize,
    /// Index of its channel in that hub's table.
    pub channel: u32,
    /// How its messages are framed.
    pub transport: Transport,
    /// It is being sent something, or has to catch up: fan-out passes it by.
    pub busy: bool,
    /// The next seq it is sent.
    pub cursor: u64,
    /// Its noop counter.
    pub noop: u64,
    /// JSONP callback of a long poll.
    pub callback: Option<Box<str>>,
    /// When it gets a noop, in milliseconds.
    pub deadline: u64,
    /// Idle time before a noop, in milliseconds.
    pub idle: u64,
    /// Its place in the wheel.
    pub wheel: Place,
    /// The subscriber before it in its channel.
    pub previous: u32,
    /// The subscriber after it in its channel.
    pub next: u32,
}

impl Subscriber {
    /// It was sent something: its idle time starts anew.
    pub fn touch(&mut self, now: u64) {
        self.deadline = now + self.idle;
    }

    /// Not linked into a channel.
    pub const UNLINKED: (u32, u32) = (NONE, NONE);
}
