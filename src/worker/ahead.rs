//! What a fan-out asks the processor for ahead: the memory of those whom it serves next.

use icomet_tables::{NONE, Slab};

use super::subscriber::Subscriber;

/// Steps between asking for a subscriber's memory, asking for what that leads to, and its turn.
const DISTANCE: usize = 3;

/// Walks a channel's subscribers some steps ahead of the fan-out.
///
/// It may lose its way when one of them leaves; then it asks for the wrong memory, which is no harm.
pub struct Ahead {
    /// Whom it asks for next.
    at: u32,
    /// For whom it has asked in the last steps.
    asked: [u32; DISTANCE],
    step: usize,
}

impl Ahead {
    /// Begins at the channel's first subscriber.
    pub fn new(subscribers: &Slab<Subscriber>, first: u32) -> Ahead {
        let mut ahead = Ahead {
            at: first,
            asked: [NONE; DISTANCE],
            step: 0,
        };
        for _ in 0..2 * DISTANCE {
            ahead.step(subscribers);
        }
        ahead
    }

    /// One step, for each that the fan-out makes.
    pub fn step(&mut self, subscribers: &Slab<Subscriber>) {
        let index = self.at;
        if let Some(subscriber) = subscribers.get(index) {
            subscriber.sink.ask();
            self.at = subscriber.next;
        }
        self.step = (self.step + 1) % DISTANCE;
        let before = core::mem::replace(&mut self.asked[self.step], index);
        if let Some(subscriber) = subscribers.get(before) {
            subscriber.sink.ask_further();
        }
    }
}
