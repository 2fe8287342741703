//! Generations: the workers of one configuration, and how those of the next find them.
//!
//! Life cycle: each time a configuration was read, and before it forks workers for it, the master begins
//! a generation: it counts on ([`Shared`]). A worker opens an inbox, a socket that listens under an abstract
//! name, notes where it stands, and looks for the inboxes of the older workers that live. A worker that nginx
//! starts anew in place of one that died does the same. So nobody inherits a descriptor, and a process has as
//! many as there are workers of other generations that live.
//!
//! A name can be connected to by anybody in the same network namespace, and taken by anybody once its owner
//! is dead. So each end asks the kernel for the other's process ([`wire::process_of`]), and speaks to workers
//! of this master alone.
//!
//! Without an inbox, or without a master, nothing can move: a reload ends subscriptions then, politely.

use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use icomet_engine::{Registry, WORKER_SLOTS, WorkerId};

use super::handover::wire;
use crate::ffi::shared;

/// Milliseconds for which a new worker looks for older ones.
const LOOKING: u64 = 10_000;

/// Who stands where, for all workers of one master.
///
/// Concurrency: `current` is written by the master alone; `request_handler` by any worker, always with the
/// same value; an entry by the worker that holds its slot, and read by any. Crash: the entry of a worker that
/// died is that of an incarnation that lives no more, which every reader asks the [`Registry`] about.
#[repr(C)]
struct Shared {
    current: AtomicU32,
    /// Where nginx's handler of requests is; 0: nobody has parked a request yet.
    request_handler: AtomicUsize,
    workers: [Entry; WORKER_SLOTS],
}

#[repr(C)]
struct Entry {
    /// Written last, so that whoever finds it finds the others.
    incarnation: AtomicU32,
    generation: AtomicU32,
    process: AtomicU32,
    /// The number in its inbox's name; 0: it has none.
    inbox: AtomicU64,
}

/// Where a worker that lives stands.
#[derive(Clone, Copy)]
pub struct Standing {
    worker: WorkerId,
    generation: u32,
    process: u32,
    inbox: u64,
}

struct Generations {
    shared: &'static Shared,
    /// The generation that this process has begun, or was forked for. The master may be further than a
    /// worker that is still starting.
    begun: u32,
    /// The older workers that this worker has said hello to, and until when it looks for others.
    found: Vec<WorkerId>,
    until: u64,
}

static GENERATIONS: Mutex<Option<Generations>> = Mutex::new(None);

/// Where this worker stands.
pub struct Joined {
    /// Its generation.
    pub generation: u32,
    /// Where newer workers say hello.
    pub inbox: io::Result<OwnedFd>,
}

impl Entry {
    /// Where its worker stands, if that lives.
    fn living(&self, slot: usize, registry: &Registry) -> Option<Standing> {
        let incarnation = self.incarnation.load(Ordering::Acquire);
        let standing = Standing {
            worker: WorkerId {
                slot: slot as u16,
                incarnation,
            },
            generation: self.generation.load(Ordering::Relaxed),
            process: self.process.load(Ordering::Relaxed),
            inbox: self.inbox.load(Ordering::Relaxed),
        };
        (incarnation != 0 && registry.is_alive(standing.worker)).then_some(standing)
    }
}

/// Begins a generation, in the master.
pub fn begin() -> io::Result<()> {
    let mut generations = GENERATIONS.lock().unwrap_or_else(PoisonError::into_inner);
    let generations = match &mut *generations {
        Some(known) => known,
        none => {
            let memory = shared::map(size_of::<Shared>())?;
            // SAFETY: zeroed memory of that size, aligned to a page, made of atomics; never unmapped.
            let shared = unsafe { memory.cast::<Shared>().as_ref() };
            none.insert(Generations {
                shared,
                begun: 0,
                found: Vec::new(),
                until: 0,
            })
        }
    };
    let generation = generations.shared.current.load(Ordering::Relaxed) + 1;
    generations.begun = generation;
    generations
        .shared
        .current
        .store(generation, Ordering::Release);
    Ok(())
}

