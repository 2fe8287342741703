//! A zone: header, life cycle, and the way from places to references.

use core::fmt;
use core::hash::Hasher;
use core::ptr::NonNull;

use siphasher::sip::SipHasher13;

use crate::cell::{Long, Ref, Word};
use crate::geometry::Geometry;
use crate::pages::PagePool;
use crate::registry::WORKER_SLOTS;
use crate::robust::RobustMutex;
use crate::shard::Shard;
use crate::slot::WorkerSlot;

/// "ICOMET\0\x01" in the order of a little-endian machine.
const MAGIC: u64 = u64::from_le_bytes(*b"ICOMET\0\x01");

/// What a zone begins with.
///
/// Concurrency: everything above `reading_epoch`, and `seq_floor`, is written once, before any other
/// process sees the zone. The rest are counters that any process may add to, and locks. Crash: `magic` is stored
/// last, so a zone whose making was cut short is not a zone; the counters below `reading_epoch` are
/// told, not relied on.
#[repr(C, align(64))]
pub struct Header {
    magic: Long,
    version: Word,
    reserved: Word,
    base: Long,
    epoch: Long,
    key: [Long; 2],
    geometry: Geometry,
    /// Grows by one with every bag of freed messages ([`crate::limbo`]).
    pub reading_epoch: Long,
    /// One more than the largest slot that was ever attached.
    pub slot_limit: Word,
    /// Where eviction goes on.
    pub evict_at: Word,
    /// The seq that a new channel's first message gets, less one; 0 but after a restore that left
    /// channels out ([`crate::restore`]).
    pub seq_floor: Long,
    /// Numbers that empty channels got when they were listed ([`crate::empty`]).
    pub empty_numbers: Long,
    /// Empty channels that were let go to make room.
    pub empty_evictions: Long,
    /// Bodies of broadcasts may be done that are in the commons' list yet.
    pub late_bodies: Word,
    /// The last incarnation that was given to a channel ([`crate::life`]).
    pub incarnations: Long,
    /// Messages that were let go to make room.
    pub evictions: Long,
    /// Repairs after a worker died inside.
    pub repairs: Long,
    /// Publishes that were refused for want of memory, or of a channel.
    pub refused_publishes: Long,
    /// Subscribers that were refused because of a limit, or for want of memory.
    pub refused_subscribers: Long,
    /// How often a subscriber was told `lost`.
    pub lost_notices: Long,
    /// Messages that subscribers were told to be lost.
    pub lost_messages: Long,
    /// Channels that came and went while somebody noted it ([`crate::journal`]).
    pub changes: Long,
    /// Events that back ends took ([`crate::HookCounts`]).
    pub hooks_sent: Long,
    /// POSTs to back ends that failed.
    pub hooks_failed: Long,
    /// Events that no back end will get.
    pub hooks_dropped: Long,
    /// Orders that were given ([`crate::orders`]); written under the commons' lock.
    pub orders: Long,
    /// Held by whoever takes a worker off, and by a worker that attaches.
    pub reaping: RobustMutex,
    /// The pages' lock and counts.
    pub pool: PagePool,
}

/// A handle on a zone; a copy is the same zone.
#[derive(Clone, Copy)]
pub struct Zone {
    base: NonNull<u8>,
}

// SAFETY: the zone is made for use by several processes, so by several threads: everything in it is
// an atomic, or bytes that are only written before they are linked.
unsafe impl Send for Zone {}
// SAFETY: as above.
unsafe impl Sync for Zone {}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zone({:p})", self.base)
    }
}

/// Why a range of memory is no zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZoneError {
    /// Below [`Zone::MIN_SIZE`].
    TooSmall {
        /// Its size in bytes.
        size: usize,
    },
    /// Above [`Zone::MAX_SIZE`].
    TooLarge {
        /// Its size in bytes.
        size: usize,
    },
    /// No zone was made here, or its making was cut short.
    NoZone,
    /// Another version of icomet made it.
    OtherVersion {
        /// That version's layout.
        found: u32,
    },
    /// It was made with another size.
    OtherSize {
        /// The size it was made with.
        found: u64,
    },
    /// It was made at another address.
    OtherAddress,
    /// The operating system made no lock; its errno.
    Lock(i32),
}

