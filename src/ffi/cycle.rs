//! The configuration that this process runs.

use nginx_sys::{ngx_cycle_t, ngx_str_t, ngx_worker};

use super::conf::bytes;
use super::shim;

/// Name and flags of the variable with that index, if there is one.
pub fn variable_at(index: u16) -> Option<(&'static [u8], usize)> {
    let mut name = ngx_str_t::empty();
    let mut flags = 0;
    // SAFETY: names live as long as the cycle, which lives as long as the process's work with it.
    unsafe {
        let found = shim::icomet_cycle_variable_at(index.into(), &raw mut name, &raw mut flags);
        (found != 0).then(|| (bytes(name), flags))
    }
}

/// The number of worker processes of a cycle that has a master, else 0.
///
/// # Safety
///
/// `cycle` is a cycle whose configuration was read.
pub unsafe fn workers(cycle: *mut ngx_cycle_t) -> usize {
    // SAFETY: see the function.
    unsafe { shim::icomet_cycle_workers(cycle) }
}

/// The number of this worker process among those of its cycle, from 0 on.
pub fn worker_number() -> usize {
    // SAFETY: a plain variable of nginx.
    unsafe { ngx_worker }
}
