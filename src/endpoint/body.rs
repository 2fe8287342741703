//! The bodies of requests: within bounds, and inflated.

use std::borrow::Cow;

use icomet_protocol::coding::{self, Coding, CodingError, TAKEN};

use crate::answer::Answer;
use crate::config::hub::Hub;
use crate::context::Context;
use crate::ffi::log;
use crate::ffi::request::Request;

/// Why a body is not read: what an answer says of it.
#[derive(Debug)]
pub struct BodyError {
    /// The answer's status.
    pub status: u16,
    /// A problem's code.
    pub code: &'static str,
    /// What is wrong, and what would be right.
    pub text: String,
}

impl BodyError {
    fn new(status: u16, code: &'static str, text: String) -> BodyError {
        BodyError { status, code, text }
    }

    fn too_long(longest: usize) -> BodyError {
        let text = format!(
            "the body is longer than {longest} bytes, which is the most with this max_message_size"
        );
        BodyError::new(413, "body_too_large", text)
    }

    /// Adds to an answer which codings are taken, where that is what is wrong.
    pub fn advise(&self, answer: Answer) -> Answer {
        if self.status == 415 {
            answer.header("Accept-Encoding", TAKEN)
        } else {
            answer
        }
    }
}

/// Bytes that a body may have, also inflated; it is neither copied nor parsed before it is known to have no
/// more. A byte of a message is sent in three at most by who does not waste them: percent-encoded, or a
/// character outside ASCII as `\u00e4`. The rest is for the names of `max_batch` channels.
fn longest(hub: &Hub) -> usize {
    let of_rules = hub.limits.rules.iter().map(|(_, limits)| limits);
    let limits = of_rules.chain([&hub.limits.hub]);
    let largest = limits.map(|limits| limits.max_message_size).max();
    largest
        .unwrap_or(0)
        .saturating_mul(3)
        .saturating_add(ENVELOPE)
}

const ENVELOPE: usize = 1 << 20;

/// What is wrong with a body of the length that the client announces: then it is not read, nginx writes no
/// file of it, and the connection ends, as where nginx itself finds it too long
/// (ngx_http_special_response_handler).
pub fn check_announced(request: &Request, context: &Context) -> Result<(), BodyError> {
    let longest = longest(&context.hub);
    match request.announced_length() {
        Some(length) if length > longest as u64 => {
            request.close_after();
            Err(BodyError::too_long(longest))
        }
        _ => Ok(()),
    }
}

/// The body, after nginx has read it.
pub fn read<'a>(request: &'a Request, context: &Context) -> Result<Cow<'a, [u8]>, BodyError> {
    let longest = longest(&context.hub);
    let coding = coding_of(request)?;
    if request.body_length() > longest as u64 {
        return Err(BodyError::too_long(longest));
    }
    let body = request.body().map_err(|()| {
        log::error("the request's body cannot be read back from its temporary file");
        let text = "the body cannot be read back from its temporary file";
        BodyError::new(500, "internal", text.to_owned())
    })?;
    match coding {
        Some(coding) if !body.is_empty() => {
            let inflated = coding::inflate(coding, &body, longest);
            inflated.map(Cow::Owned).map_err(|error| match error {
                CodingError::TooLong => BodyError::too_long(longest),
                _ => {
                    let text = "the body is not what its Content-Encoding says";
                    BodyError::new(400, "bad_content_coding", text.to_owned())
                }
            })
        }
        _ => Ok(body),
    }
}

fn coding_of(request: &Request) -> Result<Option<Coding>, BodyError> {
    let fields = request.header_list("content-encoding").ok();
    let coding = fields.map(|fields| match fields {
        Some(field) => coding::of_content_encoding(&field),
        None => Ok(None),
    });
    coding.and_then(Result::ok).ok_or_else(|| {
        let text = format!("the body's content coding must be one of {TAKEN}");
        BodyError::new(415, "unsupported_content_coding", text)
    })
}
