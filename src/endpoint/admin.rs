//! The admin side: publishers and administrators. Who they are is nginx's to say (`allow`, `deny`,
//! `auth_basic`, ...).

use icomet_protocol::params::Params;
use nginx_sys::{ngx_http_request_t, ngx_int_t};

use super::{Endpoint, Side, body, channels, input, is_one_of, method_not_allowed, publish};
use crate::answer::Answer;
use crate::context::Context;
use crate::ffi::guard::guarded;
use crate::ffi::request::{Method, Request, code};

/// The one kind of body that the old endpoints read (HTML standard, URL-encoded form data).
const FORM: &[u8] = b"application/x-www-form-urlencoded";

/// Serves an admin-side endpoint.
pub fn serve(request: Request, context: &Context, endpoint: Endpoint) -> ngx_int_t {
    if !is_one_of(request, &[Method::Get, Method::Post]) {
        return method_not_allowed(request, context, Side::Admin, "GET, POST");
    }
    // X-Accel-Redirect makes a GET of a POST, and leaves the form.
    let handed_over =
        request.is_main() && request.has_read_body() && endpoint.publishes() && has_form(&request);
    if request.method() == Method::Post || handed_over {
        if let Err(error) = body::check_announced(&request, context) {
            let rc = request.discard_body();
            if rc != code::OK {
                return rc;
            }
            return Answer::error(error.status, "", &error.text).send(request, context);
        }
        return request.read_body(icomet_on_body);
    }
    let rc = request.discard_body();
    if rc != code::OK {
        return rc;
    }
    if endpoint == Endpoint::Psub && request.is_discarding() {
        return input::late_body(request, context);
    }
    respond(request, context, endpoint, None)
}

/// nginx calls it when the body has been read.
unsafe extern "C" fn icomet_on_body(r: *mut ngx_http_request_t) {
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
    let Some((context, endpoint)) = request.context().and_then(|c| Some((c, c.endpoint.get()?)))
    else {
        return code::INTERNAL_ERROR;
    };
    if request.body_length() > 0 && !has_form(request) {
        let text = "the body's content type must be application/x-www-form-urlencoded";
        return Answer::error(415, "", text)
            .header("Accept", "application/x-www-form-urlencoded")
            .send(*request, context);
    }
    match body::read(request, context) {
        Ok(body) => respond(*request, context, endpoint, Some(&body)),
        Err(error) => error
            .advise(Answer::error(error.status, "", &error.text))
            .send(*request, context),
    }
}

fn has_form(request: &Request) -> bool {
    request.content_type().is_some_and(is_form)
}

fn is_form(content_type: &[u8]) -> bool {
    // As almost all say it.
    content_type == FORM
        || content_type
            .split(|c| *c == b';')
            .next()
            .is_some_and(|media_type| media_type.trim_ascii().eq_ignore_ascii_case(FORM))
}

fn respond(
    request: Request,
    context: &Context,
    endpoint: Endpoint,
    body: Option<&[u8]>,
) -> ngx_int_t {
    let params = Params::new(request.query(), body);
    let once = request.location().map(|it| it.check_once(&params));
    if let Some(Err(error)) = once {
        return input::bad(error).send(request, context);
    }
    let answered = match endpoint {
        Endpoint::Pub => publish::publish(&request, context, &params, true),
        Endpoint::Push => publish::publish(&request, context, &params, false),
        Endpoint::Broadcast => return publish::broadcast(request, context, &params),
        Endpoint::Psub => return channels::psub(request, context),
        Endpoint::Sign => channels::sign(&request, context, &params),
        Endpoint::Close => channels::close(&request, context, &params),
        Endpoint::Clear => channels::clear(&request, context, &params),
        Endpoint::Check => channels::check(&request, context, &params),
        _ => channels::info(&request, context, &params),
    };
    answered
        .unwrap_or_else(|answer| answer)
        .send(request, context)
}
