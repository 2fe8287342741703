//! The words that shared structures are made of, and references between them.
//!
//! Guarantees: every word is an atomic, so a reader never sees half of one. `set` is a release store
//! and `get` an acquire load: whoever sees a word sees everything that was stored before it. A
//! process killed between two `set`s leaves exactly the earlier ones behind.

use core::fmt;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::fault;

/// A 32-bit word in the zone.
#[derive(Debug)]
#[repr(transparent)]
pub struct Word(AtomicU32);

impl Word {
    /// Reads it.
    pub fn get(&self) -> u32 {
        self.0.load(Ordering::Acquire)
    }

    /// Stores it.
    pub fn set(&self, value: u32) {
        fault::step();
        self.0.store(value, Ordering::Release);
    }

    /// Stores it and gives what stood there.
    pub fn swap(&self, value: u32) -> u32 {
        fault::step();
        self.0.swap(value, Ordering::AcqRel)
    }

    /// Stores it if `old` stands there; else gives what does.
    pub fn replace(&self, old: u32, value: u32) -> Result<(), u32> {
        fault::step();
        self.0
            .compare_exchange(old, value, Ordering::AcqRel, Ordering::Acquire)
            .map(drop)
    }

    /// Adds, under the lock that owns the word.
    pub fn add(&self, n: u32) {
        self.set(self.get().wrapping_add(n));
    }

    /// Takes off, under the lock that owns the word; not below zero.
    pub fn take(&self, n: u32) {
        self.set(self.get().saturating_sub(n));
    }
}

/// A 64-bit word in the zone.
#[derive(Debug)]
#[repr(transparent)]
pub struct Long(AtomicU64);

impl Long {
    /// Reads it.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Stores it.
    pub fn set(&self, value: u64) {
        fault::step();
        self.0.store(value, Ordering::Release);
    }

    /// Stores it where all processes see it before anything that follows.
    pub fn publish(&self, value: u64) {
        self.0.store(value, Ordering::SeqCst);
        core::sync::atomic::fence(Ordering::SeqCst);
    }

    /// Adds for all processes.
    pub fn plus(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Adds one for all processes, and gives what stood there.
    pub fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

/// Bytes in one unit of a [`Ref`]: the alignment of every block.
pub const UNIT: usize = 8;

/// A place in the zone, counted in units from its base; the same in every process.
#[repr(transparent)]
pub struct Ref<T>(u32, PhantomData<*const T>);

impl<T> fmt::Debug for Ref<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ref({})", self.0)
    }
}

impl<T> Clone for Ref<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Ref<T> {}

impl<T> PartialEq for Ref<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<T> Eq for Ref<T> {}

impl<T> Ref<T> {
    /// The place with that number; `None` for 0, which is no place.
    pub fn new(units: u32) -> Option<Ref<T>> {
        (units != 0).then_some(Ref(units, PhantomData))
    }

    /// The place at that many bytes from the base: whole units, and not the base itself.
    pub fn at(offset: usize) -> Ref<T> {
        debug_assert!(offset != 0 && offset.is_multiple_of(UNIT));
        Ref((offset / UNIT) as u32, PhantomData)
    }

    /// Its number.
    pub fn units(self) -> u32 {
        self.0
    }

    /// Its distance from the zone's base in bytes.
    pub fn offset(self) -> usize {
        self.0 as usize * UNIT
    }

    /// The same place, seen as another type.
    pub fn cast<U>(self) -> Ref<U> {
        Ref(self.0, PhantomData)
    }

    /// The place that many bytes further, which are whole units.
    pub fn forward<U>(self, bytes: usize) -> Ref<U> {
        Ref(self.0 + (bytes / UNIT) as u32, PhantomData)
    }

    /// The place that many bytes before, which are whole units.
    pub fn back<U>(self, bytes: usize) -> Ref<U> {
        Ref(self.0 - (bytes / UNIT) as u32, PhantomData)
    }
}

/// A word that refers to a place, or to none.
#[repr(transparent)]
pub struct Link<T>(Word, PhantomData<*const T>);

impl<T> Link<T> {
    /// Where it leads.
    pub fn get(&self) -> Option<Ref<T>> {
        Ref::new(self.0.get())
    }

    /// Lets it lead elsewhere, by one store.
    pub fn set(&self, to: Option<Ref<T>>) {
        self.0.set(to.map_or(0, Ref::units));
    }
}
