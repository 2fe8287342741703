//! Hooks: a back end is told what happens in a hub, by POSTs of JSON batches. No nginx here.
//!
//! A [`Service`] is one thread with a tokio runtime, for all hooks of a worker process. Its owner offers
//! [`Event`]s, which never waits: a hook's queue is bounded, and what does not fit is left out. What the
//! thread has to say (counts, lines for the log) comes back as [`Report`]s, and an eventfd is rung for
//! them. Each hook has one connection and one batch under way, so a back end gets a worker's events in
//! order; a batch that fails is sent again, the same bytes, until the back end takes it.

mod client;
mod config;
mod delivery;
mod event;
mod service;
mod sign;
mod target;
mod tls;
mod trouble;

pub use config::{Hook, Secret, SecretError};
pub use event::{About, Event, Kind, Kinds, Names};
pub use service::{Level, Report, Service};
pub use sign::{signature, verify};
pub use target::{Target, TargetError};
pub use tls::{Authorities, AuthoritiesError};
