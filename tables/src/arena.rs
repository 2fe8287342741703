//! Blocks of bytes of any size, for what is kept of each parked request.
//!
//! A million small blocks of different sizes come and go; each costs its bytes, two for its length,
//! and what is missing to a multiple of 16. A freed block is used again for one of its size.

use crate::slab::Slab;

/// Blocks are multiples of this many bytes.
const UNIT: usize = 16;

/// Units in one chunk, which is what is asked of the allocator.
const CHUNK: usize = 4096;

/// Units in the largest block of a chunk; what is larger has memory of its own.
const LARGEST: usize = 64;

/// Bytes in front of a block's own: its length.
const HEAD: usize = size_of::<u16>();

/// Marks the handle of a block with memory of its own.
const LARGE: u32 = 1 << 31;

/// No free block.
const NONE: u32 = u32::MAX;

/// The blocks.
pub struct Arena {
    chunks: Vec<Box<[u8]>>,
    /// Units of the last chunk that were given out.
    used: usize,
    /// The first free block by its units; each names the next.
    free: [u32; LARGEST + 1],
    large: Slab<Box<[u8]>>,
}

impl Default for Arena {
    fn default() -> Self {
        Arena {
            chunks: Vec::new(),
            used: CHUNK,
            free: [NONE; LARGEST + 1],
            large: Slab::default(),
        }
    }
}

fn units(len: usize) -> usize {
    (len + HEAD).div_ceil(UNIT)
}

impl Arena {
    /// Takes in a copy of the bytes, and gives the handle of it.
    pub fn insert(&mut self, bytes: &[u8]) -> u32 {
        let units = units(bytes.len());
        if units > LARGEST {
            return LARGE | self.large.insert(bytes.into());
        }
        let handle = self.allocate(units);
        let block = self.block_mut(handle);
        block[..HEAD].copy_from_slice(&(bytes.len() as u16).to_ne_bytes());
        block[HEAD..HEAD + bytes.len()].copy_from_slice(bytes);
        handle
    }

    /// The bytes of a block; none for a handle that is not one.
    pub fn get(&self, handle: u32) -> &[u8] {
        if handle & LARGE != 0 {
            return self
                .large
                .get(handle & !LARGE)
                .map_or(&[], |bytes| &bytes[..]);
        }
        let (chunk, at) = place(handle);
        let Some(block) = self.chunks.get(chunk).and_then(|chunk| chunk.get(at..)) else {
            return &[];
        };
        let len = usize::from(u16::from_ne_bytes([block[0], block[1]]));
        &block[HEAD..HEAD + len]
    }

    /// Frees a block.
    pub fn remove(&mut self, handle: u32) {
        if handle & LARGE != 0 {
            self.large.remove(handle & !LARGE);
            return;
        }
        let units = units(self.get(handle).len());
        let next = core::mem::replace(&mut self.free[units], handle);
        self.block_mut(handle)[..4].copy_from_slice(&next.to_ne_bytes());
    }

    fn allocate(&mut self, units: usize) -> u32 {
        let free = self.free[units];
        if free != NONE {
            let block = self.block_mut(free);
            let next = [block[0], block[1], block[2], block[3]];
            self.free[units] = u32::from_ne_bytes(next);
            return free;
        }
        if self.used + units > CHUNK {
            // What is left of the last chunk is given up: less than the largest block.
            self.chunks.push(vec![0; CHUNK * UNIT].into_boxed_slice());
            self.used = 0;
        }
        let handle = (self.chunks.len() - 1) * CHUNK + self.used;
        self.used += units;
        handle as u32
    }

    fn block_mut(&mut self, handle: u32) -> &mut [u8] {
        let (chunk, at) = place(handle);
        &mut self.chunks[chunk][at..]
    }
}

fn place(handle: u32) -> (usize, usize) {
    let handle = handle as usize;
    (handle / CHUNK, handle % CHUNK * UNIT)
}
