//! A zone in shared memory, children that are forked, and how they end.

#![allow(dead_code, missing_docs, clippy::unwrap_used, clippy::panic)]

use std::cell::RefCell;
use std::ptr::{self, NonNull};

use icomet_engine::{
    Authority, ChannelRef, Limits, MessageRef, OnFull, Registry, Request, Stay, SubscribeError,
    Subscription, WakeSet, WorkerId, Zone,
};

pub const NOW: u64 = 1_000_000_000;

pub struct Shared {
    base: NonNull<u8>,
    size: usize,
}

impl Shared {
    pub fn new(size: usize) -> Shared {
        // SAFETY: a fresh shared mapping.
        let memory = unsafe {
            libc::mmap(
                ptr::null_mut(),
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(memory, libc::MAP_FAILED);
        Shared {
            base: NonNull::new(memory.cast()).unwrap(),
            size,
        }
    }

    pub fn base(&self) -> NonNull<u8> {
        self.base
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: mapped in new; nothing uses it any more.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.size) };
    }
}

/// A zone, the registry of its workers, and this process as one of them.
pub struct World {
    pub zone: Zone,
    pub registry: Registry,
    pub me: WorkerId,
    claimed: RefCell<Vec<WorkerId>>,
    _memory: (Shared, Shared),
}

impl Drop for World {
    fn drop(&mut self) {
        // A lock that is held must not be unmapped: the thread's list of robust locks leads to it.
        for id in self.claimed.borrow().iter() {
            self.registry.release(*id);
        }
    }
}

impl World {
    pub fn new(size: usize) -> World {
        let (memory, registry) = (Shared::new(size), Shared::new(Registry::SIZE));
        // SAFETY: both ranges are fresh, shared and live as long as the world.
        let (zone, registry_handle) = unsafe {
            (
                Zone::format(memory.base(), size, 0x1234, [7; 16]).unwrap(),
                Registry::format(registry.base()).unwrap(),
            )
        };
        let me = registry_handle.claim().unwrap();
        zone.attach(me, &limits(), NOW);
        let claimed = RefCell::new(vec![me]);
        World {
            zone,
            registry: registry_handle,
            me,
            claimed,
            _memory: (memory, registry),
        }
    }

    /// A worker that is born now, in this process.
    pub fn worker(&self) -> WorkerId {
        let id = self.registry.claim().unwrap();
        self.zone.attach(id, &limits(), NOW);
        self.claimed.borrow_mut().push(id);
        id
    }

    pub fn publish(&self, name: &str, content: &str) -> u64 {
        let mut wake = WakeSet::default();
        let published = self.zone.publish(
            name.as_bytes(),
            content.as_bytes(),
            &limits(),
            NOW,
            &mut wake,
        );
        published.unwrap().seq
    }

    pub fn subscribe(
        &self,
        worker: WorkerId,
        name: &str,
        seq: u64,
        stay: Stay,
    ) -> Result<(Subscription, Vec<String>), SubscribeError> {
        self.subscribe_as(worker, name, None, seq, stay)
    }

    pub fn subscribe_as(
        &self,
        worker: WorkerId,
        name: &str,
        user: Option<&str>,
        seq: u64,
        stay: Stay,
    ) -> Result<(Subscription, Vec<String>), SubscribeError> {
        let request = Request {
            name: name.as_bytes(),
            seq,
            epoch: None,
            authority: Authority::Open,
            stay,
            user: user.map(str::as_bytes),
        };
        let reading = self.zone.reading(worker);
        let mut found: Vec<MessageRef> = Vec::new();
        let subscription = reading.subscribe(
            &request,
            &limits(),
            NOW,
            &mut found,
            &mut WakeSet::default(),
        )?;
        let texts = found
            .into_iter()
            .map(|m| String::from_utf8_lossy(reading.message(m).content).into_owned())
            .collect();
        Ok((subscription, texts))
    }

    /// A channel as another worker is told of it.
    pub fn life(&self, name: &str, channel: ChannelRef) -> (u32, u64) {
        let info = self.zone.channel(name.as_bytes()).unwrap();
        (channel.number(), info.incarnation)
    }

    pub fn check(&self) {
        if let Err(faults) = self.zone.verify() {
            panic!("the zone is broken:\n{}", faults.join("\n"));
        }
    }

    pub fn reap(&self) -> usize {
        self.zone
            .reap_dead(&self.registry, &limits(), NOW, &mut WakeSet::default())
    }
}

pub fn limits() -> Limits {
    Limits {
        max_channels: 1_000_000,
        empty_channels: 50,
        max_subscribers_per_channel: 1000,
        channel_buffer_size: 4,
        channel_timeout: 30_000,
        message_ttl: 0,
        max_message_size: 1 << 20,
        on_full: OnFull::Refuse,
    }
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Exit(i32),
    Killed,
}

/// Runs work in a child process; its pid.
pub fn fork(work: impl FnOnce()) -> libc::pid_t {
    // SAFETY: the child only runs `work` and leaves by _exit, so no destructor of this process runs.
    unsafe {
        match libc::fork() {
            -1 => panic!("fork: {}", std::io::Error::last_os_error()),
            0 => {
                let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
                libc::_exit(if done.is_ok() { 0 } else { 101 });
            }
            child => child,
        }
    }
}

/// Waits until a child has ended.
pub fn wait(child: libc::pid_t) -> Ended {
    let mut status = 0;
    // SAFETY: waits for a child of ours.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(waited, child);
    if libc::WIFEXITED(status) {
        Ended::Exit(libc::WEXITSTATUS(status))
    } else {
        Ended::Killed
    }
}

/// A small generator of numbers (xorshift64*), so that children need no shared state.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}
