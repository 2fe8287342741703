//! Repair of a shard whose holder died.
//!
//! What can be reached from the hash chains (of channels, of client addresses and of ids), the list of closed channels, the log and (in the
//! commons) the lists of broadcasts and of orders, and the trees of members is the truth. Everything else is made anew: counts, wheel, lists of
//! pages. A block of the shard's pages that cannot be reached goes into limbo, not to a free list,
//! because a reader may be reading it. Killed in its turn, the repair is begun again.

use std::collections::HashMap;

use crate::blocks::{CLASSES, SIZES, blocks_in_page};
use crate::broadcast::Body;
use crate::cell::Ref;
use crate::channel::{CLOSED, Channel, NOT_IN_WHEEL};
use crate::message::Head;
use crate::pages::{Owned, RUN};
use crate::shard::Guard;

/// Places that are reached, by unit; sorted before it is asked.
#[derive(Default)]
pub(crate) struct Reached {
    places: Vec<u32>,
}

impl Reached {
    fn add<T>(&mut self, place: Ref<T>) {
        self.places.push(place.units());
    }

    fn sort(&mut self) {
        self.places.sort_unstable();
    }

    /// Whether a block at that place is reached.
    pub(crate) fn has<T>(&self, place: Ref<T>) -> bool {
        self.places.binary_search(&place.units()).is_ok()
    }

    /// How many are.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }
}

