//! Bindings of the C shim in `nginx-module/`, made by build.rs with the same headers as nginx.

#![allow(
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals
)]
#![allow(
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    clippy::ptr_as_ptr,
    clippy::borrow_as_ptr
)]

include!(concat!(env!("OUT_DIR"), "/shim.rs"));
