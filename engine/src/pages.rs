//! Pages: the memory that shards take blocks from.
//!
//! A page, or a run of pages, is free or belongs to one shard, which cuts it into blocks of one size
//! ([`crate::blocks`]). The descriptor of a run's first page says so by one store; the bitmap and
//! the count of free pages only make finding quick, and are made anew from the descriptors when a
//! process dies with the pool's lock, or unwinds out of it.
//!
//! A single page is taken as far at the beginning as there is one, a run as far at the end: so small blocks
//! and large ones are apart, and what frees one run leaves room for another.

use crate::busy;
use crate::cell::{Long, Ref, Word};
use crate::geometry::PAGE;
use crate::robust::{Locked, RobustMutex};
use crate::zone::Zone;

/// Stretches of free pages that are looked at for a run. Where more are too short, what wants a run takes
/// single pages ([`crate::pieces`]), or is refused.
const STRETCHES: usize = 1 << 16;

/// No page's number, as there are not so many.
const BROKEN: u32 = u32::MAX;

/// Class of a run of pages that is one block.
pub const RUN: u8 = u8::MAX;

/// A page's descriptor.
///
/// Concurrency: `state` is written under the pool's lock; the rest under the lock of the shard that
/// owns the page. Crash: `state` is one store. The others are made anew by the shard's repair.
#[repr(C)]
pub struct Page {
    /// 0: free, or not the first page of a run. Else owner + 1, class, and pages in the run.
    state: Long,
    /// First free block, as its number + 1.
    pub free: Word,
    /// Blocks from this number on have never been used.
    pub fresh: Word,
    /// Blocks that are used.
    pub used: Word,
    /// The page before it in the shard's list of pages with room, as its number + 1.
    pub previous: Word,
    /// The page after it.
    pub next: Word,
    reserved: Word,
}

/// Who owns a run, and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owned {
    /// The shard.
    pub shard: u32,
    /// The size class of its blocks, or [`RUN`].
    pub class: u8,
    /// Pages in the run.
    pub pages: u32,
}

impl Page {
    /// Whose it is; `None` when it is free, or inside a run.
    pub fn owned(&self) -> Option<Owned> {
        let state = self.state.get();
        let owner = (state >> 40) as u32;
        (owner != 0).then(|| Owned {
            shard: owner - 1,
            class: (state >> 32) as u8,
            pages: (state as u32).max(1),
        })
    }

    fn set_owned(&self, owned: Owned) {
        let Owned {
            shard,
            class,
            pages,
        } = owned;
        self.state
            .set((u64::from(shard) + 1) << 40 | u64::from(class) << 32 | u64::from(pages));
    }
}

/// The pool of free pages: its lock and counts.
///
/// Crash: see the module.
#[repr(C)]
pub struct PagePool {
    lock: RobustMutex,
    /// Free pages.
    pub free: Word,
    /// No page before this one is free; [`BROKEN`] when the pool is to be made anew.
    hint: Word,
}

impl PagePool {
    /// Makes the pool of a fresh zone.
    pub fn init(&self, pages: u32) -> Result<(), i32> {
        self.lock.init()?;
        self.free.set(pages);
        Ok(())
    }
}

struct Guard<'z>(&'z PagePool);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        // Unwinding leaves it half done, as a death would.
        if std::thread::panicking() {
            self.0.hint.set(BROKEN);
        }
        self.0.lock.unlock();
    }
}

impl Zone {
    /// A page's descriptor.
    pub(crate) fn page(&self, index: usize) -> &Page {
        debug_assert!(index < self.geometry().pages as usize);
        let index = index.min(self.geometry().pages as usize - 1);
        // SAFETY: the geometry has a descriptor for each page.
        unsafe { self.element(self.geometry().descriptors_at, index) }
    }

    /// The page that a block stands in.
    pub(crate) fn page_of<T>(&self, block: Ref<T>) -> usize {
        block
            .offset()
            .saturating_sub(self.geometry().pages_at as usize)
            / PAGE
    }

    /// Where a page begins, in bytes from the base.
    pub(crate) fn page_start(&self, index: usize) -> usize {
        self.geometry().pages_at as usize + index * PAGE
    }

    fn bits(&self, word: usize) -> &Long {
        // SAFETY: the geometry has a bitmap word for each 64 pages.
        unsafe { self.element(self.geometry().bitmap_at, word) }
    }

