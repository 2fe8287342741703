//! Whom to wake.

use crate::registry::WORKER_SLOTS;

const WORDS: usize = WORKER_SLOTS / 64;

/// A set of worker slots, gathered over any number of operations and rung once.
#[derive(Clone, Debug, Default)]
pub struct WakeSet([u64; WORDS]);

impl WakeSet {
    /// Adds a slot.
    pub fn insert(&mut self, slot: u16) {
        let slot = usize::from(slot) % WORKER_SLOTS;
        self.0[slot / 64] |= 1 << (slot % 64);
    }

    /// Adds all slots of another set.
    pub fn merge(&mut self, other: &WakeSet) {
        for (word, more) in self.0.iter_mut().zip(other.0) {
            *word |= more;
        }
    }

    /// Whether nobody is to be woken.
    pub fn is_empty(&self) -> bool {
        self.0 == [0; WORDS]
    }

    /// The slots, in order.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        self.0.iter().enumerate().flat_map(|(index, word)| {
            let mut left = *word;
            core::iter::from_fn(move || {
                if left == 0 {
                    return None;
                }
                let bit = left.trailing_zeros();
                left &= left - 1;
                Some((index * 64) as u16 + bit as u16)
            })
        })
    }
}
