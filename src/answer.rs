//! A whole answer: status, header fields, body.

use std::borrow::Cow;
use std::rc::Rc;

use icomet_protocol::origin::AllowedOrigins;
use nginx_sys::ngx_int_t;

use crate::config::location::LocationConf;
use crate::context::Context;
use crate::endpoint::Side;
use crate::ffi::output::Frame;
use crate::ffi::request::{Request, code};

/// `Cache-Control` of what is one subscriber's: nobody on the way keeps it, or compresses it, which would
/// hold messages back.
pub const FOR_ONE: &str = "no-cache, no-transform, private";

/// A header field: its name and its value.
pub type Field = (&'static str, Cow<'static, [u8]>);

/// What a header field can be given: a static value, which is not copied, or one that is.
pub trait FieldValue {
    /// The value, to keep.
    fn into_value(self) -> Cow<'static, [u8]>;
}

impl FieldValue for &'static str {
    fn into_value(self) -> Cow<'static, [u8]> {
        Cow::Borrowed(self.as_bytes())
    }
}

impl FieldValue for &[u8] {
    fn into_value(self) -> Cow<'static, [u8]> {
        Cow::Owned(self.to_vec())
    }
}

/// An answer whose body is known.
pub struct Answer {
    status: u16,
    media_type: &'static str,
    headers: Vec<Field>,
    body: Frame,
}

impl Answer {
    /// An answer with that status and body; the charset is UTF-8.
    pub fn new(status: u16, media_type: &'static str, body: Vec<u8>) -> Answer {
        Answer::shared(status, media_type, Rc::new(body))
    }

    /// The same, with a body that is a frame already.
    pub fn shared(status: u16, media_type: &'static str, body: Frame) -> Answer {
        Answer {
            status,
            media_type,
            headers: Vec::new(),
            body,
        }
    }

    /// What is said of a bad request: a JSON message whose type is the status.
    pub fn error(status: u16, channel: &str, text: &str) -> Answer {
        let mut body = Vec::new();
        icomet_protocol::frame::error_body(status, channel, text, &mut body);
        Answer::new(status, "application/json", body)
    }

    /// Adds a header field.
    pub fn header(mut self, name: &'static str, value: impl FieldValue) -> Answer {
        self.headers.push((name, value.into_value()));
        self
    }

    /// Adds what every answer to a subscriber carries (iComet protocol, front side).
    pub fn uncached(self) -> Answer {
        self.header("Expires", "0")
            .header("Cache-Control", FOR_ONE)
            .header("Access-Control-Allow-Origin", "*")
    }

    /// Sends it; the result is for nginx ([`Request::finalize`], or a content handler's return).
    pub fn send(&self, request: Request, context: &Context) -> ngx_int_t {
        let length = Some(self.body.len());
        let rc = if self
            .headers
            .iter()
            .any(|(name, _)| *name == "Cache-Control")
        {
            send_head(request, self.status, length, self.media_type, &self.headers)
        } else {
            let mut headers = self.headers.clone();
            headers.push(("Cache-Control", "no-store".into_value()));
            add_reader(request, context, &mut headers);
            send_head(request, self.status, length, self.media_type, &headers)
        };
        if rc == code::ERROR || rc > code::OK || request.is_header_only() {
            return rc;
        }
        context.output.send_last(request, Rc::clone(&self.body))
    }
}

/// Lets a page of a listed origin read what the admin side answers (Fetch standard, CORS).
fn add_reader(request: Request, context: &Context, headers: &mut Vec<Field>) {
    let origins = &context.hub.allowed_origins;
    let side = request.location().and_then(LocationConf::side);
    if side != Some(Side::Admin) || !matches!(origins, AllowedOrigins::Listed(_)) {
        return;
    }
    headers.push(("Vary", "Origin".into_value()));
    if let Some(origin) = origins.reader(&request.page()) {
        headers.push(("Access-Control-Allow-Origin", origin.into_value()));
    }
}

/// Sends the head of an answer; without a length it is endless.
pub fn send_head(
    request: Request,
    status: u16,
    length: Option<usize>,
    media_type: &'static str,
    headers: &[Field],
) -> ngx_int_t {
    if request.set_head(status, length, media_type).is_err() {
        return code::INTERNAL_ERROR;
    }
    let sniff = (status != 101).then(|| ("X-Content-Type-Options", "nosniff".into_value()));
    for field in headers.iter().chain(&sniff) {
        if request.add_header(field).is_err() {
            return code::INTERNAL_ERROR;
        }
    }
    request.send_head()
}
