//! The tables of what a worker keeps, each beside the plainest structure that does the same.
//!
//! Input: one operation after the other. A byte below 0x80 takes something in: its length, by the
//! two bytes that follow, and what it is filled with. One from 0x80 on lets the n-th go.

#![no_main]

use std::collections::HashMap;

use icomet_tables::{Arena, Slab, Texts};
use libfuzzer_sys::fuzz_target;

#[derive(Default)]
struct Tables {
    arena: Arena,
    slab: Slab<Vec<u8>>,
    texts: Texts,
    /// What was taken in: its bytes, and its place in each table.
    model: Vec<(Vec<u8>, [u32; 3])>,
}

impl Tables {
    fn take_in(&mut self, bytes: Vec<u8>) {
        let block = self.arena.insert(&bytes);
        let index = self.slab.insert(bytes.clone());
        let text = self.texts.intern(&bytes);
        for (other, [other_block, other_index, other_text]) in &self.model {
            assert!(*other_block != block && *other_index != index);
            assert_eq!(*other_text == text, *other == bytes, "each text once");
        }
        self.model.push((bytes, [block, index, text]));
    }

    fn let_go(&mut self, nth: usize) {
        if self.model.is_empty() {
            return;
        }
        let (bytes, [block, index, text]) = self.model.swap_remove(nth % self.model.len());
        assert_eq!(self.arena.get(block), bytes);
        self.arena.remove(block);
        assert_eq!(self.slab.remove(index), Some(bytes));
        assert_eq!(self.slab.remove(index), None);
        assert!(self.slab.get(index).is_none() && self.slab.get_mut(index).is_none());
        self.texts.release(text);
    }

    fn check(&self) {
        let mut distinct = HashMap::new();
        for (bytes, [block, index, text]) in &self.model {
            assert_eq!(self.arena.get(*block), bytes);
            assert_eq!(self.slab.get(*index), Some(bytes));
            assert!(*index < self.slab.capacity());
            assert_eq!(self.texts.get(*text), bytes);
            distinct.insert(&bytes[..], ());
        }
        assert_eq!(self.slab.len(), self.model.len());
        assert_eq!(self.texts.len(), distinct.len());
        assert_eq!(self.slab.is_empty(), self.model.is_empty());
        assert_eq!(self.texts.is_empty(), self.model.is_empty());
    }
}

fuzz_target!(|data: &[u8]| {
    let mut tables = Tables::default();
    let mut rest = data;
    let mut done = 0;
    while let [operation, after @ ..] = rest {
        rest = after;
        if *operation >= 0x80 {
            tables.let_go(usize::from(operation & 0x7f));
        } else if let [low, high, after @ ..] = rest {
            rest = after;
            // Blocks of a chunk are up to 1022 bytes long; longer ones have memory of their own.
            let len = usize::from(u16::from_le_bytes([*low, *high]) % 1100);
            let mut bytes = vec![*operation; len];
            if let Some(last) = bytes.last_mut() {
                *last = *high;
            }
            tables.take_in(bytes);
        }
        done += 1;
        // All of them after each operation would be the square of their number.
        if done % 64 == 0 {
            tables.check();
        }
    }
    tables.check();
});
