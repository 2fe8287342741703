//! The front side: subscribers.

use std::time::Instant;

use icomet_engine::SubscribeError;
use icomet_protocol::frame::{self, Transport, iframe_head};
use icomet_protocol::message::{Kind, Message};
use icomet_protocol::params::Params;
use icomet_protocol::resume::Epoch;
use icomet_websocket::handshake::Acceptance;
use nginx_sys::ngx_int_t;

use super::wanted::{Channel, Channels};
use super::{Endpoint, Side, input, is_one_of, look, method_not_allowed, origin, upgrade};
use crate::answer::{Answer, FOR_ONE, FieldValue, send_head};
use crate::config::location::LocationConf;
use crate::context::{Context, Owner};
use crate::ffi::output::{Frame, Sent};
use crate::ffi::request::{Method, Request, code};
use crate::ffi::{address, event, log};
use crate::sink::{Held, media_type};
use crate::worker::delivery::{farewell, retry};
use crate::worker::frames::single;
use crate::worker::subscribe::{Ask, Outcome, Wanted, status_of};
use crate::worker::{idle, parking, turn};
use crate::worker::{websocket, with};

/// Serves a front-side endpoint.
pub fn serve(request: Request, context: &Context, endpoint: Endpoint) -> ngx_int_t {
    if let Some(Transport::WebSocket(socket)) = endpoint.transport() {
        return upgrade::serve(request, context, socket.echoes());
    }
    if !is_one_of(request, &[Method::Get, Method::Head, Method::Options]) {
        return method_not_allowed(request, context, Side::Front, "GET, HEAD, OPTIONS");
    }
    let rc = request.discard_body();
    if rc != code::OK {
        return rc;
    }
    if request.is_discarding() {
        return input::late_body(request, context);
    }
    if request.method() == Method::Options {
        return preflight(request, context);
    }
    if matches!(endpoint, Endpoint::Presence | Endpoint::History) {
        return look::answer(&request, context, endpoint)
            .uncached()
            .send(request, context);
    }
    let answered = match endpoint.transport() {
        Some(transport) => subscribe(request, context, transport, None),
        None => ping(&request, context),
    };
    answered.unwrap_or_else(|answer| answer.uncached().send(request, context))
}

