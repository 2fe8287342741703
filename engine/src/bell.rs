//! Doorbells: how one worker wakes another, whatever their generations.
//!
//! A worker has one datagram socket of its own, bound to an abstract name, and this table in shared
//! memory says the names. So it needs one descriptor, however many workers there are; nothing is
//! inherited, and a worker that begins is reached by all who live, also by those who began earlier.
//!
//! Anybody in the same network namespace can ring too. That wakes a worker in vain, and nothing more:
//! what a datagram holds is not looked at.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, bind, recv,
    sendto, socket_with, sockopt,
};

use crate::registry::WORKER_SLOTS;

/// Datagrams that one answer takes, at most. One of ours is under way to a worker at a time; what is
/// more comes from others.
const TAKEN: usize = 64;

/// One slot.
///
/// Concurrency: `name` is written by the worker that holds the slot; `rung` by any. Crash: the name of
/// a dead worker leads to nobody. A ringer that dies between its two steps leaves `rung` set, and with it
/// the worker unrung until it answers of itself, as it does each second.
#[repr(C, align(64))]
struct Entry {
    /// 0: none.
    name: AtomicU64,
    /// A datagram is under way, so that no other is needed.
    rung: AtomicU32,
}

/// A handle on the table of doorbells.
#[derive(Clone, Copy, Debug)]
pub struct Bells(NonNull<Entry>);

// SAFETY: the entries are made of atomics for use by several processes.
unsafe impl Send for Bells {}
// SAFETY: as above.
unsafe impl Sync for Bells {}

/// A worker's own doorbell, by which it also rings those of others.
#[derive(Debug)]
pub struct Bell {
    bells: Bells,
    slot: u16,
    name: u64,
    socket: OwnedFd,
}

/// The abstract name of a socket of that number, for that use.
pub fn socket_name(number: u64, what: &str) -> io::Result<SocketAddrUnix> {
    let name = format!("icomet-{number:016x}-{what}");
    Ok(SocketAddrUnix::new_abstract_name(name.as_bytes())?)
}

impl Bells {
    /// Bytes of shared memory that the table needs.
    pub const SIZE: usize = size_of::<Entry>() * WORKER_SLOTS;

    /// The table in that memory.
    ///
    /// # Safety
    ///
    /// `base` is the start of [`Bells::SIZE`] bytes of shared memory, aligned to 64 and zeroed before the
    /// first use, that nothing else uses and that stay mapped at that address in every process that uses it.
    pub unsafe fn new(base: NonNull<u8>) -> Bells {
        Bells(base.cast())
    }

    fn entry(&self, slot: u16) -> &Entry {
        // SAFETY: new was given room for all slots; entries are never moved or freed.
        unsafe { self.0.add(usize::from(slot) % WORKER_SLOTS).as_ref() }
    }

    /// Opens the doorbell of a worker that holds the slot. `name` is a random number.
    pub fn open(self, slot: u16, name: u64) -> io::Result<Bell> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
        // What waits at those who stand still counts against the sender: 768 bytes each, for all of them.
        sockopt::set_socket_send_buffer_size(&socket, WORKER_SLOTS * 1024)?;
        bind(&socket, &socket_name(name, "bell")?)?;
        let entry = self.entry(slot);
        entry.rung.store(0, Ordering::Relaxed);
        entry.name.store(name, Ordering::Release);
        Ok(Bell {
            bells: self,
            slot,
            name,
            socket,
        })
    }
}

impl Bell {
    /// Wakes the worker of that slot; a slot that nobody holds is rung in vain.
    pub fn ring(&self, slot: u16) -> io::Result<()> {
        let entry = self.bells.entry(slot);
        let name = entry.name.load(Ordering::Acquire);
        // Who finds it rung knows that the worker is going to look, after what was done before this.
        if name == 0 || entry.rung.swap(1, Ordering::AcqRel) == 1 {
            return Ok(());
        }
        let address = socket_name(name, "bell")?;
        let sent = sendto(&self.socket, &[], SendFlags::NOSIGNAL, &address);
        let Err(error) = sent else {
            return Ok(());
        };
        entry.rung.store(0, Ordering::Release);
        match error {
            // It is full of what others sent, so it wakes; or there is nobody.
            Errno::AGAIN | Errno::CONNREFUSED => Ok(()),
            error => Err(error.into()),
        }
    }

    /// Takes what rang, so that the next ring is one; from here on the worker must look for what there is
    /// to do. Whether there may be more to take.
    pub fn answer(&self) -> bool {
        let mut nothing = [0; 1];
        let is_empty =
            (0..TAKEN).any(|_| recv(&self.socket, &mut nothing[..], RecvFlags::DONTWAIT).is_err());
        // Takes in what was done before the rings that were saved.
        self.bells.entry(self.slot).rung.swap(0, Ordering::AcqRel);
        !is_empty
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        let name = &self.bells.entry(self.slot).name;
        let _ = name.compare_exchange(self.name, 0, Ordering::AcqRel, Ordering::Relaxed);
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Bell {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}
