//! Messages: written once, then immutable.

use crate::blocks::Block;
use crate::broadcast::Body;
use crate::cell::{Long, Ref, Word};
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
}

/// A message's head; its bytes follow it in the same block.
///
/// Concurrency: written before it is linked into a ring, read without any lock under a reading epoch
/// ([`crate::limbo`]). Crash: one that was not linked yet is found by the shard's repair.
#[repr(C)]
pub struct Head {
    link: Word,
    len: Word,
    kind: Word,
    reserved: Word,
    time: Long,
}

/// Bytes of a message's head.
pub const HEAD: usize = size_of::<Head>();

/// A message found under a [`crate::Reading`], and good as long as that lives.
#[derive(Clone, Copy, Debug)]
pub struct MessageRef(pub(crate) Ref<Head>);

/// A message's contents.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// What it is.
    pub kind: Kind,
    /// When it was published, in milliseconds of the clock that callers give.
    pub time: u64,
    /// What was published; for presence events the channel's name.
    pub content: &'a [u8],
}

impl Head {
    /// Whether its bytes are in the commons.
    pub fn is_broadcast(&self) -> bool {
        self.kind.get() == Kind::Broadcast as u32
    }
}

impl Zone {
    /// Fills a message's head and bytes in; nothing leads to them yet.
    pub(crate) fn write_message(&self, place: Ref<Head>, kind: Kind, content: &[u8], now: u64) {
        let Some(head) = self.at(place) else { return };
        head.len.set(content.len() as u32);
        head.kind.set(kind as u32);
        head.time.set(now);
        // SAFETY: the caller has just allocated a block with room for head and content here.
        unsafe { self.write_at(place.offset() + HEAD, content) };
    }

    /// The message at a place that a ring led to.
    ///
    /// # Safety
    ///
    /// The message is not freed while the result is used: a reading epoch published before the ring
    /// was read is still published.
    pub(crate) unsafe fn message_at(&self, place: Ref<Head>) -> Message<'_> {
        let Some(head) = self.at(place) else {
            return Message {
                kind: Kind::Data,
                time: 0,
                content: &[],
            };
        };
        let kind = match head.kind.get() {
            1 => Kind::Broadcast,
            2 => Kind::Online,
            3 => Kind::Offline,
            _ => Kind::Data,
        };
        // SAFETY: a linked message is immutable; see the function.
        let content = unsafe { self.bytes_at(place.offset() + HEAD, head.len.get() as usize) };
        Message {
            kind,
            time: head.time.get(),
            content,
        }
    }
}

impl Guard<'_> {
    /// A message that nothing leads to yet; `None` when there is no memory.
    pub(crate) fn new_message(&self, kind: Kind, content: &[u8], now: u64) -> Option<Ref<Head>> {
        let place = self.allocate(HEAD + content.len())?.cast::<Head>();
        self.zone.write_message(place, kind, content, now);
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
