//! The JSON API for back ends: requests in, answers and problems out.
//!
//! As in the rest of this crate nothing here knows nginx or the engine, and nothing panics. A request
//! is looked at as a whole before anything of it is done: what is wrong with it is a [`Problem`].
//!
//! JSON is never read into a tree, so how deep it is nested costs nothing: values that are only passed
//! on stay as they were sent.

pub mod answer;
pub(crate) mod object;
pub mod problem;
pub mod publication;
pub mod query;

pub use problem::Problem;

/// Longest id of a publish in characters.
pub const MAX_ID: usize = 128;
/// Most messages of a history, and channels of a list.
pub const MAX_LIMIT: u64 = 1000;
/// The same, when the request does not say.
pub const DEFAULT_LIMIT: u64 = 100;
