//! Messages: written once, then immutable.

use crate::blocks::Block;
use crate::broadcast::Body;
use crate::cell::{Long, Ref, Word};
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

/// Where the length of the event's name stands.
const EVENT_SHIFT: u32 = 16;

/// A message's head; in the same block follow what its flags say, its content, and its event's name.
///
/// Concurrency: written before it is linked into a ring, read without any lock under a reading epoch
/// ([`crate::limbo`]). Crash: one that was not linked yet is found by the shard's repair.
#[repr(C)]
pub struct Head {
    link: Word,
    len: Word,
    /// Its kind, flags, and the length of the name of its event.
    about: Word,
    reserved: Word,
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

impl Head {
    /// Whether its bytes are in the commons.
    pub fn is_broadcast(&self) -> bool {
        self.about.get() & 0xff == Kind::Broadcast as u32
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
    /// Fills a message in, whose block has [`size`] bytes; nothing leads to it yet.
    pub(crate) fn write_message(
        &self,
        place: Ref<Head>,
        kind: Kind,
        content: &[u8],
        options: &Options<'_>,
        now: u64,
    ) {
        let Some(head) = self.at(place) else { return };
        let (about, before) = if options.is_plain() {
            (0, 0)
        } else {
            self.write_options(place, content.len(), options)
        };
        head.len.set(content.len() as u32);
        head.about.set(kind as u32 | about);
        head.time.set(now);
        // SAFETY: the caller has just allocated a block with room for all of it here.
        unsafe { self.write_at(place.offset() + HEAD + before, content) };
    }

    /// Writes what a message has beside its content; the flags that say so, and the bytes before the content.
    #[cold]
    fn write_options(
        &self,
        place: Ref<Head>,
        content: usize,
        options: &Options<'_>,
    ) -> (u32, usize) {
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
        let at = place.offset() + HEAD + before + content;
        // SAFETY: the caller of write_message has just allocated a block with room for all of it here.
        unsafe { self.write_at(at, options.event) };
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

    /// The message at a place that a ring led to.
    ///
    /// # Safety
    ///
    /// The message is not freed while the result is used: a reading epoch published before the ring
    /// was read is still published.
    pub(crate) unsafe fn message_at(&self, place: Ref<Head>) -> Message<'_> {
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
    /// A message that nothing leads to yet; `None` when there is no memory.
    pub(crate) fn new_message(
        &self,
        kind: Kind,
        content: &[u8],
        options: &Options<'_>,
        now: u64,
    ) -> Option<Ref<Head>> {
        let place = self.allocate(size(content.len(), options))?.cast::<Head>();
        self.zone.write_message(place, kind, content, options, now);
        Some(place)
    }

    /// A ring of this shard leads to the message no longer.
    pub(crate) fn drop_message(&self, place: Ref<Head>) {
        match self.zone.at(place) {
            Some(head) if head.is_broadcast() => self.drop_broadcast(Body::of(place)),
            _ => self.retire(place.cast::<Block>()),
        }
        self.shard.messages.take(1);
    }
}
