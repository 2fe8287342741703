//! Memory asked for ahead of its use.
//!
//! A publish to one of many channels finds nothing of the channel in the processor's cache, and each
//! line of it costs as much as some hundred instructions. What is asked for early arrives while other
//! work is done.

use crate::cell::Ref;
use crate::channel::{Channel, NAME_AT};
use crate::shard::Guard;
use crate::zone::Zone;

/// Bytes that the cache takes in at a time.
const LINE: usize = 64;

/// Bytes of a channel that a publish looks at: all but a long name's end.
const CHANNEL: usize = NAME_AT + 16;

fn line<T>(at: &T, offset: usize) {
    let at = core::ptr::from_ref(at).cast::<i8>().wrapping_add(offset);
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint that reads nothing the program sees, and that no address makes fault.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(at);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

impl Zone {
    /// A bucket is going to be looked at.
    pub(crate) fn ask_for_bucket(&self, shard: usize, bucket: usize) {
        line(self.bucket::<Channel>(shard, bucket), 0);
    }
}

impl Guard<'_> {
    /// The first channel of a bucket is going to be looked at, which most often is the only one.
    pub(crate) fn ask_for_channel(&self, bucket: usize) {
        let first: Option<Ref<Channel>> = self.zone.bucket(self.index, bucket).get();
        if let Some(channel) = first.and_then(|place| self.zone.at(place)) {
            for offset in (0..CHANNEL).step_by(LINE) {
                line(channel, offset);
            }
            // Blocks are not aligned to lines.
            line(channel, CHANNEL - 1);
        }
    }
}
