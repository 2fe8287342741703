//! Where a subscriber's bytes go.

use icomet_protocol::frame::Transport;

use crate::answer::Answer;
use crate::context::Owner;
use crate::ffi::output::{Frame, Sent};
use crate::ffi::request::{Request, code};

/// A held request, whose output goes through nginx's filters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Sink(Request);

impl Sink {
    /// A sink over a request that [`Request::hold`] was called on.
    pub fn new(request: Request) -> Sink {
        Sink(request)
    }

    /// Whether an earlier piece is still under way: nothing may be sent until it is drained.
    pub fn is_busy(&self) -> bool {
        self.0
            .context()
            .is_some_and(|context| context.output.is_busy())
    }

    /// Sends a piece of an endless answer. When the connection is broken the request is ended here,
    /// which takes the subscriber out of the worker's tables.
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

    /// Sends the last piece of an endless answer and gives the request back to nginx. The
    /// subscriber must be out of the worker's tables already.
    pub fn finish(self, frame: Frame) {
        let Some(context) = self.0.context() else {
            return;
        };
        context.owner.set(Owner::None);
        self.0.finalize(context.output.send_last(self.0, frame));
    }

    /// Sends the whole answer of a long poll and gives the request back to nginx. The subscriber
    /// must be out of the worker's tables already.
    pub fn answer(self, answer: Answer) {
        let Some(context) = self.0.context() else {
            return;
        };
        context.owner.set(Owner::None);
        self.0.finalize(answer.send(self.0, context));
    }

    /// Notes the next seq, for the log.
    pub fn note_seq(&self, seq: u64) {
        if let Some(context) = self.0.context() {
            context.seq.set(Some(seq));
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
