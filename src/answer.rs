//! A whole answer: status, header fields, body.

use std::borrow::Cow;
use std::rc::Rc;

use nginx_sys::ngx_int_t;

use crate::context::Context;
use crate::ffi::output::Frame;
use crate::ffi::request::{Request, code};

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
            .header("Cache-Control", "no-cache")
            .header("Access-Control-Allow-Origin", "*")
    }

    /// Sends it; the result is for nginx ([`Request::finalize`], or a content handler's return).
    pub fn send(&self, request: Request, context: &Context) -> ngx_int_t {
        let length = Some(self.body.len());
        let rc = send_head(request, self.status, length, self.media_type, &self.headers);
        if rc == code::ERROR || rc > code::OK || request.is_header_only() {
            return rc;
        }
        context.output.send_last(request, Rc::clone(&self.body))
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
    request.set_head(status, length, media_type);
    for field in headers {
        if request.add_header(field).is_err() {
            return code::INTERNAL_ERROR;
        }
    }
    request.send_head()
}
