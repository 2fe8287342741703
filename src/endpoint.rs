//! The endpoints: what a location with `icomet_sub` or `icomet_pub` serves.

pub mod admin;
pub mod api;
pub mod body;
pub mod channels;
pub mod command;
pub mod detail;
pub mod front;
pub mod input;
pub mod log_publish;
pub mod look;
pub mod origin;
pub mod publish;
pub mod upgrade;
pub mod wanted;

use std::rc::Rc;

use icomet_protocol::frame::{Socket, Transport};
use icomet_protocol::params::Params;
use nginx_sys::{ngx_http_request_t, ngx_int_t};

use self::api::Operation;
use crate::answer::Answer;
use crate::config::location::LocationConf;
use crate::context::Context;
use crate::ffi::guard::guarded;
use crate::ffi::log;
use crate::ffi::request::{Method, Request, code};

/// Who a location serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Subscribers: open to the world (`icomet_sub`).
    Front,
    /// Publishers and administrators (`icomet_pub`).
    Admin,
}

impl Side {
    /// The directive that opens it.
    pub fn directive(self) -> &'static str {
        match self {
            Side::Front => "icomet_sub",
            Side::Admin => "icomet_pub",
        }
    }

    /// An answer with what all answers of this side carry.
    fn said(self, answer: Answer) -> Answer {
        match self {
            Side::Front => answer.uncached(),
            Side::Admin => answer,
        }
    }

    /// Its endpoints, as far as they are wanted.
    pub fn endpoints(self, wanted: impl Fn(Endpoint) -> bool) -> Vec<&'static str> {
        ENDPOINTS
            .iter()
            .filter(|(_, e)| e.side() == self && wanted(*e))
            .map(|(name, _)| *name)
            .collect()
    }
}

/// One endpoint; its name is the last segment of the path, below `api/` the last two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Long polling.
    Sub,
    /// Long polling, by its other name.
    Poll,
    /// Endless chunked JSON lines.
    Stream,
    /// Server-sent events.
    Sse,
    /// Forever iframe.
    Iframe,
    /// WebSocket.
    Ws,
    /// A WebSocket on which what the client sends comes back, to test the protocol.
    WsEcho,
    /// Tells the polling timeout.
    Ping,
    /// Tells a subscriber who else is subscribed.
    Presence,
    /// Tells a subscriber what its channel has buffered.
    History,
    /// Publishes content that is JSON-escaped already.
    Pub,
    /// Publishes raw content.
    Push,
    /// Publishes to every channel.
    Broadcast,
    /// Makes a channel and its token.
    Sign,
    /// Closes a channel.
    Close,
    /// Drops a channel's buffered messages.
    Clear,
    /// Tells numbers of channels and subscribers.
    Info,
    /// Tells whether a channel lives.
    Check,
    /// Endless lines of channels coming and going.
    Psub,
    /// An operation of the JSON API; none: the path names it, or names none.
    Api(Option<Operation>),
}

const ENDPOINTS: [(&str, Endpoint); 27] = [
    ("sub", Endpoint::Sub),
    ("poll", Endpoint::Poll),
    ("stream", Endpoint::Stream),
    ("sse", Endpoint::Sse),
    ("iframe", Endpoint::Iframe),
    ("ws", Endpoint::Ws),
    ("ws_echo", Endpoint::WsEcho),
    ("ping", Endpoint::Ping),
    ("presence", Endpoint::Presence),
    ("history", Endpoint::History),
    ("pub", Endpoint::Pub),
    ("push", Endpoint::Push),
    ("broadcast", Endpoint::Broadcast),
    ("sign", Endpoint::Sign),
    ("close", Endpoint::Close),
    ("clear", Endpoint::Clear),
    ("info", Endpoint::Info),
    ("check", Endpoint::Check),
    ("psub", Endpoint::Psub),
    ("api", Endpoint::Api(None)),
    ("api/publish", Endpoint::Api(Some(Operation::Publish))),
    ("api/batch", Endpoint::Api(Some(Operation::Batch))),
    ("api/history", Endpoint::Api(Some(Operation::History))),
    ("api/presence", Endpoint::Api(Some(Operation::Presence))),
    ("api/channels", Endpoint::Api(Some(Operation::Channels))),
    ("api/info", Endpoint::Api(Some(Operation::Info))),
    ("api/disconnect", Endpoint::Api(Some(Operation::Disconnect))),
];

impl Endpoint {
    /// The endpoint of that name.
    pub fn from_name(name: &[u8]) -> Option<Endpoint> {
        ENDPOINTS
            .iter()
            .find(|(known, _)| known.as_bytes() == name)
            .map(|(_, e)| *e)
    }

