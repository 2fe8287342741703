//! One message as JSON, in the original's key order and without spaces.

use crate::content::{self, Place};
use crate::number;

/// What a message is about: its `type`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Published to the channel; `seq` is the message's.
    Data,
    /// Sent to every channel; `seq` is the message's in this one.
    Broadcast,
    /// Nothing was heard for the idle time; `seq` is the client's own noop counter.
    Noop,
    /// `seq` is the one to ask for next.
    NextSeq,
    /// The channel was closed, or the client is ended; `seq` is the next. See [`Message::close`].
    Close,
    /// Messages before `seq` are gone; the content is their number, or empty if unknown.
    Lost,
    /// It has expired, or is not for this client: nothing is shown of it, but it has been had.
    Skipped,
    /// What the channel's seqs belong to, for a client that asks: the content, from `seq` on.
    Epoch,
    /// An error (401, 429) told as a message; `seq` is 0 and the content says why.
    Status(u16),
}

impl Kind {
    /// The last seq a client has once it has seen this message; `None` if that does not change.
    pub fn last_seq(self, seq: u64) -> Option<u64> {
        match self {
            Self::Data | Self::Broadcast | Self::Skipped => Some(seq),
            Self::NextSeq | Self::Lost | Self::Epoch => Some(seq.saturating_sub(1)),
            Self::Noop | Self::Close | Self::Status(_) => None,
        }
    }
}

/// The content of a `close` whose client is to stay away.
pub const STAY_AWAY: &[u8] = b"stay_away";

/// One message to a subscriber.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The `type`.
    pub kind: Kind,
    /// The channel's name, raw: it is escaped when written.
    pub channel: &'a str,
    /// What `kind` says.
    pub seq: u64,
    /// The inside of a JSON string, already escaped (see [`crate::content`]).
    pub content: &'a [u8],
    /// The name of its event (see [`crate::option`]); empty when it has none.
    pub event: &'a str,
}

impl<'a> Message<'a> {
    /// A message without content: `noop`, `next_seq`, or `lost` by an unknown number.
    pub fn bare(kind: Kind, channel: &'a str, seq: u64) -> Self {
        Self {
            kind,
            channel,
            seq,
            content: b"",
            event: "",
        }
    }

    /// The end of a subscription: `close`, after which the client comes back or is to stay away.
    pub fn close(channel: &'a str, seq: u64, stay_away: bool) -> Self {
        Self {
            content: if stay_away { STAY_AWAY } else { b"" },
            ..Self::bare(Kind::Close, channel, seq)
        }
    }

    /// It tells its client to stay away.
    pub fn stays_away(&self) -> bool {
        self.kind == Kind::Close && self.content == STAY_AWAY
    }

    /// The `next_seq` that follows a broadcast, for clients that do not count broadcasts.
    pub fn after_broadcast(&self) -> Option<Self> {
        (self.kind == Kind::Broadcast)
            .then(|| Self::bare(Kind::NextSeq, self.channel, self.seq.saturating_add(1)))
    }

    /// Appends the message as one JSON object.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        self.write_at(Place::Json, out);
    }

    /// Bytes that the message takes as JSON, about: escapes may add to it.
    pub(crate) fn size_hint(&self) -> usize {
        /// Keys, punctuation, the longest type and the longest seq, rounded up.
        const AROUND: usize = 80;
        AROUND + self.channel.len() + self.content.len() + self.event.len()
    }

    pub(crate) fn write_at(&self, place: Place, out: &mut Vec<u8>) {
        out.reserve(self.size_hint());
        out.extend_from_slice(b"{\"type\":\"");
        match self.kind {
            Kind::Data => out.extend_from_slice(b"data"),
            Kind::Broadcast => out.extend_from_slice(b"broadcast"),
            Kind::Noop => out.extend_from_slice(b"noop"),
            Kind::NextSeq => out.extend_from_slice(b"next_seq"),
            Kind::Close => out.extend_from_slice(b"close"),
            Kind::Lost => out.extend_from_slice(b"lost"),
            Kind::Epoch => out.extend_from_slice(b"epoch"),
            Kind::Skipped => out.extend_from_slice(b"skipped"),
            Kind::Status(status) => number::write_u64(status.into(), out),
        }
        out.extend_from_slice(b"\",\"cname\":\"");
        content::write_text(self.channel, place, out);
        out.extend_from_slice(b"\",\"seq\":");
        number::write_u64(self.seq, out);
        out.extend_from_slice(b",\"content\":\"");
        content::write_encoded(self.content, place, out);
        if !self.event.is_empty() {
            out.extend_from_slice(b"\",\"event\":\"");
            content::write_text(self.event, place, out);
        }
        out.extend_from_slice(b"\"}");
    }
}
