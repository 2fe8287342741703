//! Where everything stands in a zone of a given size.
//!
//! ```text
//! header | worker slots | shards, commons | hash buckets | address buckets | id buckets | page bitmap | page descriptors | pages
//! ```
//!
//! The hash table and the page descriptors are sized once, from the zone's size: one bucket for 512
//! bytes, one descriptor of 32 bytes for a page of 4096. With the smallest channel (120 bytes and
//! its name) there are at most four to a bucket, so the table is never resized.

use crate::registry::WORKER_SLOTS;
use crate::shard::Shard;
use crate::slot::WorkerSlot;
use crate::zone::{Header, ZoneError};

/// Bytes in a page.
pub const PAGE: usize = 4096;

/// Bytes of zone for which there is one hash bucket.
const BYTES_A_BUCKET: usize = 512;

/// Buckets of channels for which there is one of client addresses.
const BUCKETS_AN_ADDRESS_BUCKET: usize = 4;

/// Most shards a zone has.
pub const MAX_SHARDS: usize = 64;

/// The offsets of a zone's parts, in bytes from its base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Geometry {
    /// Size of the zone.
    pub size: u64,
    /// Shards, without the commons; a power of two.
    pub shards: u32,
    /// Buckets of one shard; a power of two.
    pub buckets: u32,
    /// Pages.
    pub pages: u32,
    /// Buckets of client addresses in one shard, and as many of ids; a power of two.
    pub address_buckets: u32,
    /// Where the worker slots begin.
    pub slots_at: u64,
    /// Where the shards begin; the commons is the last.
    pub shards_at: u64,
    /// Where the buckets begin.
    pub buckets_at: u64,
    /// Where the buckets of client addresses begin.
    pub addresses_at: u64,
    /// Where the buckets of ids of publishes begin.
    pub ids_at: u64,
    /// Where the bitmap of used pages begins.
    pub bitmap_at: u64,
    /// Where the page descriptors begin.
    pub descriptors_at: u64,
    /// Where the pages begin.
    pub pages_at: u64,
}

impl Geometry {
    /// The geometry of a zone.
    pub fn new(size: usize) -> Result<Geometry, ZoneError> {
        if size < crate::Zone::MIN_SIZE {
            return Err(ZoneError::TooSmall { size });
        }
        if size > crate::Zone::MAX_SIZE {
            return Err(ZoneError::TooLarge { size });
        }
        let shards = prev_power_of_two(size >> 20).clamp(1, MAX_SHARDS);
        let buckets = prev_power_of_two(size / BYTES_A_BUCKET / shards).max(64);
        let mut at = 0;
        let mut place = |bytes: usize, align: usize| {
            let start = at_next(at, align);
            at = start + bytes;
            start as u64
        };
        place(size_of::<Header>(), 64);
        let slots_at = place(size_of::<WorkerSlot>() * WORKER_SLOTS, 64);
        let shards_at = place(size_of::<Shard>() * (shards + 1), 64);
        let buckets_at = place(4 * buckets * shards, 64);
        let address_buckets = buckets / BUCKETS_AN_ADDRESS_BUCKET;
        let addresses_at = place(4 * address_buckets * shards, 64);
        let ids_at = place(4 * address_buckets * shards, 64);
        // A little more than the pages that are left, so that the bitmap is never too short.
        let most = (size - ids_at as usize) / PAGE;
        let bitmap_at = place(most.div_ceil(64) * 8, 64);
        let descriptors_at = place(most * size_of::<crate::pages::Page>(), 64);
        let pages_at = place(0, PAGE);
        let pages = (size.saturating_sub(pages_at as usize)) / PAGE;
        if pages < 64 {
            return Err(ZoneError::TooSmall { size });
        }
        Ok(Geometry {
            size: size as u64,
            shards: shards as u32,
            buckets: buckets as u32,
            pages: pages as u32,
            address_buckets: address_buckets as u32,
            slots_at,
            shards_at,
            buckets_at,
            addresses_at,
            ids_at,
            bitmap_at,
            descriptors_at,
            pages_at,
        })
    }
}

fn at_next(at: usize, align: usize) -> usize {
    at.next_multiple_of(align)
}

fn prev_power_of_two(n: usize) -> usize {
    if n == 0 { 0 } else { 1 << n.ilog2() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_overlap_and_fit() {
        for size in [1 << 20, 3_333_333, 16 << 20, 256 << 20, 8 << 30] {
            let g = Geometry::new(size).unwrap();
            // A small number in a ring is no place of a message.
            assert!(g.pages_at / crate::cell::UNIT as u64 > u64::from(crate::ring::LONGEST_HOLE));
            assert!(g.slots_at >= size_of::<Header>() as u64);
            assert!(g.shards_at >= g.slots_at + (size_of::<WorkerSlot>() * WORKER_SLOTS) as u64);
            let shards = (size_of::<Shard>() * (g.shards as usize + 1)) as u64;
            assert!(g.buckets_at >= g.shards_at + shards);
            assert!(g.addresses_at >= g.buckets_at + u64::from(4 * g.buckets * g.shards));
            assert!(g.ids_at >= g.addresses_at + u64::from(4 * g.address_buckets * g.shards));
            assert!(g.bitmap_at >= g.ids_at + u64::from(4 * g.address_buckets * g.shards));
            assert!(g.descriptors_at >= g.bitmap_at + u64::from(g.pages.div_ceil(64)) * 8);
            let descriptors = u64::from(g.pages) * size_of::<crate::pages::Page>() as u64;
            assert!(g.pages_at >= g.descriptors_at + descriptors);
            assert!(g.pages_at + u64::from(g.pages) * PAGE as u64 <= size as u64);
        }
    }

    #[test]
    fn sizes_out_of_range_are_refused() {
        assert!(matches!(
            Geometry::new(1000),
            Err(ZoneError::TooSmall { .. })
        ));
        assert!(matches!(
            Geometry::new(64 << 30),
            Err(ZoneError::TooLarge { .. })
        ));
    }
}
