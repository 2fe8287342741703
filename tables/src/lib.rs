//! The tables in which a worker keeps a million of something: entries by index ([`Slab`]), blocks of
//! bytes ([`Arena`]), texts that many have in common ([`Texts`]), who waits for a turn ([`Turns`]). No
//! nginx, no threads.

mod arena;
mod slab;
mod texts;
mod turns;

pub use arena::Arena;
pub use slab::{NONE, Slab};
pub use texts::Texts;
pub use turns::Turns;
