//! Messages: written once, then immutable.

use crate::blocks::Block;
use crate::broadcast::Body;
use crate::cell::{Link, Long, Ref, Word};
use crate::geometry::PAGE;
use crate::pieces::{Joined, Piece};
use crate::publication::Options;
use crate::shard::Guard;
use crate::zone::Zone;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// Published to the channel.
    Data = 0,
    /// Published to all channels; its bytes stand once in the zone.
    Broadcast = 1,
    /// In a presence log: the channel of that name came.
    Online = 2,
    /// In a presence log: it went.
    Offline = 3,
    /// Its time is over, and only its seq is left. No head says so: its ring does.
    Expired = 4,
}

/// Its time of its own follows the head.
const HAS_UNTIL: u32 = 1 << 8;

/// The tag of the user who does not get it follows.
const HAS_EXCLUDE: u32 = 1 << 9;

/// Content and name of the event stand in pieces ([`crate::pieces`]).
const HAS_PIECES: u32 = 1 << 10;

/// Where the length of the event's name stands.
const EVENT_SHIFT: u32 = 16;

/// A message's head; in the same block follow what its flags say, and, unless they are in pieces, its
/// content and its event's name.
///
/// Concurrency: written before it is linked into a ring, read without any lock under a reading epoch
/// ([`crate::limbo`]). Crash: one that was not linked yet is found by the shard's repair.
#[repr(C)]
pub struct Head {
    link: Word,
    len: Word,
    /// Its kind, flags, and the length of the name of its event.
    about: Word,
    /// The first of its pieces, if it has any.
    pieces: Link<Piece>,
    time: Long,
}

/// Bytes of a message's head.
pub const HEAD: usize = size_of::<Head>();

/// A message found under a [`crate::Reading`], and good as long as that lives; or the place of one that
/// has expired.
#[derive(Clone, Copy, Debug)]
pub struct MessageRef(pub(crate) Option<Ref<Head>>);

/// A message's contents.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// What it is.
    pub kind: Kind,
    /// When it was published, in milliseconds of the clock that callers give. One that outlived a restart
    /// may be older than that clock, so this wraps: see [`Message::age`].
    pub time: u64,
    /// What was published; for presence events the channel's name.
    pub content: &'a [u8],
    /// What its publisher said of it.
    pub options: Options<'a>,
}

impl Message<'_> {
    /// What is left of one that has expired.
    pub(crate) const EXPIRED: Message<'static> = Message {
        kind: Kind::Expired,
        time: 0,
        content: &[],
        options: Options {
            event: &[],
            exclude: 0,
            until: None,
        },
    };

    /// Milliseconds since it was published.
    pub fn age(&self, now: u64) -> u64 {
        age(self.time, now)
    }
}

/// Milliseconds from a time to `now`; 0 for one that is yet to come, as another worker's clock may say.
pub(crate) fn age(time: u64, now: u64) -> u64 {
    let age = now.wrapping_sub(time);
    if age > u64::MAX / 2 { 0 } else { age }
}

/// Bytes of a message's block.
pub(crate) fn size(content: usize, options: &Options<'_>) -> usize {
    if options.is_plain() {
        return HEAD + content;
    }
    let numbers = usize::from(options.until.is_some()) + usize::from(options.exclude != 0);
    HEAD + numbers * size_of::<Long>() + content + options.event.len()
}

/// Bytes of the block of a message in pieces.
fn size_without_bytes(options: &Options<'_>) -> usize {
    size(
        0,
        &Options {
            event: &[],
            ..*options
        },
    )
}

impl Head {
    /// Whether its bytes are in the commons.
    pub fn is_broadcast(&self) -> bool {
        self.about.get() & 0xff == Kind::Broadcast as u32
    }

    /// The first of its pieces, if it has any.
    pub(crate) fn pieces(&self) -> Option<Ref<Piece>> {
        let has = self.about.get() & HAS_PIECES != 0;
        self.pieces.get().filter(|_| has)
    }

    /// When it was published, in milliseconds.
    pub(crate) fn time(&self) -> u64 {
        self.time.get()
    }

    /// Milliseconds since it was published.
    pub(crate) fn age(&self, now: u64) -> u64 {
        age(self.time.get(), now)
    }
}

impl Zone {
    /// Fills a message in, whose block has [`size`] bytes; or, if its bytes are in `pieces` already, as many
    /// as that is without them. Nothing leads to it yet.
    pub(crate) fn write_message(
        &self,
        place: Ref<Head>,
        kind: Kind,
        content: &[u8],
        options: &Options<'_>,
        now: u64,
        pieces: Option<Ref<Piece>>,
    ) {
        let Some(head) = self.at(place) else { return };
        let (mut about, before) = if options.is_plain() {
            (0, 0)
        } else {
            self.write_options(place, options)
        };
        head.len.set(content.len() as u32);
        if pieces.is_some() {
            head.pieces.set(pieces);
            about |= HAS_PIECES;
        }
        head.about.set(kind as u32 | about);
        head.time.set(now);
        if pieces.is_some() {
            return;
        }
        let at = place.offset() + HEAD + before;
        // SAFETY: the caller has just allocated a block with room for all of it here.
        unsafe { self.write_at(at, content) };
        if !options.event.is_empty() {
            // SAFETY: as above.
            unsafe { self.write_at(at + content.len(), options.event) };
        }
    }

