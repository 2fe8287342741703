//! A subscriber that is out of the worker's tables, on its way to its end: the request that it is held
//! by, or one made anew on its parked connection, gets the last bytes and the line in the log.

use std::rc::Rc;

use icomet_engine::ChannelRef;
use icomet_protocol::frame::{LAST_CHUNK, chunk};
use nginx_sys::ngx_int_t;

use super::record::Record;
use crate::answer::Answer;
use crate::config::hub::Hub;
use crate::context::{Context, Owner};
use crate::endpoint;
use crate::ffi::output::Frame;
use crate::ffi::request::{Request, code};
use crate::sink::Sink;

/// A subscriber that has left the tables. It must be brought to its end: its connection has no other
/// owner.
#[must_use = "the connection would hang"]
pub struct Leaving {
    /// Where its last bytes go.
    pub sink: Sink,
    /// The next seq that it had not been sent; none for who listens to channels coming and going.
    pub seq: Option<u64>,
    /// Whose it was, if that is known.
    pub user: Option<Box<str>>,
    /// What a request made anew is given.
    pub parked: Option<Box<Parked>>,
}

/// The channels of a subscriber that has left the tables, where it still counts in the zone.
pub enum Left {
    /// Its only one.
    One(ChannelRef),
    /// One for each of its subscriptions.
    Many(Vec<ChannelRef>),
}

impl Left {
    /// All of them.
    pub fn channels(&self) -> &[ChannelRef] {
        match self {
            Left::One(reference) => core::slice::from_ref(reference),
            Left::Many(references) => references,
        }
    }
}

/// What is known of a subscriber whose request was given back.
pub struct Parked {
    /// Its hub.
    pub hub: Rc<Hub>,
    /// Its channel's name; of several those, with commas between.
    pub channel: Rc<str>,
    /// What was kept of its request.
    pub record: Record,
}

impl Leaving {
    /// Its channel's name, if it is parked.
    pub fn channel(&self) -> &str {
        self.parked.as_ref().map_or("", |parked| &parked.channel)
    }

    /// Answers its long poll.
    pub fn answer(self, answer: &Answer) {
        self.finalize(|request, context| answer.send(request, context));
    }

    /// Ends its endless answer with these bytes.
    pub fn finish(self, frame: Frame) {
        if self.is_chunked() {
            self.finish_behind(&[], &frame);
        } else {
            self.finalize(|request, context| context.output.send_last(request, frame));
        }
    }

    /// Ends its endless answer with what it has not taken of an earlier frame, and these bytes.
    pub fn finish_behind(self, rest: &[u8], frame: &[u8]) {
        let mut last = rest.to_vec();
        if self.is_chunked() {
            chunk(frame, &mut last);
            last.extend_from_slice(LAST_CHUNK);
        } else {
            last.extend_from_slice(frame);
        }
        self.finalize(|request, context| context.output.send_last(request, Frame::new(last)));
    }

    fn is_chunked(&self) -> bool {
        let parked = self.parked.as_ref();
        parked.is_some_and(|parked| parked.record.is_chunked())
    }

    /// Ends its connection, for the reason that is an HTTP status or a code of nginx.
    pub fn end(self, rc: ngx_int_t) {
        self.finalize(|_, _| rc);
    }

    fn finalize(self, last: impl FnOnce(Request, &Context) -> ngx_int_t) {
        let seq = self.seq;
        let Some(request) = self.request() else {
            return;
        };
        let rc = match request.context() {
            Some(context) => {
                context.owner.set(Owner::None);
                if seq.is_some() {
                    context.seq.set(seq);
                }
                request.unbound_silence();
                last(request, context)
            }
            None => code::ERROR,
        };
        request.finalize(rc);
    }

    fn request(self) -> Option<Request> {
        let user = self.user;
        match (self.sink, self.parked) {
            (Sink::Parked(connection, _), Some(parked)) => {
                let request = parked.record.unpark(connection)?;
                // Without memory for it the request has no context, and is ended.
                if let Ok(context) = request.attach(Context::new(parked.hub)) {
                    context.set_channel(&request, &parked.channel);
                    if let Some(user) = user {
                        context.set_user(&request, &user);
                    }
                    context.endpoint.set(endpoint::asked(&request));
                }
                Some(request)
            }
            (Sink::Held(held), _) => Some(held.0),
            (Sink::Parked(..), None) | (Sink::Of(_), _) => None,
        }
    }
}
