//! The process' heap.

/// Gives free pages back to the system, also those between used ones: the C library keeps them by
/// itself, and the pools of a hundred thousand requests that were given back are some 500 MB.
#[cfg(target_env = "gnu")]
pub fn give_back() {
    // SAFETY: malloc_trim(3) may be called at any time; it moves nothing that is in use.
    unsafe { libc::malloc_trim(0) };
}

/// Only the GNU C library has a call for it.
#[cfg(not(target_env = "gnu"))]
pub fn give_back() {}
