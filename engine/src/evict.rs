//! Making room in a full zone: the oldest buffered messages go.

use crate::channel::Channel;
use crate::shard::{Guard, WHEEL};
use crate::wake::WakeSet;
use crate::zone::Zone;

/// Messages let go in one shard in one call.
const MESSAGES: u64 = 64;

/// Channels, or buckets, looked at in one shard in one call, at most.
const CHANNELS: usize = 4096;

/// Blocks taken back from limbo in one shard in one call.
const RECLAIM: usize = 1024;

impl Guard<'_> {
    /// Lets messages of channels without subscribers go, those that expire first before others; then
    /// of others, which keep their newest. How many went. It looks at a bounded number of channels.
    fn evict(&self, turn: usize) -> u64 {
        if self.shard.messages.get() == 0 {
            return 0;
        }
        let mut gone = 0;
        let mut looked = 0;
        let from = self.shard.wheel_time.get() + 1;
        for second in from..from + WHEEL as u64 {
            let mut at = self.shard.wheel[(second % WHEEL as u64) as usize].get();
            while let Some(channel) = at.and_then(|at| self.zone.at(at)) {
                looked += 1;
                if channel.subscribers.get() == 0 {
                    gone += self.evict_half(channel, 0);
                }
                if gone >= MESSAGES || looked > CHANNELS {
                    return gone;
                }
                at = channel.wheel_next.get();
            }
        }
        // Beginning elsewhere each time, so that all have their turn.
        let buckets = self.zone.geometry().buckets as usize;
        for bucket in (0..buckets.min(CHANNELS)).map(|n| (turn * CHANNELS + n) % buckets) {
            for channel in self.chain(bucket).filter_map(|at| self.zone.at(at)) {
                gone += self.evict_half(channel, 1);
                if gone >= MESSAGES {
                    return gone;
                }
            }
        }
        gone
    }

    /// Lets the older half of a channel's messages go, `keep` at least stay.
    fn evict_half(&self, channel: &Channel, keep: u64) -> u64 {
        let len = channel.len();
        let going = len.div_ceil(2).min(len.saturating_sub(keep));
        (0..going).filter(|_| self.drop_oldest(channel)).count() as u64
    }
}

impl Zone {
    /// Lets messages go, in that shard if it has something to let go, else in the next that has: pages
    /// that become free serve any shard. How many went.
    pub(crate) fn evict(&self, shard: usize, wake: &mut WakeSet) -> u64 {
        let header = self.header();
        let shards = self.shard_count();
        let turn = header.evict_at.get() as usize;
        let others = (0..shards).map(|n| (turn + n) % shards);
        for index in core::iter::once(shard).chain(others) {
            let gone = self.lock(index, wake).map_or(0, |guard| guard.evict(turn));
            if gone > 0 {
                for _ in 0..gone {
                    header.evictions.next();
                }
                return gone;
            }
        }
        header.evict_at.set(turn as u32 + 1);
        0
    }

    /// Frees what waits in the limbo of any shard, and of the commons, as far as no reader is in the
    /// way, and gives back pages whose blocks are all free; how many blocks and pages. A shard that somebody holds is passed by.
    pub(crate) fn reclaim_everywhere(&self, wake: &mut WakeSet) -> usize {
        (0..=self.shard_count())
            .filter_map(|index| self.try_lock(index, wake))
            .map(|guard| guard.reclaim(RECLAIM) + guard.give_back_empty())
            .sum()
    }
}
