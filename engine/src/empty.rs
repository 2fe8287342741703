//! Empty channels: those that never had a message. Anybody who may subscribe can make them for nothing,
//! so they take at most a share of the zone and of its channels, and go first when room is wanted.
//!
//! A channel that a publisher or `sign` makes is none; a first message, or a token, ends it. Those with
//! subscribers count, and stay. Those without are in a list of their shard, the one that is alone for the
//! longest first. Each gets a number when it is listed, from one counter of the zone, so the oldest of all
//! shards is known from the oldest of each.
//!
//! The links stand where a channel's token would, because an empty channel has none. All functions of the
//! guard are called with the shard's lock held. Crash: the flag of a channel is the truth; list and counts
//! are made anew by the shard's repair.

use crate::blocks::{SIZES, class_of};
use crate::cell::Ref;
use crate::channel::{Channel, EMPTY, NAME_AT};
use crate::geometry::PAGE;
use crate::limits::Limits;
use crate::shard::Guard;
use crate::wake::WakeSet;
use crate::zone::Zone;

/// Bytes of a unit in which the memory of empty channels is counted.
const UNIT: usize = 8;

/// Units of memory that a channel takes whose name has so many bytes.
fn units(name: usize) -> u32 {
    let size = NAME_AT + name;
    let block = class_of(size).map_or(size.next_multiple_of(PAGE), |class| {
        usize::from(SIZES[class])
    });
    (block / UNIT) as u32
}

/// The neighbours of a listed channel: the older and the newer one.
type Links = [Option<Ref<Channel>>; 2];

impl Channel {
    fn empty_links(&self) -> Links {
        let links = self.token[0].get();
        [Ref::new((links >> 32) as u32), Ref::new(links as u32)]
    }

    fn set_empty_links(&self, links: Links) {
        let [older, newer] = links.map(|link| u64::from(link.map_or(0, Ref::units)));
        self.token[0].set(older << 32 | newer);
    }

    /// Its number in the order in which channels were listed.
    fn empty_number(&self) -> u64 {
        self.token[1].get()
    }

    /// Empty, and without subscribers.
    fn is_listed(&self) -> bool {
        self.is(EMPTY) && self.subscribers.get() == 0
    }
}

