//! What the fuzzer gives, taken as numbers, names and messages.

use super::model::Sent;

/// Names are one byte, so few that operations meet.
const NAMES: u8 = 6;

/// The input, byte by byte; zeros after its end.
pub struct Input<'a>(pub &'a [u8]);

impl Input<'_> {
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    pub fn name(&mut self) -> u8 {
        self.byte() % NAMES
    }

    pub fn below(&mut self, n: usize) -> usize {
        usize::from(self.byte()) % n.max(1)
    }

    pub fn sent(&mut self, broadcast: bool) -> Sent {
        let (length, fill) = (usize::from(self.byte()), self.byte());
        // Small ones mostly, and some of up to 24 KB.
        let len = if length < 192 {
            length
        } else {
            (length - 191) * 384
        };
        Sent {
            len,
            fill,
            broadcast,
        }
    }
}
