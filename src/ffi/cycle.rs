//! The configuration that this process runs.

use nginx_sys::{ngx_cycle_t, ngx_str_t};

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

/// Files of a worker process, and what may be open of them.
#[derive(Clone, Copy, Debug)]
pub struct Files {
    /// `worker_connections`: clients, listening sockets, and what else is in the event loop.
    pub connections: usize,
    /// The limit of open files.
    pub limit: usize,
    /// What is open beside connections, about.
    pub others: usize,
}

/// What files the workers of a cycle need, and may have.
///
/// # Safety
///
/// `cycle` is a cycle whose configuration was read.
pub unsafe fn files(cycle: *mut ngx_cycle_t) -> Files {
    let (mut connections, mut limit, mut others) = (0, 0, 0);
    // SAFETY: see the function; the numbers are locals.
    unsafe {
        shim::icomet_cycle_files(cycle, &raw mut connections, &raw mut limit, &raw mut others);
    }
    Files {
        connections,
        limit,
        others,
    }
}
