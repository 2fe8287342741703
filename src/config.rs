//! The configuration: hubs, locations, variables.
//!
//! The setters and callbacks here are named in the tables of `nginx-module/icomet_module.c`.

pub mod arguments;
pub mod channel_rule;
pub mod hook;
pub mod hub;
pub mod hub_block;
pub mod kept;
pub mod location;
pub mod log_publish;
pub mod main;
pub mod places;
pub mod state_file;
pub mod variables;
pub mod zone;
