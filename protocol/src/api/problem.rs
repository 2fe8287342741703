//! What is wrong with a request, as a problem detail (RFC 9457).

use serde::Serialize;

use crate::params::ParameterError;

/// Longest text of a client that a problem repeats, in characters.
const REPEATED: usize = 64;

/// A problem detail. Its `type` is `about:blank`: the status says what kind it is, `code` which one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// Fixed for each kind of problem; docs/protocol.md lists them.
    pub code: &'static str,
    /// What is wrong, and what would be right.
    pub detail: Box<str>,
    /// Where it is.
    pub place: Option<Where>,
}

/// A place in a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Where {
    /// In the body: a JSON pointer (RFC 6901).
    Pointer(Box<str>),
    /// A parameter of the query.
    Parameter(Box<str>),
}

impl Problem {
    /// The media type of its JSON.
    pub const MEDIA_TYPE: &'static str = "application/problem+json";

    /// A problem with the request as a whole.
    pub fn new(status: u16, code: &'static str, detail: impl Into<Box<str>>) -> Problem {
        Problem {
            status,
            code,
            detail: detail.into(),
            place: None,
        }
    }

    /// A problem with a place in the body.
    pub(crate) fn at(
        pointer: impl Into<Box<str>>,
        code: &'static str,
        detail: impl Into<Box<str>>,
    ) -> Problem {
        Problem {
            place: Some(Where::Pointer(pointer.into())),
            ..Problem::new(400, code, detail)
        }
    }

    /// A problem with a parameter.
    pub(crate) fn of_parameter(
        name: &str,
        code: &'static str,
        detail: impl Into<Box<str>>,
    ) -> Problem {
        Problem {
            place: Some(Where::Parameter(shortened(name).into())),
            ..Problem::new(400, code, detail)
        }
    }

    /// Where it is in the body, as a JSON pointer.
    pub fn pointer(&self) -> Option<&str> {
        match &self.place {
            Some(Where::Pointer(pointer)) => Some(pointer),
            _ => None,
        }
    }

    /// Its JSON.
    pub fn to_json(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Json<'a> {
            r#type: &'a str,
            title: &'a str,
            status: u16,
            code: &'a str,
            detail: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            pointer: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            parameter: Option<&'a str>,
        }
        let (pointer, parameter) = match &self.place {
            None => (None, None),
            Some(Where::Pointer(pointer)) => (Some(&**pointer), None),
            Some(Where::Parameter(name)) => (None, Some(&**name)),
        };
        let json = Json {
            r#type: "about:blank",
            title: title(self.status),
            status: self.status,
            code: self.code,
            detail: &self.detail,
            pointer,
            parameter,
        };
        // Texts and numbers alone: there is nothing that could not be written.
        let mut body = serde_json::to_vec(&json).unwrap_or_default();
        body.push(b'\n');
        body
    }
}

/// What of a client's text is repeated.
pub(crate) fn shortened(text: &str) -> String {
    match text.char_indices().nth(REPEATED) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}

/// What is wrong with a channel's name, in words that name no parameter.
pub(crate) fn of_name(error: ParameterError) -> &'static str {
    match error {
        ParameterError::ChannelNameTooLong => "a channel's name has at most 256 bytes",
        ParameterError::ChannelNameNotUtf8 => "a channel's name is UTF-8",
        ParameterError::ChannelNameControl => "a channel's name has no control characters",
        _ => "a channel's name is not empty",
    }
}

/// What is wrong with a user's id, in words that name no parameter.
pub(crate) fn of_user(error: ParameterError) -> &'static str {
    match error {
        ParameterError::UserNotUtf8 => "a user's id is UTF-8",
        ParameterError::UserControl => "a user's id has no control characters",
        _ => "a user's id has 1 to 128 bytes",
    }
}

/// The reason phrase of a status (RFC 9110, RFC 6585, RFC 4918).
fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        507 => "Insufficient Storage",
        _ => "Internal Server Error",
    }
}
