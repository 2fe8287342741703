//! The layer that wraps nginx: the only place, with [`crate::config`]'s callbacks, where a raw
//! pointer of nginx is touched.
//!
//! nginx runs each worker's event loop on one thread, and calls the module on that thread only;
//! nothing here may be used from another.

pub mod address;
pub mod conf;
pub mod connection;
pub mod cycle;
pub mod event;
pub mod guard;
pub mod log;
pub mod output;
pub mod passage;
mod put_off;
pub mod request;
pub mod shared;
pub mod shim;
pub mod socket;
