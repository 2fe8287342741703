//! Texts that many parked requests have in common (a browser's `User-Agent`, a page's `Referer`), each
//! kept once.

use std::collections::HashMap;
use std::rc::Rc;

use crate::slab::Slab;

struct Text {
    bytes: Rc<[u8]>,
    /// How often it was taken in and not let go.
    count: u32,
}

/// The texts. Clients choose them, so the table's hash is keyed.
#[derive(Default)]
pub struct Texts {
    texts: Slab<Text>,
    by_bytes: HashMap<Rc<[u8]>, u32>,
}

impl Texts {
    /// Takes a text in, and gives its handle; [`Texts::release`] lets it go.
    pub fn intern(&mut self, bytes: &[u8]) -> u32 {
        if let Some(&handle) = self.by_bytes.get(bytes) {
            if let Some(text) = self.texts.get_mut(handle) {
                text.count += 1;
            }
            return handle;
        }
        let bytes: Rc<[u8]> = bytes.into();
        let handle = self.texts.insert(Text {
            bytes: Rc::clone(&bytes),
            count: 1,
        });
        self.by_bytes.insert(bytes, handle);
        handle
    }

    /// How many different texts there are.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// The text of a handle.
    pub fn get(&self, handle: u32) -> &[u8] {
        self.texts.get(handle).map_or(&[], |text| &text.bytes)
    }

    /// Lets a text go; with the last one who took it in, it is dropped.
    pub fn release(&mut self, handle: u32) {
        let Some(text) = self.texts.get_mut(handle) else {
            return;
        };
        text.count -= 1;
        if text.count == 0
            && let Some(text) = self.texts.remove(handle)
        {
            self.by_bytes.remove(&text.bytes);
        }
    }
}
