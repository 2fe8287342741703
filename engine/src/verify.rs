//! Checks of a whole zone, for tests and for the chaos harness.

use std::collections::HashSet;

use crate::blocks::{Block, CLASSES, SIZES, blocks_in_page};
use crate::cell::Ref;
use crate::channel::{CLOSED, Channel, EXPIRING, NOT_IN_WHEEL};
use crate::life::GIVEN;
use crate::pages::RUN;
use crate::repair::Reached;
use crate::shard::Guard;
use crate::zone::Zone;

/// What a whole zone holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Channels.
    pub channels: u64,
    /// Subscribers.
    pub subscribers: u64,
    /// Client addresses, once for each worker that has subscribers of them.
    pub addresses: u64,
    /// Users of channels, once for each channel and worker.
    pub members: u64,
    /// Ids of publishes that are remembered.
    pub ids: u64,
    /// Blocks that are used.
    pub used: u64,
    /// Blocks that are free.
    pub free: u64,
    /// Blocks in limbo.
    pub limbo: u64,
}

impl Zone {
    /// Checks every invariant that holds while no lock is held; locks each shard in turn. `Err`: what
    /// is broken. The dirty lists are checked only as far as nobody takes them meanwhile.
    pub fn verify(&self) -> Result<VerifyReport, Vec<String>> {
        let mut faults = Vec::new();
        let mut report = VerifyReport::default();
        let commons = self.shard_count();
        for index in 0..commons {
            let guard = self.lock_surely(index);
            guard.verify_channels(&mut report, &mut faults);
            guard.verify_empty(&mut faults);
            report.addresses += guard.verify_entries(&mut faults);
            report.ids += guard.verify_ids(&mut faults);
            let reached = guard.reach();
            guard.verify_blocks(&reached, &mut report, &mut faults);
        }
        let guard = self.lock_surely(commons);
        let reached = guard.reach_bodies();
        guard.verify_blocks(&reached, &mut report, &mut faults);
        drop(guard);
        self.verify_pool(&mut faults);
        if faults.is_empty() {
            Ok(report)
        } else {
            Err(faults)
        }
    }
}

