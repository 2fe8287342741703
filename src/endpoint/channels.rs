//! What administrators do with channels: `sign`, `close`, `clear`, `info`, `check`, `psub`.

use icomet_engine::{ChannelLimits, WakeSet, Zone};
use icomet_protocol::frame::{self, Sign};
use icomet_protocol::params::Params;
use nginx_sys::ngx_int_t;

use super::publish::{no_worker, refused};
use super::{detail, front, input};
use crate::answer::{Answer, FieldValue, send_head};
use crate::context::{Context, Owner};
use crate::ffi::output::{Frame, Sent};
use crate::ffi::request::{Request, code};
use crate::ffi::{event, log};
use crate::sink::Held;
use crate::worker::with;

const HTML: &str = "text/html";

/// Works on the hub's zone, then wakes whom that concerns.
fn in_zone<R>(
    context: &Context,
    name: &str,
    work: impl FnOnce(&Zone, &mut WakeSet) -> R,
) -> Result<R, Answer> {
    icomet_engine::busy::begin();
    let done = with(|worker| {
        let hub = worker.hub_index(&context.hub)?;
        let zone = worker.hubs[hub].zone;
        let mut wake = WakeSet::default();
        let done = work(&zone, &mut wake);
        worker.ring(&wake);
        Some(done)
    });
    let done = done.flatten().ok_or_else(|| no_worker(name))?;
    if icomet_engine::was_refused() {
        return Err(front::busy(name));
    }
    Ok(done)
}

/// `sign`: makes the channel, renews its life, tells its token.
pub fn sign<'a>(
    request: &'a Request,
    context: &Context,
    params: &Params<'a>,
) -> Result<Answer, Answer> {
    let name = input::channel_name(request, context, params)?;
    let callback = input::callback(context, params)?;
    let asked = params.expires().map_err(input::bad)?;
    let timeout = context.hub.limits.of(name.as_bytes()).channel_timeout;
    let expires_ms = match u64::try_from(asked) {
        Ok(seconds) if seconds > 0 => seconds * 1000,
        _ => timeout,
    };
    let mut token = [0u8; 16];
    getrandom::fill(&mut token).map_err(|error| {
        log::error(&format!("no random numbers for a token: {error}"));
        Answer::error(500, &name, "no token can be made")
    })?;
    let limits = &context.hub.limits;
    let signed = in_zone(context, &name, |zone, wake| {
        zone.sign(
            name.as_bytes(),
            expires_ms,
            token,
            limits,
            event::now(),
            wake,
        )
    })?;
    let signed = signed.map_err(|error| refused(context, &name, &error))?;
    context.seq.set(Some(signed.first_seq));
    let mut body = Vec::new();
    let sign = Sign {
        channel: &name,
        seq: signed.first_seq,
        token: &signed.token,
        expires: expires_ms.div_ceil(1000),
        sub_timeout: context.hub.sub_timeout(),
    };
    frame::sign(callback.as_ref(), &sign, &mut body);
    Ok(Answer::new(
        200,
        if callback.is_some() {
            "text/javascript"
        } else {
            HTML
        },
        body,
    ))
}

/// `close`: subscribers are told and ended, the channel is gone.
pub fn close<'a>(
    request: &'a Request,
    context: &Context,
    params: &Params<'a>,
) -> Result<Answer, Answer> {
    let name = input::channel_name(request, context, params)?;
    let limits = &context.hub.limits;
    let next = in_zone(context, &name, |zone, wake| {
        zone.close(name.as_bytes(), limits, event::now(), wake)
    })?;
    Ok(next_seq(context, &name, next))
}

/// `clear`: the buffered messages are dropped, the seq goes on.
pub fn clear<'a>(
    request: &'a Request,
    context: &Context,
    params: &Params<'a>,
) -> Result<Answer, Answer> {
    let name = input::channel_name(request, context, params)?;
    let next = in_zone(context, &name, |zone, _| zone.clear(name.as_bytes()))?;
    Ok(next_seq(context, &name, next))
}

fn next_seq(context: &Context, name: &str, next: Option<u64>) -> Answer {
    let mut body = Vec::new();
    let status = match next {
        Some(next) => {
            context.seq.set(Some(next));
            frame::closed(next, &mut body);
            200
        }
        None => {
            frame::not_connected(name, &mut body);
            404
        }
    };
    Answer::new(status, HTML, body)
}

/// `info`: subscribers of a channel, or the totals of the hub, with `detail=1` more of them.
pub fn info<'a>(
    request: &'a Request,
    context: &Context,
    params: &Params<'a>,
) -> Result<Answer, Answer> {
    let mut body = Vec::new();
    let detail = params.detail().map_err(input::bad)?;
    if !input::names_channel(request, params) {
        if detail {
            return in_zone(context, "", |zone, _| detail::of(&context.hub, zone));
        }
        let stats = in_zone(context, "", |zone, _| zone.stats())?;
        let version = env!("CARGO_PKG_VERSION");
        frame::info_total(version, stats.channels, stats.subscribers, &mut body);
        return Ok(Answer::new(200, HTML, body));
    }
    let name = input::channel_name(request, context, params)?;
    let channel = in_zone(context, &name, |zone, _| zone.channel(name.as_bytes()))?;
    let subscribers = channel.map_or(0, |channel| u64::from(channel.subscribers));
    frame::info_channel(&name, subscribers, &mut body);
    Ok(Answer::new(200, HTML, body))
}

/// `check`: whether a channel lives.
pub fn check<'a>(
    request: &'a Request,
    context: &Context,
    params: &Params<'a>,
) -> Result<Answer, Answer> {
    let name = input::channel_name(request, context, params)?;
    let channel = in_zone(context, &name, |zone, _| zone.channel(name.as_bytes()))?;
    let mut body = Vec::new();
    frame::check(channel.map(|_| &*name), &mut body);
    Ok(Answer::new(200, HTML, body))
}

/// `psub`: endless lines of channels coming and going.
pub fn psub(request: Request, context: &Context) -> ngx_int_t {
    if event::exiting() {
        return Answer::new(200, HTML, Vec::new()).send(request, context);
    }
    let begun = with(|worker| {
        let hub = worker.hub_index(&context.hub)?;
        Some((hub, worker.listen(hub, Held(request))))
    });
    let (hub, index) = match begun.flatten() {
        Some((hub, Ok(index))) => (hub, index),
        Some((_, Err(_))) => return front::zone_full(context, "").send(request, context),
        None => return no_worker("").send(request, context),
    };
    context.owner.set(Owner::Listener(hub, index));
    let headers = [
        ("Cache-Control", "no-store".into_value()),
        ("X-Accel-Buffering", "no".into_value()),
    ];
    let rc = send_head(request, 200, None, "text/plain", &headers);
    if rc == code::ERROR || rc > code::OK || request.is_header_only() {
        context.close();
        return rc;
    }
    // Before the request is held, as for a subscriber.
    if context.output.send(request, Frame::default(), 0) == Sent::Broken {
        context.close();
        return code::ERROR;
    }
    request.hold(true);
    code::DONE
}
