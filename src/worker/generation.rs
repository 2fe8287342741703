//! Generations: the workers of one configuration, and how those of the next find them.
//!
//! Life cycle: each time a configuration was read, and before it forks workers for it, the master begins
//! a generation: it counts on ([`Shared`]) and makes an inbox (a pair of sockets) for each of its workers.
//! A worker takes the reading end of its own, notes where it stands, and looks for the inboxes of the
//! older workers that live. A worker that nginx starts anew in place of one that died does the same. The
//! master keeps the inboxes of generations that have workers, [`KEPT`] at most; a worker after some seconds
//! its own end alone.
//!
//! Without descriptors for the inboxes, or without a master, nothing can move: a reload ends
//! subscriptions then, politely.

use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use icomet_engine::{Registry, WORKER_SLOTS, WorkerId};

use super::handover::wire;
use crate::ffi::shared;

/// Generations whose inboxes the master keeps, at most: descriptors are few in a master. The workers of
/// one that is older than all of them have had hellos of newer generations.
const KEPT: usize = 4;

/// Milliseconds for which a new worker looks for older ones.
const LOOKING: u64 = 10_000;

/// Who stands where, for all workers of one master.
///
/// Concurrency: `current` is written by the master alone; `request_handler` by any worker, always with the
/// same value; an entry by the worker that holds its slot, and read by any. Crash: the entry of a worker that died is that of an incarnation that lives no more, which
/// every reader asks the [`Registry`] about.
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
    number: AtomicU32,
}

/// The inbox of one worker; writing end, and reading end.
struct Inbox(OwnedFd, OwnedFd);

struct Inboxes {
    generation: u32,
    /// By the worker's number.
    inboxes: Vec<Inbox>,
}

struct Generations {
    shared: &'static Shared,
    /// The generation that this process has begun, or was forked for. The master may be further than a
    /// worker that is still starting.
    begun: u32,
    /// In a worker, those of older generations only, and for a while.
    kept: Vec<Inboxes>,
    /// The older workers that this worker has found, and until when it looks for others.
    found: Vec<WorkerId>,
    until: u64,
}

static GENERATIONS: Mutex<Option<Generations>> = Mutex::new(None);

/// Where a worker stands.
pub struct Joined {
    /// Its generation.
    pub generation: u32,
    /// Where newer workers say hello; none when the master could not make it.
    pub inbox: Option<OwnedFd>,
}

impl Shared {
    /// Each worker that lives, its generation and its number; not the calling one.
    fn living(&self, registry: &Registry, me: Option<WorkerId>) -> Vec<(WorkerId, u32, usize)> {
        let slots = (0..WORKER_SLOTS as u16).filter(|slot| Some(*slot) != me.map(|me| me.slot));
        slots
            .filter_map(|slot| {
                let entry = &self.workers[usize::from(slot)];
                let incarnation = entry.incarnation.load(Ordering::Acquire);
                let worker = WorkerId { slot, incarnation };
                let stands = (
                    worker,
                    entry.generation.load(Ordering::Relaxed),
                    entry.number.load(Ordering::Relaxed) as usize,
                );
                (incarnation != 0 && registry.is_alive(worker)).then_some(stands)
            })
            .collect()
    }
}

/// Begins a generation of so many workers, in the master.
pub fn begin(workers: usize, registry: &Registry) -> io::Result<()> {
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
                kept: Vec::new(),
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
    let living = generations.shared.living(registry, None);
    // Workers of the last one may be starting still.
    generations.kept.retain(|kept| {
        let is_lived = living.iter().any(|(_, lived, _)| *lived == kept.generation);
        is_lived || kept.generation + 1 == generation
    });
    if generations.kept.len() == KEPT {
        generations.kept.remove(0);
    }
    let inboxes = (0..workers)
        .map(|_| wire::pair().map(|(write, read)| Inbox(write, read)))
        .collect::<io::Result<_>>()?;
    generations.kept.push(Inboxes {
        generation,
        inboxes,
    });
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

/// Joins the generation that this process was forked for, as its worker of that number. `now` is in
/// milliseconds.
pub fn join(me: WorkerId, number: usize, now: u64) -> Option<Joined> {
    let mut generations = GENERATIONS.lock().unwrap_or_else(PoisonError::into_inner);
    let generations = generations.as_mut()?;
    let shared = generations.shared;
    let generation = generations.begun;
    let entry = &shared.workers[usize::from(me.slot) % WORKER_SLOTS];
    entry.incarnation.store(0, Ordering::Release);
    entry.generation.store(generation, Ordering::Relaxed);
    entry.number.store(number as u32, Ordering::Relaxed);
    entry.incarnation.store(me.incarnation, Ordering::Release);

    // Only this process's copies are closed with what is taken here.
    let newest = generations
        .kept
        .pop_if(|newest| newest.generation == generation);
    let inbox = newest.and_then(|mut newest| {
        (number < newest.inboxes.len()).then(|| newest.inboxes.swap_remove(number).1)
    });
    generations.until = now + LOOKING;
    Some(Joined { generation, inbox })
}

/// The inboxes of older workers that live and were not found before. One that starts slowly comes later
/// than a newer generation, so each worker looks for some seconds.
pub fn elders(me: WorkerId, registry: &Registry, now: u64) -> Vec<OwnedFd> {
    let mut generations = GENERATIONS.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(generations) = generations.as_mut().filter(|known| !known.kept.is_empty()) else {
        return Vec::new();
    };
    let mut inboxes = Vec::new();
    for (worker, elder, number) in generations.shared.living(registry, Some(me)) {
        if elder >= generations.begun || generations.found.contains(&worker) {
            continue;
        }
        let of_elder = generations
            .kept
            .iter()
            .find(|kept| kept.generation == elder);
        if let Some(inbox) = of_elder.and_then(|kept| kept.inboxes.get(number)) {
            inboxes.extend(inbox.0.try_clone());
            generations.found.push(worker);
        }
    }
    if now > generations.until {
        generations.kept.clear();
    }
    inboxes
}