impl Guard<'_> {
    /// Makes everything anew that is not the truth; whether it could.
    pub(crate) fn repair(&self) -> bool {
        let zone = self.zone;
        if self.index == zone.commons() {
            self.collect_garbage(&self.reach_bodies());
        } else {
            self.settle_ids();
            self.settle_closed();
            if !self.recount_broadcasts() {
                return false;
            }
            self.recount();
            self.recount_members();
            self.collect_garbage(&self.reach());
            self.rebuild_wheel();
            self.rebuild_empty();
            for (_, slot) in zone.slots() {
                slot.resync.set(1);
            }
        }
        self.shard.broken.set(0);
        zone.header().repairs.next();
        true
    }

    /// A channel that was being closed: closing it is brought to its end.
    fn settle_closed(&self) {
        for bucket in 0..self.zone.geometry().buckets as usize {
            for place in self.chain(bucket).collect::<Vec<_>>() {
                let Some(channel) = self.zone.at(place).filter(|c| c.is(CLOSED)) else {
                    continue;
                };
                if !self.closed_channels().contains(&place) {
                    channel.wheel_next.set(self.shard.closed.get());
                    self.shard.closed.set(Some(place));
                }
                self.unchain(place, channel);
            }
        }
        for place in self.closed_channels() {
            let Some(channel) = self.zone.at(place) else {
                continue;
            };
            channel.wheel_slot.set(NOT_IN_WHEEL);
            if channel.records.get().is_none() {
                self.free_closed(place, channel);
            }
        }
    }

    fn recount(&self) {
        let (mut channels, mut subscribers, mut messages) = (0, 0, 0);
        for bucket in 0..self.zone.geometry().buckets as usize {
            channels += self.chain(bucket).count() as u32;
        }
        for place in self.all_channels() {
            let Some(channel) = self.zone.at(place) else {
                continue;
            };
            let count = self
                .records(channel)
                .map(|(_, record)| record.count.get())
                .sum();
            channel.subscribers.set(count);
            if Some(place) != self.shard.log.get() {
                subscribers += count;
            }
            let seqs = channel.first.get()..channel.next.get();
            let living = seqs.filter(|seq| self.message(channel, *seq).is_some());
            messages += living.count() as u32;
        }
        self.shard.channels.set(channels);
        self.shard.subscribers.set(subscribers);
        self.shard.messages.set(messages);
        self.shard.addresses.set(self.all_entries().len() as u32);
    }

    fn recount_members(&self) {
        for channel in self
            .all_channels()
            .into_iter()
            .filter_map(|c| self.zone.at(c))
        {
            self.settle_members(channel);
        }
    }

    /// Counts the ring entries of each broadcast anew. Each count is one store from what stood there
    /// to what is true, and what stood there is never too low; so a repair that is cut short leaves no
    /// body to be let go that a ring still leads to.
    fn recount_broadcasts(&self) -> bool {
        let Some(commons) = self.zone.lock_commons() else {
            return false;
        };
        let mut entries: HashMap<u32, u32> = HashMap::new();
        self.each_message(|message| {
            if self.zone.at(message).is_some_and(Head::is_broadcast) {
                *entries.entry(Body::of(message).units()).or_default() += 1;
            }
        });
        for place in commons.bodies() {
            if let Some(body) = self.zone.at(place) {
                let count = entries.get(&place.units()).copied().unwrap_or_default();
                body.counts[self.index].set(count);
            }
            commons.retire_body(place);
        }
        true
    }

    fn each_message(&self, mut each: impl FnMut(Ref<Head>)) {
        for channel in self
            .all_channels()
            .into_iter()
            .filter_map(|c| self.zone.at(c))
        {
            for seq in channel.first.get()..channel.next.get() {
                if let Some(message) = self.message(channel, seq) {
                    each(message);
                }
            }
        }
    }

    /// The blocks that a shard's channels reach in its own pages.
    pub(crate) fn reach(&self) -> Reached {
        let mut reached = Reached::default();
        for place in self.all_channels() {
            let Some(channel) = self.zone.at(place) else {
                continue;
            };
            reached.add(place);
            if let Some(ring) = channel.ring.get() {
                reached.add(ring);
            }
            for (record, _) in self.records(channel) {
                if record != Channel::own_record(place) {
                    reached.add(record);
                }
            }
            for member in self.member_places(channel) {
                reached.add(member);
            }
        }
        for entry in self.all_entries() {
            reached.add(entry);
        }
        for id in self.all_ids() {
            reached.add(id);
        }
        self.each_message(|message| {
            let Some(head) = self.zone.at(message).filter(|head| !head.is_broadcast()) else {
                return;
            };
            reached.add(message);
            for piece in self.zone.pieces(head.pieces()) {
                reached.add(piece);
            }
        });
        reached.sort();
        reached
    }

    /// The blocks that the commons' lists reach.
    pub(crate) fn reach_bodies(&self) -> Reached {
        let mut reached = Reached::default();
        for body in self.bodies() {
            reached.add(body);
            let head = self.zone.at(Body::message(body));
            for piece in self.zone.pieces(head.and_then(Head::pieces)) {
                reached.add(piece);
            }
        }
        for order in self.all_orders() {
            reached.add(order);
        }
        reached.sort();
        reached
    }

    /// Puts all blocks that are not reached into limbo.
    fn collect_garbage(&self, reached: &Reached) {
        let shard = self.shard;
        for class in 0..CLASSES {
            shard.partial[class].set(0);
        }
        shard.limbo_open.set(None);
        shard.limbo_sealed.set(None);
        let pages: Vec<(usize, Owned)> = self.zone.pages_of(self.index).collect();
        for (index, owned) in pages {
            let page = self.zone.page(index);
            let (count, size) = match owned.class {
                RUN => (1, 0),
                class => {
                    let class = usize::from(class).min(CLASSES - 1);
                    (blocks_in_page(class), usize::from(SIZES[class]))
                }
            };
            page.free.set(0);
            page.fresh.set(count);
            page.used.set(count);
            page.previous.set(0);
            page.next.set(0);
            for number in 0..count as usize {
                let block = Ref::<u8>::at(self.zone.page_start(index) + number * size);
                if !reached.has(block) {
                    self.retire(block);
                }
            }
        }
    }

    fn rebuild_wheel(&self) {
        for head in &self.shard.wheel {
            head.set(None);
        }
        let closed = self.closed_channels();
        for place in self.all_channels() {
            let Some(channel) = self.zone.at(place) else {
                continue;
            };
            if closed.contains(&place) {
                continue;
            }
            channel.wheel_slot.set(NOT_IN_WHEEL);
            channel.wheel_next.set(None);
            channel.wheel_previous.set(None);
            let is_log = Some(place) == self.shard.log.get();
            if is_log {
            } else if channel.len() > 0 {
                // Whether and when its messages end is found when it is looked at.
                self.wheel_insert_at(place, channel, 0);
            } else if channel.subscribers.get() == 0 {
                self.wheel_insert(place, channel);
            }
        }
    }
}
