//! Who waits for a turn: a line in which each stands once, and those who come back into it at a time.

use std::collections::{BTreeSet, HashMap, VecDeque};

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// With the number of its place in the line.
    Ready(u64),
    Paused(u64),
}

/// A line by index, in which nobody overtakes. Whoever is paused is not in it, and costs nothing until the
/// time that was set.
#[derive(Default)]
pub struct Turns {
    /// Places by number. Some may have left theirs; of those the states know nothing.
    line: VecDeque<(u64, u32)>,
    places: u64,
    paused: BTreeSet<(u64, u32)>,
    states: HashMap<u32, State>,
}

impl Turns {
    /// It wants a turn: it goes to the end of the line, unless it stands in it or is paused.
    pub fn ready(&mut self, index: u32) {
        if self.states.contains_key(&index) {
            return;
        }
        self.places += 1;
        self.states.insert(index, State::Ready(self.places));
        self.line.push_back((self.places, index));
    }

    /// The first in the line, who leaves it.
    pub fn take(&mut self) -> Option<u32> {
        loop {
            let (place, index) = self.line.pop_front()?;
            if self.states.get(&index) == Some(&State::Ready(place)) {
                self.states.remove(&index);
                return Some(index);
            }
        }
    }

    /// It has no turn before that time.
    pub fn pause(&mut self, index: u32, until: u64) {
        self.forget(index);
        self.states.insert(index, State::Paused(until));
        self.paused.insert((until, index));
    }

    /// Those whose time has come go into the line.
    pub fn wake(&mut self, now: u64) {
        while let Some(&(until, index)) = self.paused.first() {
            if until > now {
                return;
            }
            self.paused.pop_first();
            self.states.remove(&index);
            self.ready(index);
        }
    }

    /// It is not there any more.
    pub fn forget(&mut self, index: u32) {
        if let Some(State::Paused(until)) = self.states.remove(&index) {
            self.paused.remove(&(until, index));
        }
        if self.states.is_empty() {
            self.line.clear();
        }
    }

    /// Whether it is paused.
    pub fn is_paused(&self, index: u32) -> bool {
        matches!(self.states.get(&index), Some(State::Paused(_)))
    }

    /// Whether nobody stands in the line.
    pub fn is_idle(&self) -> bool {
        self.states.len() == self.paused.len()
    }

    /// When the first of those who are paused comes back.
    pub fn due(&self) -> Option<u64> {
        self.paused.first().map(|(until, _)| *until)
    }
}
