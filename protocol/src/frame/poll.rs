//! The answer to a long poll.

use crate::callback::Callback;
use crate::content::Place;
use crate::message::{Kind, Message};

/// Builds the body of one long-poll answer: a message or an array of them, in a callback if asked.
///
/// One message stands alone (`M`), as the answer to a waiting poll, unless `as_array` says that it
/// is a replay. Several make an array, and so does a broadcast, which brings its `next_seq`. None
/// make an empty array. The body is complete only after [`finish`](Self::finish).
#[derive(Debug)]
#[must_use = "the body is complete only after finish()"]
pub struct PollBatch<'a> {
    out: &'a mut Vec<u8>,
    place: Place,
    start: usize,
    count: usize,
    array: bool,
}

impl<'a> PollBatch<'a> {
    /// Starts a body at the end of `out`. `as_array`: an array even for one message (a replay).
    pub fn new(out: &'a mut Vec<u8>, callback: Option<&Callback<'_>>, as_array: bool) -> Self {
        let place = match callback {
            Some(callback) => {
                callback.open(out);
                Place::Script
            }
            None => Place::Json,
        };
        let start = out.len();
        if as_array {
            out.push(b'[');
        }
        Self {
            out,
            place,
            start,
            count: 0,
            array: as_array,
        }
    }

    /// Adds a message; a broadcast is followed by its `next_seq`, and of one that is skipped there is
    /// nothing.
    pub fn push(&mut self, message: &Message<'_>) {
        if message.kind == Kind::Skipped {
            return;
        }
        if !self.array && (self.count > 0 || message.kind == Kind::Broadcast) {
            // Only a second live message moves bytes, and replays, the long ones, know before.
            self.out.insert(self.start, b'[');
            self.array = true;
        }
        self.write(message);
        if let Some(next_seq) = message.after_broadcast() {
            self.write(&next_seq);
        }
    }

    fn write(&mut self, message: &Message<'_>) {
        if self.count > 0 {
            self.out.push(b',');
        }
        message.write_at(self.place, self.out);
        self.count += 1;
    }

    /// Ends the body with its newline.
    pub fn finish(self) {
        if self.array {
            self.out.push(b']');
        } else if self.count == 0 {
            self.out.extend_from_slice(b"[]");
        }
        self.out.extend_from_slice(match self.place {
            Place::Script => b");\n",
            Place::Json | Place::Html => b"\n",
        });
    }
}
