//! The wire format: parameters in, frames out.
