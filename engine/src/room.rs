//! Making room for an operation that found none.

use crate::busy;
use crate::limits::OnFull;
use crate::wake::WakeSet;
use crate::zone::Zone;

/// How often memory is got back, or messages are let go, for one operation, at most.
const EVICTIONS: usize = 32;

/// Evictions in a row that gave no memory back, at most.
const FRUITLESS: usize = 2;

/// How often empty channels are let go for one operation, at most.
const EMPTIED: usize = 128;

/// Empty channels let go at a time for want of memory.
const BATCH: usize = 64;

/// What an operation had too little of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shortage {
    /// The zone's memory.
    Memory,
    /// Channels that the hub may have, or its empty channels.
    Channels,
}

/// Why an operation was refused.
pub(crate) trait Refusal: Copy {
    /// What room may help with.
    fn shortage(self) -> Option<Shortage>;

    /// Somebody holds a lock too long.
    const BUSY: Self;
}

impl Zone {
    /// Repeats an operation that found no room, as long as room is made for it: by what waits in limbo
    /// anywhere, then by empty channels, then, if `on_full` says so, by what old messages take.
    pub(crate) fn with_room<T, E: Refusal>(
        &self,
        on_full: OnFull,
        shard: usize,
        wake: &mut WakeSet,
        mut operation: impl FnMut(&mut WakeSet) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut result = operation(wake);
        let (mut evicted, mut fruitless, mut emptied) = (0, 0, 0);
        loop {
            let shortage = match &result {
                Ok(_) => return result,
                Err(error) => error.shortage(),
            };
            // Somebody holds a lock: what is not got is not for want of it, and no message goes for that.
            if shortage.is_some() && busy::was_refused() {
                return result.map_err(|_| E::BUSY);
            }
            let most = match shortage {
                None => return result,
                Some(Shortage::Channels) => 1,
                Some(Shortage::Memory) => BATCH,
            };
            let is_memory = shortage == Some(Shortage::Memory);
            if is_memory && evicted < EVICTIONS && self.reclaim_everywhere(wake) > 0 {
                evicted += 1;
                fruitless = 0;
            } else if emptied < EMPTIED && self.evict_empty(most, wake) > 0 {
                emptied += 1;
            } else if is_memory && on_full == OnFull::Evict && evicted < EVICTIONS {
                // What goes while a reader is in the way gives nothing back yet, and letting more go
                // would only lose more. (A subscriber's own reading is out of the way at its next try.)
                evicted += 1;
                fruitless += 1;
                if fruitless > FRUITLESS || self.evict(shard, wake) == 0 {
                    return result;
                }
            } else {
                return result;
            }
            result = operation(wake);
        }
    }
}
