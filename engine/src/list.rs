//! Listing channels page by page, with a cursor that outlives the call.

use crate::cell::Ref;
use crate::channel::{CLOSED, Channel};
use crate::shard::Guard;
use crate::wake::WakeSet;
use crate::zone::Zone;

/// What a channel costs of a page's budget; an empty bucket costs one.
const CHANNEL_COST: usize = 64;

/// What is spent under one lock, at most, but for a bucket's rest.
const LOCKED: usize = 1 << 16;

/// Where a list goes on: in a bucket, after a name. It is good in any zone, and as long as one likes:
/// a channel that lives all the while is listed once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListCursor {
    /// The shard.
    pub shard: u32,
    /// The bucket in it.
    pub bucket: u32,
    /// The last name of the bucket that was listed; empty: none.
    pub after: Vec<u8>,
}

/// A channel in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: Vec<u8>,
    /// Its incarnation.
    pub incarnation: u64,
    /// Subscribers on all workers.
    pub subscribers: u32,
    /// The smallest buffered seq, else the next.
    pub first_seq: u64,
    /// The next seq.
    pub next_seq: u64,
}

impl Zone {
    /// Lists channels whose names begin with `prefix`, `limit` at most; whether it came to the end. It
    /// stops early when `budget` is spent: 64 for a channel that was looked at, 1 for an empty bucket.
    pub fn list(
        &self,
        cursor: &mut ListCursor,
        prefix: &[u8],
        limit: usize,
        budget: usize,
        listed: &mut Vec<Listed>,
    ) -> bool {
        let buckets = self.geometry().buckets;
        let most = listed.len() + limit.max(1);
        let mut left = budget;
        while (cursor.shard as usize) < self.shard_count() {
            // Read without the lock: a channel that comes now may be in the list or not.
            if self.shard(cursor.shard as usize).channels.get() > 0 {
                let Some(guard) = self.lock(cursor.shard as usize, &mut WakeSet::default()) else {
                    return false;
                };
                let mut locked = left.min(LOCKED);
                left -= locked;
                while cursor.bucket < buckets && locked > 0 && listed.len() < most {
                    locked = locked.saturating_sub(1);
                    let looked_at = guard.list_bucket(cursor, prefix, most, listed);
                    locked = locked.saturating_sub(looked_at * CHANNEL_COST);
                }
                left += locked;
            } else {
                cursor.bucket = buckets;
            }
            if cursor.bucket >= buckets {
                *cursor = ListCursor {
                    shard: cursor.shard + 1,
                    ..ListCursor::default()
                };
            } else if left == 0 || listed.len() >= most {
                return false;
            }
        }
        true
    }
}

impl Guard<'_> {
    /// Lists the cursor's bucket as far as there is room; how many channels were looked at.
    fn list_bucket(
        &self,
        cursor: &mut ListCursor,
        prefix: &[u8],
        most: usize,
        listed: &mut Vec<Listed>,
    ) -> usize {
        let zone = self.zone;
        let mut chain: Vec<(Ref<Channel>, &[u8])> = self
            .chain(cursor.bucket as usize)
            .map(|place| (place, self.name(place)))
            .collect();
        let looked_at = chain.len();
        // The order of a chain changes as channels come and go; that of their names does not.
        chain.sort_unstable_by_key(|(_, name)| *name);
        for (place, name) in chain {
            let Some(channel) = zone.at(place).filter(|channel| !channel.is(CLOSED)) else {
                continue;
            };
            if name <= cursor.after.as_slice() || !name.starts_with(prefix) {
                continue;
            }
            if listed.len() >= most {
                return looked_at;
            }
            listed.push(Listed {
                name: name.to_vec(),
                incarnation: channel.incarnation.get(),
                subscribers: channel.subscribers.get(),
                first_seq: channel.first.get(),
                next_seq: channel.next.get(),
            });
            cursor.after = name.to_vec();
        }
        cursor.bucket += 1;
        cursor.after.clear();
        looked_at
    }
}