impl Guard<'_> {
    /// Counts and lists a channel that was made with the flag and has no subscribers.
    pub(crate) fn begin_empty(&self, place: Ref<Channel>, channel: &Channel) {
        self.shard.empty.add(1);
        self.shard.empty_units.add(units(self.name(place).len()));
        self.list_empty(place, channel);
    }

    /// A channel is empty no longer, or goes.
    pub(crate) fn end_empty(&self, place: Ref<Channel>, channel: &Channel) {
        if !channel.is(EMPTY) {
            return;
        }
        // Where a repair is due, it makes the list anew.
        if channel.subscribers.get() == 0 && self.shard.broken.get() == 0 {
            self.unlist_empty(channel);
        }
        channel.unflag(EMPTY);
        self.shard.empty.take(1);
        self.shard.empty_units.take(units(self.name(place).len()));
    }

    /// The channel has no subscribers any more.
    pub(crate) fn list_empty(&self, place: Ref<Channel>, channel: &Channel) {
        channel.token[1].set(self.zone.header().empty_numbers.next() + 1);
        self.append_empty(place, channel);
    }

    fn append_empty(&self, place: Ref<Channel>, channel: &Channel) {
        let newest = self.shard.empty_newest.get();
        channel.set_empty_links([newest, None]);
        match newest.and_then(|newest| self.zone.at(newest)) {
            Some(newest) => newest.set_empty_links([newest.empty_links()[0], Some(place)]),
            None => {
                self.shard.empty_oldest.set(Some(place));
                self.shard.empty_since.set(channel.empty_number());
            }
        }
        self.shard.empty_newest.set(Some(place));
    }

    /// The channel, which is listed, is about to get a subscriber, or to go.
    pub(crate) fn unlist_empty(&self, channel: &Channel) {
        let [older, newer] = channel.empty_links();
        match newer.and_then(|newer| self.zone.at(newer)) {
            Some(newer) => newer.set_empty_links([older, newer.empty_links()[1]]),
            None => self.shard.empty_newest.set(older),
        }
        match older.and_then(|older| self.zone.at(older)) {
            Some(older) => older.set_empty_links([older.empty_links()[0], newer]),
            None => {
                self.shard.empty_oldest.set(newer);
                let next = newer.and_then(|newer| self.zone.at(newer));
                let since = next.map_or(0, Channel::empty_number);
                self.shard.empty_since.set(since);
            }
        }
    }

    /// Somebody has asked for the channel, so it is the last to go.
    pub(crate) fn touch_empty(&self, place: Ref<Channel>, channel: &Channel) {
        if channel.is_listed() {
            self.unlist_empty(channel);
            self.list_empty(place, channel);
        }
    }

    /// Lets the oldest go that have no subscribers, `most` at most; how many.
    fn evict_empty(&self, most: usize, wake: &mut WakeSet) -> usize {
        let mut gone = 0;
        for _ in 0..most {
            let Some(place) = self.shard.empty_oldest.get() else {
                break;
            };
            let Some(channel) = self.zone.at(place) else {
                break;
            };
            self.sweep_records(place, channel);
            if channel.records.get().is_some() {
                // A worker has it in a list yet.
                self.unlist_empty(channel);
                self.list_empty(place, channel);
                continue;
            }
            self.wheel_remove(channel);
            self.free_channel(place, channel, wake);
            gone += 1;
        }
        gone
    }

    /// For the repair: counts and lists anew.
    pub(crate) fn rebuild_empty(&self) {
        let (mut empty, mut taken) = (0, 0);
        let mut alone = Vec::new();
        for place in self.all_channels() {
            let Some(channel) = self.zone.at(place).filter(|c| c.is(EMPTY)) else {
                continue;
            };
            empty += 1;
            taken += units(self.name(place).len());
            if channel.is_listed() {
                alone.push((channel.empty_number(), place));
            }
        }
        self.shard.empty.set(empty);
        self.shard.empty_units.set(taken);
        self.shard.empty_oldest.set(None);
        self.shard.empty_newest.set(None);
        self.shard.empty_since.set(0);
        alone.sort_unstable_by_key(|(number, place)| (*number, place.units()));
        for (_, place) in alone {
            if let Some(channel) = self.zone.at(place) {
                self.append_empty(place, channel);
            }
        }
    }

    /// Checks list and counts.
    pub(crate) fn verify_empty(&self, faults: &mut Vec<String>) {
        let mut fault = |text: &str| faults.push(format!("shard {}: {text}", self.index));
        let (mut empty, mut taken, mut alone) = (0, 0, 0);
        for place in self.all_channels() {
            let Some(channel) = self.zone.at(place).filter(|c| c.is(EMPTY)) else {
                continue;
            };
            empty += 1;
            taken += units(self.name(place).len());
            alone += usize::from(channel.is_listed());
            if channel.len() > 0 {
                fault("a channel with messages is taken for empty");
            }
        }
        if (empty, taken) != (self.shard.empty.get(), self.shard.empty_units.get()) {
            fault("a wrong count of empty channels");
        }
        let mut at = self.shard.empty_oldest.get();
        let first = at.and_then(|at| self.zone.at(at));
        if self.shard.empty_since.get() != first.map_or(0, Channel::empty_number) {
            fault("a wrong age of the oldest empty channel");
        }
        let (mut listed, mut last, mut number) = (0, None, 0);
        while let Some((place, channel)) = at.and_then(|at| Some((at, self.zone.at(at)?))) {
            let [older, newer] = channel.empty_links();
            if older != last || !channel.is_listed() || channel.empty_number() < number {
                fault("a bad list of empty channels");
                break;
            }
            number = channel.empty_number();
            (last, at) = (Some(place), newer);
            listed += 1;
            if listed > alone {
                break;
            }
        }
        if listed != alone || last != self.shard.empty_newest.get() {
            fault("an empty channel is not listed, or twice");
        }
    }
}

impl Zone {
    /// Channels that never had a message.
    pub(crate) fn empty_channels(&self) -> u64 {
        (0..self.shard_count())
            .map(|index| u64::from(self.shard(index).empty.get()))
            .sum()
    }

    /// Whether one more is within their share, with a name of so many bytes.
    pub(crate) fn takes_empty(&self, name: usize, limits: &Limits) -> bool {
        let share = u64::from(limits.empty_channels.min(100));
        let most = (u128::from(limits.max_channels) * u128::from(share) / 100).max(1);
        let taken: u64 = (0..self.shard_count())
            .map(|index| u64::from(self.shard(index).empty_units.get()))
            .sum();
        let memory = u64::from(self.geometry().pages) * (PAGE / UNIT) as u64 * share / 100;
        u128::from(self.empty_channels()) < most && taken + u64::from(units(name)) <= memory
    }

    /// Lets empty channels without subscribers go, in the shard that has the oldest of them, `most` at
    /// most; how many. Costs the same however many there are.
    pub(crate) fn evict_empty(&self, most: usize, wake: &mut WakeSet) -> usize {
        let oldest = (0..self.shard_count())
            .map(|index| (self.shard(index).empty_since.get(), index))
            .filter(|(since, _)| *since != 0)
            .min();
        let Some((_, index)) = oldest else { return 0 };
        let gone = self
            .lock(index, wake)
            .map_or(0, |guard| guard.evict_empty(most, wake));
        self.header().empty_evictions.plus(gone as u64);
        gone
    }
}
