//! Publishing: `pub`, `push`, `broadcast`.

use std::borrow::Cow;

use icomet_engine::{PublishError, WakeSet};
use icomet_protocol::params::Params;
use icomet_protocol::{content, frame};
use nginx_sys::ngx_int_t;

use super::{front, input};
use crate::answer::Answer;
use crate::context::{Context, Owner};
use crate::ffi::event;
use crate::ffi::request::{Request, code};
use crate::worker::with;

/// `pub` (content is the inside of a JSON string already) and `push` (content is raw).
pub fn publish<'a>(
    request: &'a Request,
    context: &Context,
    params: &Params<'a>,
    encoded: bool,
) -> Result<Answer, Answer> {
    let name = input::channel_name(request, context, params)?;
    let callback = params.callback().map_err(input::bad)?;
    let raw = params.content();
    let content: Cow<'_, [u8]> = if encoded {
        content::check_encoded(&raw)
            .map_err(|error| Answer::error(400, &name, &error.to_string()))?;
        raw
    } else {
        Cow::Owned(escaped(&raw))
    };
    let published = with(|worker| {
        let hub = worker.hub_index(&context.hub)?;
        let zone = worker.hubs[hub].zone;
        let mut wake = WakeSet::default();
        let limits = &context.hub.limits;
        let published = zone.publish(name.as_bytes(), &content, limits, event::now(), &mut wake);
        worker.ring(&wake);
        Some(published)
    });
    let published = published.flatten().ok_or_else(|| no_worker(&name))?;
    let published = published.map_err(|error| refused(context, &name, &error))?;
    context.seq.set(Some(published.seq));
    let mut body = Vec::new();
    frame::ok(callback.as_ref(), &mut body);
    Ok(Answer::new(200, "text/javascript", body))
}

/// `broadcast`: the answer comes when every channel has the message.
pub fn broadcast(request: Request, context: &Context, params: &Params<'_>) -> ngx_int_t {
    let content = escaped(&params.content());
    let begun = with(|worker| {
        let hub = worker.hub_index(&context.hub)?;
        let begun = worker.broadcast(hub, &content, request);
        Some(begun.map(|index| Owner::Broadcast(hub, index)))
    });
    match begun.flatten() {
        Some(Ok(owner)) => {
            context.owner.set(owner);
            request.hold();
            code::DONE
        }
        Some(Err(error)) => refused(context, "", &error).send(request, context),
        None => no_worker("").send(request, context),
    }
}

fn escaped(raw: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(raw.len() + raw.len() / 8);
    content::escape_raw(raw, &mut escaped);
    escaped
}

/// What a publisher gets whose message was not taken.
pub fn refused(context: &Context, name: &str, error: &PublishError) -> Answer {
    match error {
        PublishError::TooManyChannels => Answer::error(429, name, "Too many channels"),
        PublishError::MessageTooLarge => {
            let max = context.hub.limits.max_message_size;
            let text = format!("the message is larger than max_message_size ({max} bytes)");
            Answer::error(413, name, &text)
        }
        PublishError::ZoneFull => front::zone_full(context, name),
    }
}

/// What a request gets in a process that serves no hub.
pub fn no_worker(name: &str) -> Answer {
    Answer::error(500, name, "this process is no icomet worker")
}