impl Guard<'_> {
    fn verify_channels(&self, report: &mut VerifyReport, faults: &mut Vec<String>) {
        let (mut channels, mut subscribers, mut messages) = (0, 0, 0);
        let closed: HashSet<u32> = self.closed_channels().iter().map(|c| c.units()).collect();
        let in_wheel = self.wheel_members(faults);
        let log = self.shard.log.get();
        for place in self.all_channels() {
            let Some(channel) = self.zone.at(place) else {
                faults.push(format!(
                    "shard {}: a channel outside of the zone",
                    self.index
                ));
                continue;
            };
            let name = String::from_utf8_lossy(self.name(place)).into_owned();
            let mut fault = |text: &str| {
                faults.push(format!("shard {}, channel \"{name}\": {text}", self.index));
            };
            let count: u32 = self
                .records(channel)
                .map(|(_, record)| record.count.get())
                .sum();
            if count != channel.subscribers.get() {
                fault("its records do not sum up to its subscribers");
            }
            if self
                .records(channel)
                .any(|(_, record)| record.channel.get() != Some(place))
            {
                fault("a record of another channel");
            }
            if channel.first.get() > channel.next.get() || channel.first.get() == 0 {
                fault("first is beyond next");
            }
            let mut ends_by_time = false;
            report.members += self.verify_members(channel, &mut fault);
            for seq in channel.first.get()..channel.next.get() {
                if self.is_hole(channel, seq) {
                    continue;
                }
                messages += 1;
                match self.message(channel, seq) {
                    Some(message) if self.zone.at(message).is_some() => {
                        ends_by_time |= self.zone.message_until(message).is_some();
                    }
                    _ => fault("a buffered message is not there"),
                }
            }
            let is_log = Some(place) == log;
            let is_closed = closed.contains(&place.units());
            if !is_log {
                subscribers += count;
            }
            if !is_log && !is_closed {
                channels += 1;
                let life = channel.incarnation.get();
                let last = self.zone.header().incarnations.get();
                if life == 0 || (life > last && life < GIVEN) {
                    fault("in an incarnation that nobody gave");
                }
                if channel.is(CLOSED) {
                    fault("closed, and in a hash chain");
                }
                let address = self.zone.address(self.name(place));
                if address.shard != self.index || address.hash != channel.hash.get() {
                    fault("in the wrong place");
                }
                if channel.subscribers.get() == 0 && !in_wheel.contains(&place.units()) {
                    fault("without subscribers, and not in the wheel: it would never expire");
                }
                if ends_by_time && !channel.is(EXPIRING) {
                    fault("a message ends by its own time, and it is not flagged");
                }
                if ends_by_time && !in_wheel.contains(&place.units()) {
                    fault("not in the wheel: a message would never expire");
                }
            }
        }
        let told = [
            ("channels", channels, self.shard.channels.get()),
            ("subscribers", subscribers, self.shard.subscribers.get()),
            ("messages", messages, self.shard.messages.get()),
        ];
        for (what, counted, told) in told {
            if counted != told {
                faults.push(format!(
                    "shard {}: {counted} {what}, {told} told",
                    self.index
                ));
            }
        }
        report.channels += u64::from(channels);
        report.subscribers += u64::from(subscribers);
    }

    fn wheel_members(&self, faults: &mut Vec<String>) -> HashSet<u32> {
        let mut members = HashSet::new();
        for (slot, head) in self.shard.wheel.iter().enumerate() {
            let mut at = head.get();
            let mut previous: Option<Ref<Channel>> = None;
            while let Some(place) = at {
                let Some(channel) = self.zone.at(place) else {
                    break;
                };
                let linked = channel.wheel_previous.get() == previous
                    && channel.wheel_slot.get() == slot as u32
                    && channel.wheel_slot.get() != NOT_IN_WHEEL;
                if !linked || !members.insert(place.units()) {
                    faults.push(format!(
                        "shard {}, wheel slot {slot}: a bad link",
                        self.index
                    ));
                    break;
                }
                previous = at;
                at = channel.wheel_next.get();
            }
        }
        members
    }

    /// Every block is reached, or free, or in limbo, and only one of these.
    fn verify_blocks(
        &self,
        reached: &Reached,
        report: &mut VerifyReport,
        faults: &mut Vec<String>,
    ) {
        let limbo = self.limbo_members(faults);
        let listed = self.listed_pages(faults);
        let mut found = 0;
        for (index, owned) in self.zone.pages_of(self.index) {
            let page = self.zone.page(index);
            let start = self.zone.page_start(index);
            if owned.class == RUN {
                let block = Ref::<Block>::at(start);
                let states = [reached.has(block), limbo.contains(&block.units())];
                if states.iter().filter(|state| **state).count() != 1 {
                    faults.push(format!("run at page {index}: {states:?} (reached, limbo)"));
                }
                found += usize::from(states[0]);
                continue;
            }
            let class = usize::from(owned.class).min(CLASSES - 1);
            let (size, count) = (usize::from(SIZES[class]), blocks_in_page(class));
            let mut free = HashSet::new();
            let mut at = page.free.get();
            while at != 0 && at <= count && free.insert(at - 1) {
                let block = Ref::<Block>::at(start + (at as usize - 1) * size);
                at = self.zone.at(block).map_or(0, |block| block.link.get());
            }
            if at != 0 {
                faults.push(format!(
                    "page {index}: its free list has a loop or a bad link"
                ));
            }
            free.extend(page.fresh.get()..count);
            for number in 0..count {
                let block = Ref::<Block>::at(start + number as usize * size);
                let states = [
                    reached.has(block),
                    free.contains(&number),
                    limbo.contains(&block.units()),
                ];
                if states.iter().filter(|state| **state).count() != 1 {
                    faults.push(format!(
                        "block {number} of {size} bytes in page {index}: {states:?} (reached, \
                         free, limbo)"
                    ));
                }
                found += usize::from(states[0]);
                report.free += u64::from(states[1]);
            }
            if page.used.get() as usize != count as usize - free.len() {
                faults.push(format!("page {index}: a wrong count of used blocks"));
            }
            if listed.contains(&index) == free.is_empty() {
                faults.push(format!(
                    "page {index}: with room and in no list, or the other way"
                ));
            }
        }
        if found != reached.len() {
            faults.push(format!(
                "shard {}: a block is reached twice or elsewhere",
                self.index
            ));
        }
        report.used += found as u64;
        report.limbo += limbo.len() as u64;
    }

    fn limbo_members(&self, faults: &mut Vec<String>) -> HashSet<u32> {
        let mut members = HashSet::new();
        for bag in [&self.shard.limbo_open, &self.shard.limbo_sealed] {
            let mut at = bag.get();
            while let Some(block) = at {
                if !members.insert(block.units()) {
                    faults.push(format!("shard {}: a block is in limbo twice", self.index));
                    break;
                }
                at = self
                    .zone
                    .at(block)
                    .and_then(|entry| Ref::new(entry.link.get()));
            }
        }
        members
    }

    fn listed_pages(&self, faults: &mut Vec<String>) -> HashSet<usize> {
        let mut listed = HashSet::new();
        for (class, head) in self.shard.partial.iter().enumerate() {
            let mut at = head.get();
            while at != 0 {
                let index = at as usize - 1;
                let owned = self.zone.page(index).owned();
                let ours = owned.is_some_and(|owned| {
                    owned.shard as usize == self.index && usize::from(owned.class) == class
                });
                if !ours || !listed.insert(index) {
                    faults.push(format!(
                        "shard {}, class {class}: a bad page list",
                        self.index
                    ));
                    break;
                }
                at = self.zone.page(index).next.get();
            }
        }
        listed
    }
}
