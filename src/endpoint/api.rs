//! The JSON API for back ends, below `api/`: it stands beside the old endpoints, and answers with HTTP
//! statuses and problem details (RFC 9457).

pub mod channels;
pub mod history;
pub mod publish;

use icomet_engine::{ChannelLimits, PublishError, SubscribeError};
use icomet_protocol::api::{Problem, publication, query};
use nginx_sys::{ngx_http_request_t, ngx_int_t};

use super::{Endpoint, body};
use crate::answer::Answer;
use crate::config::hub::Hub;
use crate::context::Context;
use crate::ffi::guard::guarded;
use crate::ffi::log;
use crate::ffi::request::{Method, Request, code};

const JSON: &str = "application/json";

/// One operation; its name is the path's last segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Publishes one content, to one channel or several.
    Publish,
    /// Publishes several.
    Batch,
    /// Tells what a channel has buffered.
    History,
    /// Tells who is subscribed to a channel.
    Presence,
    /// Lists channels.
    Channels,
    /// Tells of the hub.
    Info,
    /// Ends a channel's subscribers, or a user's.
    Disconnect,
}

const OPERATIONS: [(&str, Operation); 7] = [
    ("publish", Operation::Publish),
    ("batch", Operation::Batch),
    ("history", Operation::History),
    ("presence", Operation::Presence),
    ("channels", Operation::Channels),
    ("info", Operation::Info),
    ("disconnect", Operation::Disconnect),
];

impl Operation {
    /// The operation of that name.
    pub fn from_name(name: &[u8]) -> Option<Operation> {
        OPERATIONS
            .iter()
            .find(|(known, _)| known.as_bytes() == name)
            .map(|(_, operation)| *operation)
    }

    fn changes(self) -> bool {
        matches!(
            self,
            Operation::Publish | Operation::Batch | Operation::Disconnect
        )
    }
}

/// Serves a request below `api/`; without an operation it named none.
pub fn serve(request: Request, context: &Context, operation: Option<Operation>) -> ngx_int_t {
    let Some(operation) = operation else {
        let names: Vec<_> = OPERATIONS.iter().map(|(name, _)| *name).collect();
        let detail = format!(
            "no such operation: the path ends with one of {}",
            names.join(", ")
        );
        return refuse(
            request,
            context,
            Problem::new(404, "no_such_operation", detail),
        );
    };
    let method = request.method();
    if operation.changes() {
        if method != Method::Post {
            return method_not_allowed(request, context, "POST");
        }
        if let Err(error) = body::check_announced(&request, context) {
            let what = Problem::new(error.status, error.code, error.text);
            return refuse(request, context, what);
        }
        return request.read_body(icomet_on_api_body);
    }
    if !matches!(method, Method::Get | Method::Head) {
        return method_not_allowed(request, context, "GET, HEAD");
    }
    let rc = request.discard_body();
    if rc != code::OK {
        return rc;
    }
    let answered = match operation {
        Operation::History => history::history(&request, context),
        Operation::Presence => channels::presence(&request, context),
        Operation::Info => channels::info(&request, context),
        _ => channels::list(&request, context),
    };
    send(request, context, answered)
}

fn method_not_allowed(request: Request, context: &Context, allowed: &'static str) -> ngx_int_t {
    let rc = request.discard_body();
    if rc != code::OK {
        return rc;
    }
    let detail = format!("method not allowed: use {allowed}");
    problem(&Problem::new(405, "method_not_allowed", detail))
        .header("Allow", allowed)
        .send(request, context)
}

fn refuse(request: Request, context: &Context, what: Problem) -> ngx_int_t {
    let rc = request.discard_body();
    if rc != code::OK {
        return rc;
    }
    problem(&what).send(request, context)
}

/// nginx calls it when the body has been read.
unsafe extern "C" fn icomet_on_api_body(r: *mut ngx_http_request_t) {
    guarded("request body", (), || {
        // SAFETY: nginx passes the live request whose body it has read.
        let Some(request) = (unsafe { Request::from_raw(r) }) else {
            return;
        };
        let rc = with_body(&request);
        request.finalize_in_handler(rc);
    });
}

