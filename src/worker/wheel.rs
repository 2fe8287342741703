//! Idle times of a worker's subscribers, in one wheel.
//!
//! A subscriber that is sent something only gets a later deadline; its place in the wheel is mended
//! when its old slot comes due. So a message costs nothing here, and a tick costs what is due.

use super::subscriber::Subscriber;
use icomet_tables::{NONE, Slab};

/// Length of a slot in milliseconds.
pub const SLOT: u64 = 100;

/// Slots; deadlines further away than all of them wait in the last and are looked at again.
const SLOTS: u32 = 1024;

/// The tick that a time in milliseconds falls into. 32 bits last for thirteen years of uptime.
pub fn tick(milliseconds: u64) -> u32 {
    (milliseconds / SLOT) as u32
}

/// So many milliseconds, in ticks.
pub fn ticks(milliseconds: u64) -> u32 {
    milliseconds.div_ceil(SLOT) as u32
}

/// Subscribers by deadline. Links are in the subscribers.
pub struct Wheel {
    heads: Vec<u32>,
    /// The tick up to which everything was looked at.
    looked: u32,
}

impl Wheel {
    /// An empty wheel that starts at `now` (milliseconds).
    pub fn new(now: u64) -> Wheel {
        Wheel {
            heads: vec![NONE; SLOTS as usize],
            looked: tick(now),
        }
    }

    /// Puts a subscriber in, by its deadline.
    pub fn insert(&mut self, subscribers: &mut Slab<Subscriber>, index: u32) {
        let Some(deadline) = subscribers.get(index).map(|s| s.deadline) else {
            return;
        };
        let slot = deadline.clamp(self.looked + 1, self.looked + SLOTS - 1);
        let slot = (slot % SLOTS) as u16;
        let head = core::mem::replace(&mut self.heads[usize::from(slot)], index);
        if let Some(next) = subscribers.get_mut(head) {
            next.wheel.previous = index;
        }
        if let Some(subscriber) = subscribers.get_mut(index) {
            subscriber.wheel = Place {
                previous: NONE,
                next: head,
                slot,
            };
        }
    }

    /// Whether a subscriber is in.
    pub fn holds(subscriber: &Subscriber) -> bool {
        subscriber.wheel.slot != Place::OUT
    }

    /// Takes a subscriber out, if it is in.
    pub fn remove(&mut self, subscribers: &mut Slab<Subscriber>, index: u32) {
        let Some(subscriber) = subscribers.get_mut(index) else {
            return;
        };
        let place = core::mem::take(&mut subscriber.wheel);
        if place.slot == Place::OUT {
            return;
        }
        if let Some(next) = subscribers.get_mut(place.next) {
            next.wheel.previous = place.previous;
        }
        match subscribers.get_mut(place.previous) {
            Some(previous) => previous.wheel.next = place.next,
            None => self.heads[usize::from(place.slot)] = place.next,
        }
    }

    /// The subscribers whose deadline has come, taken out; those who got a later one stay in.
    pub fn due(&mut self, subscribers: &mut Slab<Subscriber>, now: u64) -> Vec<u32> {
        let mut due = Vec::new();
        let target = tick(now);
        // After a long stop (SIGSTOP, a jump of the clock) each slot is looked at once.
        if target > self.looked + SLOTS {
            self.looked = target - SLOTS;
        }
        while self.looked < target {
            self.looked += 1;
            let slot = (self.looked % SLOTS) as usize;
            let mut index = core::mem::replace(&mut self.heads[slot], NONE);
            while let Some(subscriber) = subscribers.get_mut(index) {
                let next = core::mem::take(&mut subscriber.wheel).next;
                if subscriber.deadline <= target {
                    due.push(index);
                } else {
                    self.insert(subscribers, index);
                }
                index = next;
            }
        }
        due
    }
}

/// Where in the wheel a subscriber stands.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    previous: u32,
    next: u32,
    slot: u16,
}

impl Place {
    const OUT: u16 = u16::MAX;
}

impl Default for Place {
    fn default() -> Self {
        Place {
            previous: NONE,
            next: NONE,
            slot: Place::OUT,
        }
    }
}
