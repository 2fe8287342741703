//! Publishing: `pub`, `push`, `broadcast`.

use core::cell::RefCell;

use icomet_engine::{ChannelLimits, Publication, PublishError, SubscribeError};
use icomet_protocol::params::Params;
use icomet_protocol::{content, frame};
use nginx_sys::ngx_int_t;

use super::{front, input};
use crate::answer::Answer;
use crate::context::{Context, Owner};
use crate::ffi::output::Frame;
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
    let callback = input::callback(context, params)?;
    let ttl = params.ttl().map_err(input::bad)?;
    let event = params.event().map_err(input::bad)?;
    let published = with_content(params, encoded, |content| {
        let content = content.map_err(|error| Answer::error(400, &name, &error.to_string()))?;
        if content.is_empty() {
            return Err(Answer::error(400, &name, "content is missing or empty"));
        }
        let publication = Publication {
            content,
            event: event.as_bytes(),
            ttl,
            ..Publication::default()
        };
        let published = with(|worker| worker.publish(&context.hub, &name, &publication));
        let published = published.flatten().ok_or_else(|| no_worker(&name))?;
        published.map_err(|error| refused(context, &name, &error))
    })?;
    context.seq.set(Some(published.seq));
    let body = callback.map_or_else(
        || OK.with(Frame::clone),
        |callback| {
            let mut body = Vec::new();
            frame::ok(Some(&callback), &mut body);
            Frame::new(body)
        },
    );
    Ok(Answer::shared(200, "text/javascript", body))
}

thread_local! {
    /// The answer to a publish without callback.
    static OK: Frame = {
        let mut body = Vec::new();
        frame::ok(None, &mut body);
        Frame::new(body)
    };

    /// Where content is made ready for the zone.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Buffers that a worker uses again with each publish.
#[derive(Default)]
struct Scratch {
    decoded: Vec<u8>,
    escaped: Vec<u8>,
}

/// Bytes that a buffer keeps; what a large message took more goes back.
const KEPT: usize = 64 << 10;

/// Works on the content as the zone takes it: the inside of a JSON string.
fn with_content<R>(
    params: &Params<'_>,
    encoded: bool,
    work: impl FnOnce(Result<&[u8], content::ContentError>) -> R,
) -> R {
    SCRATCH.with_borrow_mut(|Scratch { decoded, escaped }| {
        let raw = params.content_in(decoded);
        let done = if encoded {
            work(content::check_encoded(raw).map(|()| raw))
        } else {
            escaped.clear();
            content::escape_raw(raw, escaped);
            work(Ok(escaped))
        };
        for buffer in [decoded, escaped] {
            if buffer.capacity() > KEPT {
                buffer.clear();
                buffer.shrink_to(KEPT);
            }
        }
        done
    })
}

/// `broadcast`: the answer comes when every channel has the message.
pub fn broadcast(request: Request, context: &Context, params: &Params<'_>) -> ngx_int_t {
    let begun = with_content(params, false, |content| {
        with(|worker| {
            let hub = worker.hub_index(&context.hub)?;
            let begun = worker.broadcast(hub, content.unwrap_or_default(), request);
            Some(begun.map(|index| Owner::Broadcast(hub, index)))
        })
    });
    match begun.flatten() {
        Some(Ok(owner)) => {
            context.owner.set(owner);
            request.hold(false);
            code::DONE
        }
        Some(Err(error)) => refused(context, "", &error).send(request, context),
        None => no_worker("").send(request, context),
    }
}

/// What a publisher gets whose message was not taken.
pub fn refused(context: &Context, name: &str, error: &PublishError) -> Answer {
    match error {
        PublishError::TooManyChannels => {
            let hub = &context.hub;
            hub.log_refusal(name, &SubscribeError::TooManyChannels);
            Answer::error(429, name, "Too many channels")
        }
        PublishError::MessageTooLarge => {
            let max = context.hub.limits.of(name.as_bytes()).max_message_size;
            let text = format!("the message is larger than max_message_size ({max} bytes)");
            Answer::error(413, name, &text)
        }
        PublishError::ZoneFull => front::zone_full(context, name),
        PublishError::Busy => front::busy(name),
        PublishError::IdReused => Answer::error(422, name, &error.to_string()),
    }
}

/// What a request gets in a process that serves no hub.
pub fn no_worker(name: &str) -> Answer {
    Answer::error(500, name, "this process is no icomet worker")
}