fn with_body(request: &Request) -> ngx_int_t {
    let Some((context, Endpoint::Api(Some(operation)))) =
        request.context().and_then(|c| Some((c, c.endpoint.get()?)))
    else {
        return code::INTERNAL_ERROR;
    };
    let media = request
        .content_type()
        .and_then(publication::Media::of_content_type);
    let wants_json = operation != Operation::Publish;
    let media = match media {
        Some(media) if media == publication::Media::Json || !wants_json => media,
        _ => {
            let detail = if wants_json {
                "the body's content type must be application/json"
            } else {
                "the body's content type must be application/json, text/plain or \
                 application/octet-stream, in UTF-8"
            };
            let what = Problem::new(415, "unsupported_media_type", detail);
            let wanted = if wants_json {
                JSON
            } else {
                "application/json, text/plain, application/octet-stream"
            };
            return problem(&what)
                .header("Accept", wanted)
                .send(*request, context);
        }
    };
    let body = match body::read(request, context) {
        Ok(body) => body,
        Err(error) => {
            let what = Problem::new(error.status, error.code, error.text.as_str());
            return error.advise(problem(&what)).send(*request, context);
        }
    };
    let most = context.hub.max_batch as usize;
    let query = request.query();
    let answered = if media != publication::Media::Json {
        publication::plain(media, query, &body)
            .map(|one| publish::Job::of_publish(one).begin(*request, context))
    } else {
        query::none(query).and_then(|()| match operation {
            Operation::Publish => publication::publish(&body, most)
                .map(|one| publish::Job::of_publish(one).begin(*request, context)),
            Operation::Batch => publication::batch(&body, most)
                .map(|all| publish::Job::of_batch(all).begin(*request, context)),
            _ => {
                let answered = publication::disconnect(&body)
                    .and_then(|asked| channels::disconnect(request, context, &asked));
                Ok(send(*request, context, answered))
            }
        })
    };
    answered.unwrap_or_else(|what| problem(&what).send(*request, context))
}

fn send(request: Request, context: &Context, answered: Result<Answer, Problem>) -> ngx_int_t {
    answered
        .unwrap_or_else(|what| problem(&what))
        .send(request, context)
}

/// A problem as an answer.
pub fn problem(what: &Problem) -> Answer {
    let answer = Answer::new(what.status, Problem::MEDIA_TYPE, what.to_json());
    match what.status {
        503 => answer.header("Retry-After", "1"),
        _ => answer,
    }
}

/// What a publisher is told whose message was not taken.
pub fn refused(hub: &Hub, channel: &str, error: &PublishError) -> Problem {
    match error {
        PublishError::TooManyChannels => {
            hub.log_refusal(channel, &SubscribeError::TooManyChannels);
            let detail = "the hub has max_channels channels already";
            Problem::new(429, "too_many_channels", detail)
        }
        PublishError::MessageTooLarge => {
            let max = hub.limits.of(channel.as_bytes()).max_message_size;
            let detail = format!("the content is larger than max_message_size ({max} bytes)");
            Problem::new(413, "content_too_large", detail)
        }
        PublishError::ZoneFull => {
            log::zone_full(&hub.name);
            Problem::new(507, "zone_full", "the zone of this hub is full")
        }
        PublishError::Busy => busy(),
        PublishError::IdReused => {
            let detail = "this id was given to another message of this channel before";
            Problem::new(422, "id_reused", detail)
        }
    }
}

/// Another worker does not give back what this needs.
pub fn busy() -> Problem {
    Problem::new(
        503,
        "busy",
        "a worker of this server stands still: try again",
    )
}

/// There is no such channel, or it could not be looked for.
pub fn no_such_channel() -> Problem {
    if icomet_engine::was_refused() {
        return busy();
    }
    Problem::new(404, "no_such_channel", "there is no such channel now")
}

/// What a request gets in a process that serves no hub.
pub fn no_worker() -> Problem {
    Problem::new(500, "internal", "this process is no icomet worker")
}