    fn lock_pool(&self) -> Option<Guard<'_>> {
        let pool = &self.header().pool;
        let locked = busy::lock(&pool.lock, "the free pages")?;
        let guard = Guard(pool);
        if locked == Locked::OwnerDied || pool.hint.get() == BROKEN {
            self.rebuild_pool();
        }
        Some(guard)
    }

    fn rebuild_pool(&self) {
        let pages = self.geometry().pages as usize;
        for word in 0..pages.div_ceil(64) {
            self.bits(word).set(0);
        }
        let mut free = pages;
        let mut index = 0;
        while index < pages {
            let run = self
                .page(index)
                .owned()
                .map_or(0, |owned| owned.pages as usize);
            for used in index..(index + run).min(pages) {
                self.mark(used, true);
                free -= 1;
            }
            index += run.max(1);
        }
        self.header().pool.free.set(free as u32);
        self.header().pool.hint.set(0);
    }

    fn mark(&self, page: usize, used: bool) {
        let word = self.bits(page / 64);
        let bit = 1u64 << (page % 64);
        word.set(if used {
            word.get() | bit
        } else {
            word.get() & !bit
        });
    }

    fn is_used(&self, page: usize) -> bool {
        self.bits(page / 64).get() >> (page % 64) & 1 == 1
    }

    /// Takes a run of pages for a shard, whose lock is held; `None` when there is none that long.
    pub(crate) fn take_pages(&self, owned: Owned) -> Option<usize> {
        let guard = self.lock_pool()?;
        let want = owned.pages as usize;
        if (guard.0.free.get() as usize) < want {
            return None;
        }
        let start = if want == 1 {
            let start = self.first_free(guard.0.hint.get() as usize)?;
            guard.0.hint.set(start as u32 + 1);
            start
        } else {
            self.last_run(want)?
        };
        let page = self.page(start);
        page.free.set(0);
        page.fresh.set(0);
        page.used.set(0);
        page.previous.set(0);
        page.next.set(0);
        page.set_owned(owned);
        for index in start..start + want {
            self.mark(index, true);
        }
        guard.0.free.take(want as u32);
        Some(start)
    }

    /// The first free page from `from` on.
    fn first_free(&self, from: usize) -> Option<usize> {
        let total = self.geometry().pages as usize;
        let first = from / 64;
        for word in first..total.div_ceil(64) {
            let mut free = !self.bits(word).get();
            if word == first {
                free &= u64::MAX << (from % 64);
            }
            if free != 0 {
                let page = word * 64 + free.trailing_zeros() as usize;
                return (page < total).then_some(page);
            }
        }
        None
    }

    /// The last run of `want` free pages, of the first [`STRETCHES`] that are looked at from the end on.
    fn last_run(&self, want: usize) -> Option<usize> {
        let mut end = self.geometry().pages as usize;
        for _ in 0..STRETCHES {
            // Down over what is used, then over what is free.
            let free_to = self.skip_down(end, true);
            let free_from = self.skip_down(free_to, false);
            if free_to - free_from >= want {
                return Some(free_to - want);
            }
            end = free_from;
            if end < want {
                break;
            }
        }
        None
    }

    /// Where the stretch of used pages, or of free ones, begins that ends before `end`.
    fn skip_down(&self, mut end: usize, used: bool) -> usize {
        while end > 0 {
            let in_word = (end - 1) % 64 + 1;
            let bits = self.bits((end - 1) / 64).get();
            let bits = if used { bits } else { !bits };
            let skipped = ((bits << (64 - in_word)).leading_ones() as usize).min(in_word);
            end -= skipped;
            if skipped < in_word {
                break;
            }
        }
        end
    }

    /// Gives a run back; its shard's lock is held, and nothing leads into it any more. Whether it could.
    pub(crate) fn give_pages(&self, start: usize) -> bool {
        let Some(guard) = self.lock_pool() else {
            return false;
        };
        let page = self.page(start);
        let Some(owned) = page.owned() else {
            return true;
        };
        page.state.set(0);
        let end = (start + owned.pages as usize).min(self.geometry().pages as usize);
        for index in start..end {
            self.mark(index, false);
        }
        guard.0.free.add((end - start) as u32);
        if start < guard.0.hint.get() as usize {
            guard.0.hint.set(start as u32);
        }
        true
    }

    /// The runs that a shard owns, as their first pages.
    pub(crate) fn pages_of(&self, shard: usize) -> impl Iterator<Item = (usize, Owned)> + '_ {
        let total = self.geometry().pages as usize;
        let mut index = 0;
        core::iter::from_fn(move || {
            while index < total {
                let at = index;
                let owned = self.page(at).owned();
                index += owned.map_or(1, |owned| owned.pages as usize);
                if let Some(owned) = owned.filter(|owned| owned.shard as usize == shard) {
                    return Some((at, owned));
                }
            }
            None
        })
    }

    /// Checks the pool against the descriptors; takes its lock.
    pub(crate) fn verify_pool(&self, faults: &mut Vec<String>) {
        let guard = self.surely(|_| self.lock_pool());
        let pages = self.geometry().pages as usize;
        let mut free = 0;
        let mut index = 0;
        while index < pages {
            let run = self
                .page(index)
                .owned()
                .map_or(0, |owned| owned.pages as usize);
            for page in index..(index + run.max(1)).min(pages) {
                if self.is_used(page) != (run > 0) {
                    faults.push(format!(
                        "page {page}: its bit does not say what its run says"
                    ));
                }
                if page > index && self.page(page).owned().is_some() {
                    faults.push(format!("page {page}: a run inside the run of page {index}"));
                }
            }
            free += usize::from(run == 0);
            index += run.max(1);
        }
        let first = self.first_free(0).unwrap_or(pages);
        if first < guard.0.hint.get() as usize {
            faults.push(format!("page {first} is free, and would not be found"));
        }
        if free as u32 != guard.0.free.get() {
            faults.push(format!(
                "{free} pages are free, {} are counted",
                guard.0.free.get()
            ));
        }
    }
}