    /// How it sends messages, if it does.
    pub fn transport(self) -> Option<Transport> {
        match self {
            Endpoint::Sub | Endpoint::Poll => Some(Transport::LongPoll),
            Endpoint::Stream => Some(Transport::Stream),
            Endpoint::Sse => Some(Transport::Sse),
            Endpoint::Iframe => Some(Transport::Iframe),
            Endpoint::Ws => Some(Transport::WebSocket(Socket::Plain)),
            Endpoint::WsEcho => Some(Transport::WebSocket(Socket::Echo)),
            _ => None,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        ENDPOINTS
            .iter()
            .find(|(_, e)| *e == self)
            .map_or("", |(name, _)| name)
    }

    /// Whether a path can name it anywhere; the others must be named, or opened, by a location's directive.
    pub fn is_open(self) -> bool {
        !matches!(
            self,
            Endpoint::WsEcho | Endpoint::Presence | Endpoint::History
        )
    }

    /// Whether it publishes to named channels, and so is done at once: a subrequest may ask for it.
    pub fn publishes(self) -> bool {
        matches!(
            self,
            Endpoint::Pub
                | Endpoint::Push
                | Endpoint::Api(Some(Operation::Publish | Operation::Batch))
        )
    }

    /// Whose it is.
    pub fn side(self) -> Side {
        match self {
            Endpoint::Sub
            | Endpoint::Poll
            | Endpoint::Stream
            | Endpoint::Sse
            | Endpoint::Iframe
            | Endpoint::Ws
            | Endpoint::WsEcho
            | Endpoint::Ping
            | Endpoint::Presence
            | Endpoint::History => Side::Front,
            _ => Side::Admin,
        }
    }
}

/// The content handler of a location with `icomet_sub` or `icomet_pub`.
///
/// # Safety
///
/// Called by nginx with a live request.
pub unsafe extern "C" fn icomet_handler(r: *mut ngx_http_request_t) -> ngx_int_t {
    guarded("request", code::INTERNAL_ERROR, || {
        // SAFETY: nginx passes a live request.
        match unsafe { Request::from_raw(r) } {
            Some(request) => serve(request),
            None => code::ERROR,
        }
    })
}

fn serve(request: Request) -> ngx_int_t {
    let Some((location, side)) = request.location().and_then(|l| Some((l, l.side()?))) else {
        return code::DECLINED;
    };
    let Some(hub) = location.hub() else {
        return code::INTERNAL_ERROR;
    };
    if !request.is_main() && !asked(&request).is_some_and(Endpoint::publishes) {
        log::error(
            "an icomet endpoint was asked by a subrequest, which cannot wait for messages, but may \
             publish; let the client ask it, or a back end by proxy_pass",
        );
        return code::INTERNAL_ERROR;
    }
    let Ok(context) = request.attach(Context::new(Rc::clone(hub))) else {
        return code::INTERNAL_ERROR;
    };
    let Some(endpoint) = asked(&request) else {
        let rc = request.discard_body();
        if rc != code::OK {
            return rc;
        }
        let text = format!(
            "no such endpoint: the path ends with one of {}",
            side.endpoints(|endpoint| location.opens(endpoint))
                .join(", ")
        );
        return side
            .said(Answer::error(404, "", &text))
            .send(request, context);
    };
    context.endpoint.set(Some(endpoint));
    // What a subrequest asks for is asked by the configuration, whatever page the request is of.
    if side == Side::Admin
        && request.is_main()
        && let Some(rc) = origin::refuse_admin(request, context, endpoint)
    {
        return rc;
    }
    if let Err(error) = location.check_once(&Params::new(request.query(), None))
        && !matches!(endpoint, Endpoint::Api(_))
    {
        let rc = request.discard_body();
        if rc != code::OK {
            return rc;
        }
        return side.said(input::bad(error)).send(request, context);
    }
    match side {
        Side::Front => front::serve(request, context, endpoint),
        Side::Admin => match endpoint {
            Endpoint::Api(operation) => api::serve(request, context, operation),
            endpoint => admin::serve(request, context, endpoint),
        },
    }
}

/// The endpoint that a request asks for: the one that its location fixes, or that its path names.
pub fn asked(request: &Request) -> Option<Endpoint> {
    of_path(request.location()?, request.uri())
}

/// The endpoint of a location for that path. Below `api/` of the admin side there are operations alone.
pub fn of_path(location: &LocationConf, path: &[u8]) -> Option<Endpoint> {
    let mut segments = path.rsplit(|c| *c == b'/');
    let last = segments.next()?;
    match location.endpoint() {
        Some(Endpoint::Api(None)) => return Some(Endpoint::Api(Operation::from_name(last))),
        Some(fixed) => return Some(fixed),
        None => {}
    }
    let side = location.side();
    if side == Some(Side::Admin) && segments.next() == Some(b"api") {
        return Some(Endpoint::Api(Operation::from_name(last)));
    }
    Endpoint::from_name(last).filter(|e| Some(e.side()) == side && location.opens(*e))
}

/// What a method gets that the endpoint does not take.
pub fn method_not_allowed(
    request: Request,
    context: &Context,
    side: Side,
    allowed: &'static str,
) -> ngx_int_t {
    let rc = request.discard_body();
    if rc != code::OK {
        return rc;
    }
    let text = format!("method not allowed: use {allowed}");
    side.said(Answer::error(405, "", &text))
        .header("Allow", allowed)
        .send(request, context)
}

/// Whether a request's method is one of those.
pub fn is_one_of(request: Request, methods: &[Method]) -> bool {
    methods.contains(&request.method())
}