/// What a browser asks before it lets a page of another origin subscribe (Fetch standard, CORS).
fn preflight(request: Request, context: &Context) -> ngx_int_t {
    Answer::new(204, "", Vec::new())
        .header("Access-Control-Allow-Origin", "*")
        .header("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
        .header(
            "Access-Control-Allow-Headers",
            "Last-Event-ID, Cache-Control, If-None-Match",
        )
        .header("Access-Control-Max-Age", "86400")
        .send(request, context)
}

fn ping(request: &Request, context: &Context) -> Result<ngx_int_t, Answer> {
    let params = Params::new(request.query(), None);
    let callback = input::callback(context, &params)?;
    let mut body = Vec::new();
    frame::ping(callback.as_ref(), context.hub.sub_timeout(), &mut body);
    Ok(Answer::new(200, "text/javascript", body)
        .uncached()
        .send(*request, context))
}

/// Subscribes; a WebSocket is opened by what was agreed on.
pub fn subscribe(
    request: Request,
    context: &Context,
    transport: Transport,
    acceptance: Option<&Acceptance>,
) -> Result<ngx_int_t, Answer> {
    let params = Params::new(request.query(), None);
    let poll = transport == Transport::LongPoll;
    let echoes = matches!(transport, Transport::WebSocket(socket) if socket.echoes());
    let channels = Channels::read(&request, context, &params, transport)?;
    let is_many = matches!(channels, Channels::Many(_));
    if is_many && turn::is_over() {
        request.put_off();
        return Ok(code::DONE);
    }
    let since = Instant::now();
    let noop = match transport {
        // It has pings instead.
        Transport::WebSocket(_) => 0,
        _ => params.noop().map_err(input::bad)?,
    };
    let wait = params.wait().map_err(input::bad)?.map(u64::from);
    let callback = input::callback(context, &params)?.filter(|_| poll);
    if callback.is_some() || transport == Transport::Iframe {
        origin::check(&request, context)?;
    }
    let user = if echoes {
        None
    } else {
        input::user(&request, context, &params)?
    };
    let jsonp = callback.is_some();
    if request.method() == Method::Head {
        return Ok(send_stream_head(request, transport, jsonp));
    }
    let message = |kind, seq, content| Message {
        kind,
        channel: channels.name(),
        seq,
        content,
        event: "",
    };
    // A request that was on its way when the worker began to end moves like those who wait.
    let moves = || with(|worker| worker.handover.can_move()) == Some(true);
    if event::exiting() && !moves() {
        let noop = single(
            transport,
            Epoch::NONE,
            &message(Kind::Noop, noop, b""),
            callback.as_ref(),
        );
        let body = if poll { noop } else { farewell(transport) };
        return Ok(whole(request, context, transport, acceptance, jsonp, &body));
    }
    let address = address::of_request(&request).map(Into::into);
    let outcome = with(|worker| {
        let hub = worker.hub_index(&context.hub)?;
        let many = match &channels {
            Channels::One(_) => None,
            Channels::Many(all) => Some(all.iter().map(Channel::wanted).collect::<Vec<_>>()),
        };
        let nothing = Wanted::default();
        let one = match &channels {
            Channels::One(channel) => channel.wanted(),
            Channels::Many(_) => nothing,
        };
        let ask = Ask {
            hub,
            one,
            many: many.as_deref(),
            user: user.as_deref(),
            marks: request
                .location()
                .map(LocationConf::marks)
                .unwrap_or_default(),
            transport,
            callback: callback.clone(),
            noop,
            wait,
        };
        let outcome = worker.admit(&ask, address, Held(request));
        if is_many {
            worker.spend(since);
        }
        Some(outcome)
    });
    let Some(outcome) = outcome.flatten() else {
        log::error("a subscriber came to a process that is no icomet worker");
        return Ok(code::INTERNAL_ERROR);
    };
    let (kind, content): (u16, &[u8]) = match outcome {
        Outcome::Answer(answer, next) => {
            context.seq.set(next);
            return Ok(answer.send(request, context));
        }
        Outcome::Whole(body) => {
            return Ok(whole(request, context, transport, acceptance, jsonp, &body));
        }
        Outcome::Held(index, next, begin) => {
            context.seq.set(next);
            let begin = if echoes { Frame::default() } else { begin };
            return Ok(hold(request, context, transport, acceptance, index, begin));
        }
        Outcome::Refused(SubscribeError::ZoneFull) => {
            return Err(zone_full(context, channels.name()));
        }
        Outcome::Refused(SubscribeError::Busy) => return Err(busy(channels.name())),
        Outcome::Refused(error) => {
            context.hub.log_refusal(channels.name(), &error);
            status_of(&error)
        }
        Outcome::Crowded(address) => {
            let max = context.hub.max_subscribers_per_ip;
            log::crowded(&context.hub.name, &address, max);
            (429, b"Too many subscribers from this address")
        }
    };
    let mut body = match transport {
        // A browser comes back for more: not all in one moment.
        Transport::Sse => retry(),
        _ => Vec::new(),
    };
    body.extend(single(
        transport,
        Epoch::NONE,
        &message(Kind::Status(kind), 0, content),
        callback.as_ref(),
    ));
    Ok(whole(request, context, transport, acceptance, jsonp, &body))
}

/// The answer to anything that found no memory in the zone.
pub fn zone_full(context: &Context, name: &str) -> Answer {
    log::zone_full(&context.hub.name);
    Answer::error(507, name, "the zone of this hub is full")
}

/// The answer to anything that needs what another worker does not give back.
pub fn busy(name: &str) -> Answer {
    Answer::error(503, name, "busy, try again").header("Retry-After", "1")
}

/// An answer that ends at once, in the transport's framing.
fn whole(
    request: Request,
    context: &Context,
    transport: Transport,
    acceptance: Option<&Acceptance>,
    jsonp: bool,
    body: &[u8],
) -> ngx_int_t {
    if let Some(acceptance) = acceptance {
        let rc = upgrade::send_opening(request, acceptance);
        if rc == code::ERROR || rc > code::OK {
            return rc;
        }
        return context.output.send_last(request, Frame::new(body.to_vec()));
    }
    let head = if transport == Transport::Iframe {
        iframe_head()
    } else {
        b""
    };
    let body = [head, body].concat();
    Answer::new(200, media_type(transport, jsonp), body)
        .uncached()
        .send(request, context)
}

fn send_stream_head(request: Request, transport: Transport, jsonp: bool) -> ngx_int_t {
    let headers = [
        ("Expires", "0".into_value()),
        ("Cache-Control", FOR_ONE.into_value()),
        ("Access-Control-Allow-Origin", "*".into_value()),
        // Buffering proxies (nginx itself among them) pass each message on at once.
        ("X-Accel-Buffering", "no".into_value()),
    ];
    send_head(request, 200, None, media_type(transport, jsonp), &headers)
}

/// The subscriber waits: its request is kept, and on an endless answer its head is sent.
fn hold(
    request: Request,
    context: &Context,
    transport: Transport,
    acceptance: Option<&Acceptance>,
    index: u32,
    begin: Frame,
) -> ngx_int_t {
    parking::make_room();
    context.owner.set(Owner::Subscriber(index));
    if transport == Transport::LongPoll {
        request.hold(false);
        with(|worker| worker.park_later(index));
        return code::DONE;
    }
    let early = acceptance.map(|_| request.take_input());
    let rc = match acceptance {
        Some(acceptance) => upgrade::send_opening(request, acceptance),
        None => send_stream_head(request, transport, false),
    };
    if rc == code::ERROR || rc > code::OK || request.is_header_only() {
        context.close();
        return rc;
    }
    request.bound_silence(idle::longest_silence(context.hub.polling_timeout));
    // Sent before the request is held: a client that has gone already must not end the request under
    // nginx, which is still in this handler.
    let sent = context.output.send(request, begin, 0);
    if sent == Sent::Broken {
        context.close();
        return code::ERROR;
    }
    request.hold(true);
    websocket::begin_with(index, early.unwrap_or_default());
    if sent == Sent::Whole {
        with(|worker| {
            worker.begun(index);
            worker.park_later(index);
        });
    }
    code::DONE
}
