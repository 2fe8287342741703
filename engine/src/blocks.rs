//! Blocks: what a shard cuts its pages into.
//!
//! Every block begins with a link word that the block's user leaves alone: it chains free blocks in
//! a page, and blocks in limbo. All functions are called with the shard's lock held. A process
//! killed inside one leaves lists that the shard's repair makes anew.

use crate::busy;
use crate::cell::{Ref, Word};
use crate::geometry::PAGE;
use crate::pages::{Owned, Page, RUN};
use crate::shard::Guard;

/// Block sizes in bytes, about an eighth apart; larger blocks are runs of whole pages.
pub const SIZES: [u16; 24] = [
    16, 24, 32, 40, 48, 64, 80, 96, 112, 128, 144, 160, 192, 224, 256, 320, 408, 512, 584, 680,
    816, 1024, 1360, 2048,
];

/// Blocks taken back from limbo at a time when there is no memory.
const RECLAIM: usize = 512;

/// How many classes of blocks there are.
pub const CLASSES: usize = SIZES.len();

/// The class of blocks that hold `size` bytes; `None` for a run of pages.
pub fn class_of(size: usize) -> Option<usize> {
    SIZES.iter().position(|class| usize::from(*class) >= size)
}

/// How many blocks of a class a page holds.
pub fn blocks_in_page(class: usize) -> u32 {
    SIZES
        .get(class)
        .map_or(1, |size| (PAGE / usize::from(*size)) as u32)
}

/// What every block begins with.
#[repr(C)]
pub struct Block {
    /// The next in whatever list the block is in while nobody uses it.
    pub link: Word,
}

impl Guard<'_> {
    /// A block of at least `size` bytes; `None` when the zone has no memory for it. What it holds is
    /// undefined but for being initialised memory.
    pub(crate) fn allocate(&self, size: usize) -> Option<Ref<Block>> {
        let mut block = self.try_allocate(size);
        // What waits in limbo may be past its readers by now. A block of another size than wanted
        // helps only with the last of its page, so this goes on as long as there are any.
        while block.is_none()
            && !busy::was_refused()
            && self.reclaim(RECLAIM) + self.give_back_empty() > 0
        {
            block = self.try_allocate(size);
        }
        block
    }

    /// Gives the pages back that were kept though all of their blocks are free; how many.
    pub(crate) fn give_back_empty(&self) -> usize {
        let given = (0..CLASSES).filter(|class| self.give_back_first(*class));
        given.count()
    }

    /// Gives the first page with room of a class back, if all of its blocks are free; whether it was. Such
    /// a page is the only one in its list.
    fn give_back_first(&self, class: usize) -> bool {
        let first = self.shard.partial[class].get() as usize;
        let is_empty = first != 0 && self.zone.page(first - 1).used.get() == 0;
        if is_empty {
            return self.give_back_page(first - 1, class);
        }
        false
    }

    fn try_allocate(&self, size: usize) -> Option<Ref<Block>> {
        let Some(class) = class_of(size) else {
            let pages = u32::try_from(size.div_ceil(PAGE)).ok()?;
            let owned = Owned {
                shard: self.index as u32,
                class: RUN,
                pages,
            };
            let page = self.zone.take_pages(owned)?;
            self.zone.page(page).used.set(1);
            return Some(Ref::at(self.zone.page_start(page)));
        };
        let page = match self.shard.partial[class].get() {
            0 => self.new_page(class)?,
            number => number as usize - 1,
        };
        Some(self.take_block(page, class))
    }

    fn new_page(&self, class: usize) -> Option<usize> {
        let owned = Owned {
            shard: self.index as u32,
            class: class as u8,
            pages: 1,
        };
        let page = self.zone.take_pages(owned)?;
        self.link_page(page, class);
        Some(page)
    }

    fn take_block(&self, index: usize, class: usize) -> Ref<Block> {
        let page = self.zone.page(index);
        let number = match page.free.get() {
            0 => {
                let fresh = page.fresh.get();
                page.fresh.set(fresh + 1);
                fresh
            }
            free => {
                let block = self.block(index, class, free - 1);
                page.free
                    .set(self.zone.at(block).map_or(0, |block| block.link.get()));
                free - 1
            }
        };
        page.used.add(1);
        if page.free.get() == 0 && page.fresh.get() >= blocks_in_page(class) {
            self.unlink_page(index, class);
        }
        self.block(index, class, number)
    }

    fn block(&self, page: usize, class: usize, number: u32) -> Ref<Block> {
        let size = usize::from(SIZES[class]);
        Ref::at(self.zone.page_start(page) + number as usize * size)
    }

    /// Frees a block that nothing leads to, and that no reader can be reading.
    pub(crate) fn free<T>(&self, block: Ref<T>) {
        let index = self.zone.page_of(block);
        let page = self.zone.page(index);
        let Some(owned) = page.owned() else { return };
        if owned.class == RUN {
            if !self.zone.give_pages(index) {
                // Tried again when what is in limbo is.
                self.retire(block);
            }
            return;
        }
        let class = usize::from(owned.class);
        let size = usize::from(SIZES[class]);
        let number = (block.offset() - self.zone.page_start(index)) / size;
        let was_full = page.free.get() == 0 && page.fresh.get() >= blocks_in_page(class);
        if let Some(block) = self.zone.at(block.cast::<Block>()) {
            block.link.set(page.free.get());
        }
        page.free.set(number as u32 + 1);
        page.used.take(1);
        if was_full {
            // Another one with room is there now.
            self.give_back_first(class);
            self.link_page(index, class);
        }
        // One page with room stays, so that a block that comes and goes costs no pool lock, until the zone
        // is full or the shard's wheel is turned.
        let is_only = page.previous.get() == 0 && page.next.get() == 0;
        if page.used.get() == 0 && !is_only {
            self.give_back_page(index, class);
        }
    }

    /// Gives a page back that is in the list of its class, and all of whose blocks are free.
    fn give_back_page(&self, index: usize, class: usize) -> bool {
        self.unlink_page(index, class);
        let given = self.zone.give_pages(index);
        if !given {
            self.link_page(index, class);
        }
        given
    }

    /// Puts a page with room at the head of its class's list.
    pub(crate) fn link_page(&self, index: usize, class: usize) {
        let head = &self.shard.partial[class];
        let page = self.zone.page(index);
        let next = head.get();
        page.previous.set(0);
        page.next.set(next);
        if next != 0 {
            self.zone
                .page(next as usize - 1)
                .previous
                .set(index as u32 + 1);
        }
        head.set(index as u32 + 1);
    }

    fn unlink_page(&self, index: usize, class: usize) {
        let page: &Page = self.zone.page(index);
        let (previous, next) = (page.previous.get(), page.next.get());
        match previous {
            0 => self.shard.partial[class].set(next),
            _ => self.zone.page(previous as usize - 1).next.set(next),
        }
        if next != 0 {
            self.zone.page(next as usize - 1).previous.set(previous);
        }
        page.previous.set(0);
        page.next.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_holds_what_it_is_asked_for() {
        for size in 1..=2048 {
            let class = class_of(size).unwrap();
            assert!(usize::from(SIZES[class]) >= size);
            assert!(class == 0 || usize::from(SIZES[class - 1]) < size);
        }
        assert_eq!(class_of(2049), None);
        assert!(SIZES.iter().all(|size| size % 8 == 0));
    }
}