/// The newest generation; 0 without any.
pub fn newest() -> u32 {
    let generations = GENERATIONS.lock().unwrap_or_else(PoisonError::into_inner);
    generations
        .as_ref()
        .map_or(0, |known| known.shared.current.load(Ordering::Acquire))
}

/// Whether there is a newer generation than this process's own: it ends because of a reload.
pub fn is_superseded() -> bool {
    let generations = GENERATIONS.lock().unwrap_or_else(PoisonError::into_inner);
    generations
        .as_ref()
        .is_some_and(|known| known.shared.current.load(Ordering::Acquire) > known.begun)
}

/// Notes for newer workers where nginx's handler of requests is.
pub fn note_request_handler(address: usize) {
    let generations = GENERATIONS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = generations.as_ref().filter(|_| address != 0) {
        known
            .shared
            .request_handler
            .store(address, Ordering::Relaxed);
    }
}

/// Where nginx's handler of requests is, if an older worker has noted it.
pub fn request_handler() -> Option<usize> {
    let generations = GENERATIONS.lock().unwrap_or_else(PoisonError::into_inner);
    let address = generations
        .as_ref()?
        .shared
        .request_handler
        .load(Ordering::Relaxed);
    (address != 0).then_some(address)
}

/// Joins the generation that this process was forked for, as the worker `me`. `now` is in milliseconds.
pub fn join(me: WorkerId, now: u64) -> Option<Joined> {
    let mut generations = GENERATIONS.lock().unwrap_or_else(PoisonError::into_inner);
    let generations = generations.as_mut()?;
    let generation = generations.begun;
    let inbox = getrandom::u64()
        .map_err(io::Error::other)
        .and_then(|name| Ok((name, wire::listen(name)?)));
    let name = inbox.as_ref().map_or(0, |(name, _)| *name);
    let entry = &generations.shared.workers[usize::from(me.slot) % WORKER_SLOTS];
    entry.incarnation.store(0, Ordering::Release);
    entry.generation.store(generation, Ordering::Relaxed);
    entry.process.store(std::process::id(), Ordering::Relaxed);
    entry.inbox.store(name, Ordering::Relaxed);
    entry.incarnation.store(me.incarnation, Ordering::Release);
    generations.until = now + LOOKING;
    Some(Joined {
        generation,
        inbox: inbox.map(|(_, inbox)| inbox),
    })
}

/// The older workers that live and were not greeted. One that starts slowly comes later than a newer
/// generation, so each worker looks for some seconds.
pub fn elders(registry: &Registry, now: u64) -> Vec<Standing> {
    let generations = GENERATIONS.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(known) = generations.as_ref().filter(|known| now <= known.until) else {
        return Vec::new();
    };
    let entries = known.shared.workers.iter().enumerate();
    entries
        .filter(|(_, entry)| (1..known.begun).contains(&entry.generation.load(Ordering::Relaxed)))
        .filter_map(|(slot, entry)| entry.living(slot, registry))
        .filter(|elder| elder.generation < known.begun && elder.inbox != 0)
        .filter(|elder| !known.found.contains(&elder.worker))
        .collect()
}

/// A socket to an older worker, which that one takes for a hello.
pub fn greet(elder: &Standing) -> io::Result<OwnedFd> {
    let socket = wire::connect(elder.inbox)?;
    if wire::process_of(&socket)? != elder.process {
        return Err(io::Error::other("its name belongs to another process"));
    }
    let mut generations = GENERATIONS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = generations.as_mut() {
        known.found.push(elder.worker);
    }
    Ok(socket)
}

/// The generation of the worker in that process, if that lives and is newer than this one.
pub fn of_newer(process: u32, registry: &Registry) -> Option<u32> {
    let generations = GENERATIONS.lock().unwrap_or_else(PoisonError::into_inner);
    let known = generations.as_ref()?;
    let entries = known.shared.workers.iter().enumerate();
    entries
        .filter(|(_, entry)| entry.process.load(Ordering::Relaxed) == process)
        .filter_map(|(slot, entry)| entry.living(slot, registry))
        .find(|newer| newer.process == process && newer.generation > known.begun)
        .map(|newer| newer.generation)
}
