//! Messages in pieces: where no run of pages is long enough for a message, its bytes stand in single pages.
//!
//! So a message fits whenever there are as many free pages, wherever they are. Its head, and what is short
//! of its options, stand in a block of their own, which leads to the first piece; content and name of the
//! event follow one another in the pieces. Whoever reads has the bytes joined, once for each reading.

use core::cell::OnceCell;

use crate::blocks::Block;
use crate::cell::{Link, Ref, Word};
use crate::geometry::PAGE;
use crate::shard::Guard;
use crate::zone::Zone;

/// What a page begins with that holds bytes of a message.
///
/// Concurrency: written before the message is linked into a ring; `next` is read under a reading epoch, as
/// the message is. Crash: a piece that no linked message leads to is found by the shard's repair.
#[repr(C)]
pub struct Piece {
    /// For limbo: it does not disturb who is reading.
    link: Word,
    next: Link<Piece>,
}

const HEAD: usize = size_of::<Piece>();

/// Bytes of a message in one piece.
const BYTES: usize = PAGE - HEAD;

impl Zone {
    /// The pieces from one on.
    pub(crate) fn pieces(
        &self,
        first: Option<Ref<Piece>>,
    ) -> impl Iterator<Item = Ref<Piece>> + use<'_> {
        let mut at = first;
        // No more than there are pages, whatever another program wrote into the zone.
        (0..self.geometry().pages).map_while(move |_| {
            let place = at?;
            at = self.at(place)?.next.get();
            Some(place)
        })
    }

    /// The first `len` bytes of the pieces.
    ///
    /// # Safety
    ///
    /// The pieces are not freed meanwhile, and nobody writes them any more.
    pub(crate) unsafe fn join(&self, first: Option<Ref<Piece>>, len: usize) -> Box<[u8]> {
        let mut joined = Vec::with_capacity(len);
        for piece in self.pieces(first) {
            let part = BYTES.min(len - joined.len());
            // SAFETY: a piece is a page, of which this is a part behind its head; see the function.
            joined.extend_from_slice(unsafe { self.bytes_at(piece.offset() + HEAD, part) });
            if joined.len() >= len {
                break;
            }
        }
        joined.into_boxed_slice()
    }
}

impl Guard<'_> {
    /// Pieces that hold those bytes, and that nothing leads to yet; `None` when there is no memory.
    pub(crate) fn write_pieces(&self, parts: [&[u8]; 2]) -> Option<Ref<Piece>> {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        // From the last to the first, so that each is written once.
        let mut first = None;
        for number in (0..len.div_ceil(BYTES).max(1)).rev() {
            let Some(place) = self.allocate(PAGE).map(Ref::cast::<Piece>) else {
                self.free_pieces(first);
                return None;
            };
            let mut from = number * BYTES;
            let mut at = place.offset() + HEAD;
            let end = place.offset() + PAGE;
            for part in parts {
                let skipped = from.min(part.len());
                from -= skipped;
                let bytes = &part[skipped..];
                let bytes = &bytes[..bytes.len().min(end - at)];
                // SAFETY: the page was just allocated, and `at` with these bytes is behind its head and
                // not beyond its end.
                unsafe { self.zone.write_at(at, bytes) };
                at += bytes.len();
            }
            if let Some(piece) = self.zone.at(place) {
                piece.next.set(first);
            }
            first = Some(place);
        }
        first
    }

    /// Frees pieces that nothing leads to, and nobody reads.
    pub(crate) fn free_pieces(&self, first: Option<Ref<Piece>>) {
        for piece in self.zone.pieces(first).collect::<Vec<_>>() {
            self.free(piece);
        }
    }

    /// Puts pieces into limbo that nothing leads to any more.
    pub(crate) fn retire_pieces(&self, first: Option<Ref<Piece>>) {
        for piece in self.zone.pieces(first) {
            self.retire(piece.cast::<Block>());
        }
    }
}

/// Bytes that were joined, each under a key; they live as long as this.
#[derive(Default)]
pub(crate) struct Joined(OnceCell<Box<One>>);

struct One {
    key: (u32, u64),
    bytes: Box<[u8]>,
    next: Joined,
}

impl Joined {
    /// The bytes of that key, which are joined if they are not there.
    pub(crate) fn get(&self, key: (u32, u64), join: impl FnOnce() -> Box<[u8]>) -> &[u8] {
        let mut at = self;
        while let Some(one) = at.0.get() {
            if one.key == key {
                return &one.bytes;
            }
            at = &one.next;
        }
        let one = at.0.get_or_init(|| {
            Box::new(One {
                key,
                bytes: join(),
                next: Joined::default(),
            })
        });
        &one.bytes
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        // One after the other, not one within the other.
        let mut next = self.0.take();
        while let Some(mut one) = next {
            next = one.next.0.take();
        }
    }
}