    /// Writes what a message has before its content; the flags that say so, and how many bytes that are.
    #[cold]
    fn write_options(&self, place: Ref<Head>, options: &Options<'_>) -> (u32, usize) {
        let mut about = (options.event.len() as u32) << EVENT_SHIFT;
        let mut before = 0;
        let exclude = (options.exclude != 0).then_some(options.exclude);
        for (flag, number) in [(HAS_UNTIL, options.until), (HAS_EXCLUDE, exclude)] {
            if let Some(number) = number
                && let Some(long) = self.at::<Long>(place.forward(HEAD + before))
            {
                long.set(number);
                about |= flag;
                before += size_of::<Long>();
            }
        }
        (about, before)
    }

    /// When a message ends by itself.
    pub(crate) fn message_until(&self, place: Ref<Head>) -> Option<u64> {
        let head = self.at(place)?;
        if head.about.get() & HAS_UNTIL == 0 {
            return None;
        }
        Some(self.at::<Long>(place.forward(HEAD))?.get())
    }

    /// The tag of the user who does not get a message; 0: everybody gets it.
    pub(crate) fn message_exclude(&self, place: Ref<Head>) -> u64 {
        let about = self.at(place).map_or(0, |head| head.about.get());
        if about & HAS_EXCLUDE == 0 {
            return 0;
        }
        let before = if about & HAS_UNTIL != 0 {
            size_of::<Long>()
        } else {
            0
        };
        let tag = self.at::<Long>(place.forward(HEAD + before));
        tag.map_or(0, Long::get)
    }

    /// The message at a place that a ring led to. If it is in pieces its bytes are in `joined`, under a key
    /// that with `epoch` is of no other message.
    ///
    /// # Safety
    ///
    /// The message is not freed while the result is used: a reading epoch published before the ring
    /// was read is still published.
    pub(crate) unsafe fn message_at<'a>(
        &'a self,
        place: Ref<Head>,
        joined: &'a Joined,
        epoch: u64,
    ) -> Message<'a> {
        let Some(head) = self.at(place) else {
            return Message::EXPIRED;
        };
        let about = head.about.get();
        let kind = match about & 0xff {
            1 => Kind::Broadcast,
            2 => Kind::Online,
            3 => Kind::Offline,
            _ => Kind::Data,
        };
        let len = head.len.get() as usize;
        let mut at = place.offset() + HEAD;
        let mut options = Options::default();
        if about & HAS_PIECES != 0 {
            options.until = self.message_until(place);
            options.exclude = self.message_exclude(place);
            let event = (about >> EVENT_SHIFT) as usize;
            let bytes = joined.get((place.units(), epoch), || {
                // SAFETY: the pieces of a linked message are immutable, and freed no sooner than it;
                // see the function.
                unsafe { self.join(head.pieces(), len + event) }
            });
            let (content, event) = bytes.split_at(len.min(bytes.len()));
            options.event = event;
            return Message {
                kind,
                time: head.time.get(),
                content,
                options,
            };
        }
        if about > 0xff {
            options.until = self.message_until(place);
            options.exclude = self.message_exclude(place);
            at += (about & (HAS_UNTIL | HAS_EXCLUDE)).count_ones() as usize * size_of::<Long>();
            let event = (about >> EVENT_SHIFT) as usize;
            // SAFETY: a linked message is immutable; see the function.
            options.event = unsafe { self.bytes_at(at + len, event) };
        }
        // SAFETY: as above.
        let content = unsafe { self.bytes_at(at, len) };
        Message {
            kind,
            time: head.time.get(),
            content,
            options,
        }
    }
}

impl Guard<'_> {
    /// A message that nothing leads to yet; `None` when there is no memory. Where no run of pages is long
    /// enough it is made of pieces.
    pub(crate) fn new_message(
        &self,
        kind: Kind,
        content: &[u8],
        options: &Options<'_>,
        now: u64,
    ) -> Option<Ref<Head>> {
        let mut pieces = None;
        let size = size(content.len(), options);
        let place = match self.allocate(size) {
            None if size > PAGE => {
                pieces = Some(self.write_pieces([content, options.event])?);
                let place = self.allocate(size_without_bytes(options));
                if place.is_none() {
                    self.free_pieces(pieces);
                }
                place
            }
            place => place,
        };
        let place = place?.cast::<Head>();
        self.zone
            .write_message(place, kind, content, options, now, pieces);
        Some(place)
    }

    /// Frees a message that nothing led to.
    pub(crate) fn free_message(&self, place: Ref<Head>) {
        self.free_pieces(self.zone.at(place).and_then(Head::pieces));
        self.free(place);
    }

    /// A ring of this shard leads to the message no longer.
    pub(crate) fn drop_message(&self, place: Ref<Head>) {
        match self.zone.at(place) {
            Some(head) if head.is_broadcast() => self.drop_broadcast(Body::of(place)),
            head => {
                self.retire_pieces(head.and_then(Head::pieces));
                self.retire(place.cast::<Block>());
            }
        }
        self.shard.messages.take(1);
    }
}
