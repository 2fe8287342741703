//! Parked subscribers: an HTTP/1 request is given back to nginx while its client waits, and the
//! connection stays. A million of them cost their connection and some 170 bytes each.
//!
//! Life of a parked subscriber: its request is held ([`crate::endpoint::front`]); after nginx is done
//! with the handler it is parked, if nothing speaks against it ([`connection::can_park`]); messages go to the
//! socket directly; to end, a request is made anew ([`super::leaving`]).

use crate::context::Owner;
use crate::ffi::connection::{self, Connection, Taken};
use crate::ffi::guard::guarded;
use crate::ffi::log;
use crate::ffi::output::{Frame, Sent};
use crate::ffi::request::{Request, code};
use crate::sink::Sink;

use super::{Worker, delivery, with};
use icomet_protocol::frame::Transport;

/// nginx's NGX_HTTP_CLIENT_CLOSED_REQUEST and NGX_HTTP_REQUEST_TIME_OUT (ngx_http_request.h).
pub const CLIENT_CLOSED: isize = 499;
const TIMED_OUT: isize = 408;

/// As many requests wait to be parked at most. Each has its pool and its header buffer until then, and
/// the heap keeps room for the most that ever waited at once.
const MOST_WAITING: usize = 16;

/// What of a frame a parked subscriber has not taken yet. All who are slow on one frame share it.
pub struct Rest {
    frame: Frame,
    from: usize,
}

impl Rest {
    /// What of a frame is left from that byte on.
    pub fn new(frame: Frame, from: usize) -> Rest {
        Rest { frame, from }
    }

    /// The frame, and the first byte that is left.
    pub fn parts(self) -> (Frame, usize) {
        (self.frame, self.from)
    }
}

/// nginx calls it after the handlers of the requests that are to be parked have returned.
pub unsafe extern "C" fn icomet_on_park(_event: *mut nginx_sys::ngx_event_t) {
    guarded("parking", (), park_waiting);
}

/// Called by a handler before its own request is among those that wait: the others are of other
/// connections, whose handlers have returned.
pub fn make_room() {
    if with(|worker| worker.to_park.len() >= MOST_WAITING) == Some(true) {
        park_waiting();
    }
}

fn park_waiting() {
    while let Some(index) = with(|worker| worker.to_park.pop()).flatten() {
        park(index);
    }
}

fn park(index: u32) -> Option<()> {
    let request = with(|worker| worker.wants_parking(index)).flatten()?;
    let main = request.main_conf()?;
    if !request.location()?.parks() || !connection::can_park(&request) {
        return None;
    }
    let kept = connection::describe(&request)?;
    let variables = main.kept_variables(&request).iter();
    let variables: Vec<_> = variables
        .filter_map(|variable| {
            let value = request.variable(variable.index, variable.evaluate)?;
            Some((variable.index, value))
        })
        .collect();
    let record = with(|worker| worker.records.write(&kept, variables.into_iter())).flatten()?;
    let chunked = kept.chunked;
    request.context()?.owner.set(Owner::None);
    let connection = connection::park(request, index)?;
    with(|worker| {
        let subscriber = worker.subscribers.get_mut(index)?;
        let record = worker.records.insert(connection, record);
        subscriber.sink = Sink::Parked(connection, record);
        subscriber.chunked = chunked;
        Some(())
    })?
}

/// Sends a piece of a parked subscriber's answer; what it does not take waits for it.
pub fn send(connection: Connection, frame: &Frame, from: usize) -> Sent {
    let bytes = frame.get(from..).unwrap_or_default();
    match connection.send(bytes) {
        Taken::Bytes(n) if n == bytes.len() => Sent::Whole,
        Taken::Bytes(n) => {
            let index = connection.subscriber();
            let rest = Rest {
                frame: Frame::clone(frame),
                from: from + n,
            };
            let origin = with(|worker| worker.keep_rest(index, rest)).flatten();
            if origin.is_some_and(|origin| connection.wait(origin).is_ok()) {
                return Sent::Pending;
            }
            end(index, code::ERROR);
            Sent::Broken
        }
        Taken::Broken => {
            end(connection.subscriber(), code::ERROR);
            Sent::Broken
        }
    }
}

/// A parked subscriber can take more.
pub fn writable(index: u32) {
    let Some((connection, rest)) = with(|worker| worker.take_rest(index)).flatten() else {
        return;
    };
    if send(connection, &rest.frame, rest.from) == Sent::Whole {
        connection.stop_waiting();
        delivery::drained(index);
    }
}

/// A parked subscriber has taken nothing for send_timeout.
pub fn timed_out(index: u32) {
    log::info("client took nothing for send_timeout, subscription ended");
    end(index, TIMED_OUT);
}

/// A parked subscriber's client is gone.
pub fn gone(index: u32) {
    end(index, CLIENT_CLOSED);
}

/// The client of a parked stream has sent something, where nothing is to be said.
pub fn junk(index: u32) {
    log_junk();
    end(index, code::ERROR);
}

/// Says so in the log.
pub fn log_junk() {
    log::info("client sent data on an endless answer, subscription ended");
}

/// Whether a subscriber is a long poll, after which its client may ask again on the connection.
pub fn is_long_poll(index: u32) -> bool {
    let poll = with(|worker| {
        let subscriber = worker.subscribers.get(index)?;
        Some(subscriber.transport == Transport::LongPoll)
    });
    poll.flatten().unwrap_or(false)
}

fn end(index: u32, rc: isize) {
    if let Some(leaving) = with(|worker| worker.remove_subscriber(index)).flatten() {
        leaving.end(rc);
    }
}

impl Worker {
    /// Parks a subscriber when its handler has returned to nginx.
    pub fn park_later(&mut self, index: u32) {
        if let Some(subscriber) = self.subscribers.get_mut(index)
            && matches!(subscriber.sink, Sink::Held(_))
            && !subscriber.parking
        {
            subscriber.parking = true;
            self.to_park.push(index);
            self.park.post_now();
        }
    }

    /// The request to park, if the subscriber of that index still wants it.
    fn wants_parking(&mut self, index: u32) -> Option<Request> {
        let subscriber = self.subscribers.get_mut(index)?;
        match subscriber.sink {
            Sink::Held(held) if core::mem::take(&mut subscriber.parking) => Some(held.0),
            _ => None,
        }
    }

    /// Keeps what a subscriber has not taken; where it was served.
    fn keep_rest(&mut self, index: u32, rest: Rest) -> Option<connection::Origin> {
        let Sink::Parked(connection, record) = self.subscribers.get(index)?.sink else {
            return None;
        };
        self.set_busy(index, true);
        self.rests.insert(index, rest);
        self.records.origin_of(connection, record)
    }

    fn take_rest(&mut self, index: u32) -> Option<(Connection, Rest)> {
        let rest = self.rests.remove(&index)?;
        match self.subscribers.get(index)?.sink {
            Sink::Parked(connection, _) => Some((connection, rest)),
            Sink::Held(_) | Sink::Of(_) => None,
        }
    }
}