impl fmt::Display for ZoneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            ZoneError::TooSmall { size } => {
                write!(
                    f,
                    "{size} bytes are too few: a zone takes at least {}",
                    Zone::MIN_SIZE
                )
            }
            ZoneError::TooLarge { size } => {
                write!(
                    f,
                    "{size} bytes are too many: a zone takes at most {}",
                    Zone::MAX_SIZE
                )
            }
            ZoneError::NoZone => f.write_str("the memory holds no icomet zone"),
            ZoneError::OtherVersion { found } => write!(
                f,
                "the zone has layout {found}, this icomet has {}",
                Zone::LAYOUT_VERSION
            ),
            ZoneError::OtherSize { found } => {
                write!(f, "the zone was made with another size ({found} bytes)")
            }
            ZoneError::OtherAddress => f.write_str("the zone was made at another address"),
            ZoneError::Lock(errno) => write!(f, "cannot make a shared lock (errno {errno})"),
        }
    }
}

impl std::error::Error for ZoneError {}

impl Zone {
    /// Smallest zone in bytes.
    pub const MIN_SIZE: usize = 1 << 20;

    /// Largest zone in bytes: what 32-bit references of 8-byte units reach.
    pub const MAX_SIZE: usize = 32 << 30;

    /// Number of the layout; a zone of another layout is refused, never reinterpreted.
    pub const LAYOUT_VERSION: u32 = 7;

    /// Makes a zone. `epoch` tells clients that their seqs belong to this zone; `key` keeps hash
    /// collisions from being made on purpose; both are random.
    ///
    /// # Safety
    ///
    /// `base` is the start of `size` zeroed bytes of shared memory, aligned to a page, that nobody
    /// else uses and that stay mapped at that address in every process that uses the zone.
    pub unsafe fn format(
        base: NonNull<u8>,
        size: usize,
        epoch: u64,
        key: [u8; 16],
    ) -> Result<Zone, ZoneError> {
        let geometry = Geometry::new(size)?;
        let zone = Zone { base };
        // SAFETY: the header stands at the base, and nobody else has seen the zone.
        unsafe { (&raw mut (*base.cast::<Header>().as_ptr()).geometry).write(geometry) };
        let header = zone.header();
        header.version.set(Zone::LAYOUT_VERSION);
        header.base.set(base.as_ptr() as u64);
        zone.set_epoch(epoch);
        zone.set_key(key);
        header.reading_epoch.set(1);
        header.reaping.init().map_err(ZoneError::Lock)?;
        header.pool.init(geometry.pages).map_err(ZoneError::Lock)?;
        for index in 0..=geometry.shards as usize {
            zone.shard(index).init().map_err(ZoneError::Lock)?;
        }
        header.magic.set(MAGIC);
        Ok(zone)
    }

    /// Opens a zone that [`Zone::format`] made.
    ///
    /// # Safety
    ///
    /// As for format, but that the memory holds what it held.
    pub unsafe fn open(base: NonNull<u8>, size: usize) -> Result<Zone, ZoneError> {
        Geometry::new(size)?;
        let zone = Zone { base };
        let header = zone.header();
        if header.magic.get() != MAGIC {
            return Err(ZoneError::NoZone);
        }
        let found = header.version.get();
        if found != Zone::LAYOUT_VERSION {
            return Err(ZoneError::OtherVersion { found });
        }
        if header.geometry.size != size as u64 {
            return Err(ZoneError::OtherSize {
                found: header.geometry.size,
            });
        }
        if header.base.get() != base.as_ptr() as u64 {
            return Err(ZoneError::OtherAddress);
        }
        Ok(zone)
    }

    /// Whether both handles are of one zone.
    pub fn is_same(&self, other: &Zone) -> bool {
        self.base == other.base
    }

    /// The random number that says whose seqs a client has.
    pub fn epoch(&self) -> u64 {
        self.header().epoch.get()
    }

    /// How many shards, and so presence logs, there are.
    pub fn shard_count(&self) -> usize {
        self.geometry().shards as usize
    }

    pub(crate) fn header(&self) -> &Header {
        // SAFETY: format and open were given a zone that begins with a header.
        unsafe { self.base.cast().as_ref() }
    }

    pub(crate) fn geometry(&self) -> &Geometry {
        &self.header().geometry
    }

    /// Sets the epoch of a zone that nobody else has seen.
    pub(crate) fn set_epoch(&self, epoch: u64) {
        self.header().epoch.set(epoch);
    }

    /// Sets the key of a zone that holds no channel and that nobody else has seen.
    pub(crate) fn set_key(&self, key: [u8; 16]) {
        let (low, high) = key.split_at(8);
        let words = &self.header().key;
        words[0].set(u64::from_le_bytes(low.try_into().unwrap_or_default()));
        words[1].set(u64::from_le_bytes(high.try_into().unwrap_or_default()));
    }

