//! Memory that this process shares with all that it forks.

use core::ptr::{self, NonNull};
use std::io;

/// Fresh zeroed memory, never unmapped, so that it has one address in this process and its children.
pub fn map(size: usize) -> io::Result<NonNull<u8>> {
    // SAFETY: a fresh mapping of its own.
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
    if memory == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(memory.cast::<u8>()).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}
