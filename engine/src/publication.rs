//! What is published: content, and what its publisher may say of it.

use crate::once::Once;

/// Longest name of an event in bytes.
pub const MAX_EVENT: usize = 256;

/// What a message carries beside its content. A message without any of it takes no memory for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options<'a> {
    /// The event's name; empty when it has none.
    pub event: &'a [u8],
    /// The tag of the user who does not get it ([`crate::Zone::user_tag`]); 0: everybody gets it.
    pub exclude: u64,
    /// When it ends by itself, in milliseconds of the clock that callers give.
    pub until: Option<u64>,
}

impl Options<'_> {
    /// Nothing is said, as of almost all messages.
    pub(crate) fn is_plain(&self) -> bool {
        self.event.is_empty() && self.exclude == 0 && self.until.is_none()
    }
}

/// A message to be published.
#[derive(Clone, Copy, Debug, Default)]
pub struct Publication<'a> {
    /// What subscribers get.
    pub content: &'a [u8],
    /// The event's name, of [`MAX_EVENT`] bytes at most; empty when it has none.
    pub event: &'a [u8],
    /// The tag of the user who does not get it; 0: everybody gets it.
    pub exclude: u64,
    /// After how many milliseconds nobody gets it any more. What the channel's `message_ttl` says holds
    /// as well.
    pub ttl: Option<u64>,
    /// It is published once, however often that is asked for.
    pub once: Option<Once<'a>>,
}

impl Publication<'_> {
    /// Whether more is said of it than its content.
    pub fn has_options(&self) -> bool {
        !self.event.is_empty() || self.exclude != 0 || self.ttl.is_some()
    }
}

impl<'a> From<&'a [u8]> for Publication<'a> {
    fn from(content: &'a [u8]) -> Self {
        Publication {
            content,
            ..Publication::default()
        }
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Publication<'a> {
    fn from(content: &'a [u8; N]) -> Self {
        content.as_slice().into()
    }
}

impl<'a> From<&'a Vec<u8>> for Publication<'a> {
    fn from(content: &'a Vec<u8>) -> Self {
        content.as_slice().into()
    }
}