    /// The tag of a user, by which a message can be kept from it: a keyed hash, so that nobody without the
    /// zone's key finds two users of one tag. Never 0, which is nobody's.
    pub fn user_tag(&self, user: &[u8]) -> u64 {
        let (low, high) = self.key();
        let mut hasher = SipHasher13::new_with_keys(low, high);
        // Not the hash of a channel of that name.
        hasher.write_u8(0);
        hasher.write(user);
        hasher.finish().max(1)
    }

    /// The key of the hash.
    pub(crate) fn key(&self) -> (u64, u64) {
        (self.header().key[0].get(), self.header().key[1].get())
    }

    /// A part of the zone's fixed structure: element `index` of the table at `start`.
    ///
    /// # Safety
    ///
    /// The geometry has a table of `T` at `start` with more than `index` elements.
    pub(crate) unsafe fn element<T>(&self, start: u64, index: usize) -> &T {
        // SAFETY: see the function; all of `T`'s fields are atomics or locks.
        unsafe {
            self.base
                .add(start as usize)
                .cast::<T>()
                .add(index)
                .as_ref()
        }
    }

    /// Shard `index`; the last is the commons.
    pub(crate) fn shard(&self, index: usize) -> &Shard {
        let geometry = self.geometry();
        let index = index.min(geometry.shards as usize);
        // SAFETY: the geometry has `shards` shards and the commons.
        unsafe { self.element(geometry.shards_at, index) }
    }

    /// The shard that holds what belongs to no one channel.
    pub(crate) fn commons(&self) -> usize {
        self.geometry().shards as usize
    }

    /// A worker's slot.
    pub(crate) fn slot(&self, slot: u16) -> &WorkerSlot {
        // SAFETY: the geometry has WORKER_SLOTS slots.
        unsafe { self.element(self.geometry().slots_at, usize::from(slot) % WORKER_SLOTS) }
    }

    /// The slots that were ever attached.
    pub(crate) fn slots(&self) -> impl Iterator<Item = (u16, &WorkerSlot)> {
        let limit = self.header().slot_limit.get().min(WORKER_SLOTS as u32);
        (0..limit as u16).map(|slot| (slot, self.slot(slot)))
    }

    /// Bucket `index` of a shard.
    pub(crate) fn bucket<T>(&self, shard: usize, index: usize) -> &crate::cell::Link<T> {
        let geometry = self.geometry();
        let buckets = geometry.buckets as usize;
        // SAFETY: the geometry has `buckets` buckets for each shard; a link is one word.
        unsafe { self.element(geometry.buckets_at, shard * buckets + index % buckets) }
    }

    /// What stands at a place among the pages; `None` when the place lies outside of them, which
    /// only a zone that another program wrote into can say.
    pub(crate) fn at<T>(&self, place: Ref<T>) -> Option<&T> {
        let geometry = self.geometry();
        let offset = place.offset() as u64;
        let end = offset + size_of::<T>() as u64;
        if offset < geometry.pages_at || end > geometry.size {
            return None;
        }
        // SAFETY: within the pages, aligned to a unit; a `Ref<T>` is only made for a block that
        // holds a `T`, whose fields are atomics.
        Some(unsafe { self.base.add(offset as usize).cast::<T>().as_ref() })
    }

    /// Bytes at a place among the pages.
    ///
    /// # Safety
    ///
    /// The bytes belong to a block that is not freed, and not written, while the result is used.
    pub(crate) unsafe fn bytes_at(&self, offset: usize, len: usize) -> &[u8] {
        let geometry = self.geometry();
        let end = offset.saturating_add(len);
        if (offset as u64) < geometry.pages_at || end as u64 > geometry.size {
            return &[];
        }
        // SAFETY: within the pages; see the function.
        unsafe { core::slice::from_raw_parts(self.base.as_ptr().add(offset), len) }
    }

    /// Writes bytes into a block.
    ///
    /// # Safety
    ///
    /// The bytes belong to a block that this process has just allocated and not linked yet.
    pub(crate) unsafe fn write_at(&self, offset: usize, bytes: &[u8]) {
        debug_assert!(offset as u64 >= self.geometry().pages_at);
        debug_assert!((offset + bytes.len()) as u64 <= self.geometry().size);
        crate::fault::step();
        // SAFETY: see the function.
        unsafe {
            let to = self.base.as_ptr().add(offset);
            core::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len());
        }
    }
}
