//! Limbo: where messages wait, that left their ring and may still be read.
//!
//! Readers hold no count. A worker that reads publishes the *reading epoch* in its slot first
//! ([`crate::slot`]). Messages that left their ring gather in a shard's open bag; the bag is sealed
//! with the epoch of that moment, and the epoch grows by one. No reader that begins later can find
//! them. When no worker reads under the sealed epoch or an older one, the bag is freed.
//!
//! All functions are called with the shard's lock held. A process killed inside one leaves lists
//! that the shard's repair makes anew.

use crate::blocks::Block;
use crate::cell::Ref;
use crate::shard::Guard;

impl Guard<'_> {
    /// Puts a block that nothing leads to any more into limbo.
    pub(crate) fn retire<T>(&self, block: Ref<T>) {
        let block = block.cast::<Block>();
        if let Some(entry) = self.zone.at(block) {
            entry
                .link
                .set(self.shard.limbo_open.get().map_or(0, Ref::units));
            self.shard.limbo_open.set(Some(block));
        }
    }

    /// Frees at most `most` blocks that nobody can be reading; how many.
    pub(crate) fn reclaim(&self, most: usize) -> usize {
        let mut freed = 0;
        while freed < most {
            let Some(block) = self.shard.limbo_sealed.get() else {
                if self.shard.limbo_open.get().is_none() {
                    break;
                }
                self.shard
                    .limbo_epoch
                    .set(self.zone.header().reading_epoch.next());
                self.shard.limbo_sealed.set(self.shard.limbo_open.get());
                self.shard.limbo_open.set(None);
                self.shard.limbo_safe.set(0);
                continue;
            };
            if self.shard.limbo_safe.get() == 0 {
                if !self.is_past(self.shard.limbo_epoch.get()) {
                    break;
                }
                self.shard.limbo_safe.set(1);
            }
            let next = self
                .zone
                .at(block)
                .and_then(|entry| Ref::new(entry.link.get()));
            self.shard.limbo_sealed.set(next);
            self.free(block);
            freed += 1;
        }
        freed
    }

    /// Whether no worker reads under that epoch or an older one.
    fn is_past(&self, epoch: u64) -> bool {
        core::sync::atomic::fence(core::sync::atomic::Ordering::SeqCst);
        self.zone.slots().all(|(_, slot)| {
            let reading = slot.reading.get();
            slot.incarnation.get() == 0 || reading == 0 || reading > epoch
        })
    }
}
