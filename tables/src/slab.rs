//! A table whose entries keep their index and never move.

/// No entry.
pub const NONE: u32 = u32::MAX;

/// Entries in one page: growing copies no entry, and an empty table costs nothing.
const PAGE: usize = 256;

enum Entry<T> {
    Used(T),
    /// The next free entry, or [`NONE`].
    Free(u32),
}

/// Entries by index; a freed index is used again, the last freed first.
pub struct Slab<T> {
    pages: Vec<Box<[Entry<T>]>>,
    free: u32,
    used: usize,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Slab {
            pages: Vec::new(),
            free: NONE,
            used: 0,
        }
    }
}

impl<T> Slab<T> {
    /// How many entries are used.
    pub fn len(&self) -> usize {
        self.used
    }

    /// Whether no entry is used.
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// One more than the largest index there ever was.
    pub fn capacity(&self) -> u32 {
        (self.pages.len() * PAGE) as u32
    }

    /// The index that the next value will have.
    pub fn next_index(&self) -> u32 {
        match self.free {
            NONE => self.capacity(),
            index => index,
        }
    }

    /// Takes in a value and gives its index. A worker has far fewer than 2^32 connections.
    pub fn insert(&mut self, value: T) -> u32 {
        if self.free == NONE {
            self.grow();
        }
        let index = self.free;
        let entry = &mut self.pages[index as usize / PAGE][index as usize % PAGE];
        if let Entry::Free(next) = *entry {
            self.free = next;
        }
        *entry = Entry::Used(value);
        self.used += 1;
        index
    }

    fn grow(&mut self) {
        let start = self.capacity();
        let page = (0..PAGE as u32).map(|i| {
            let last = i + 1 == PAGE as u32;
            Entry::Free(if last { NONE } else { start + i + 1 })
        });
        self.pages.push(page.collect());
        self.free = start;
    }

    /// The entry, unless it is free.
    pub fn get(&self, index: u32) -> Option<&T> {
        match self
            .pages
            .get(index as usize / PAGE)?
            .get(index as usize % PAGE)?
        {
            Entry::Used(value) => Some(value),
            Entry::Free(_) => None,
        }
    }

    /// The entry to change, unless it is free.
    pub fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        match self
            .pages
            .get_mut(index as usize / PAGE)?
            .get_mut(index as usize % PAGE)?
        {
            Entry::Used(value) => Some(value),
            Entry::Free(_) => None,
        }
    }

    /// Takes the entry out, unless it is free.
    pub fn remove(&mut self, index: u32) -> Option<T> {
        self.get(index)?;
        let entry = &mut self.pages[index as usize / PAGE][index as usize % PAGE];
        let Entry::Used(value) = core::mem::replace(entry, Entry::Free(self.free)) else {
            return None;
        };
        self.free = index;
        self.used -= 1;
        Some(value)
    }
}
