//! Members: the users among a channel's subscribers.
//!
//! A subscriber need not say who it is; of one that does not, nothing is kept here, and a channel without
//! members is not a byte larger. Each user has one entry for each worker on which it has subscribers of the
//! channel, so that what a dead worker had goes with its entries. The entries of a channel are a binary
//! search tree, by keyed hash, id and worker: hashes are random for whoever has not the zone's key, so
//! the tree needs no balancing, and its order is one that a list can go on in from call to call.

use core::cmp::Ordering;

use crate::busy::Later;
use crate::cell::{Link, Long, Ref, Word};
use crate::channel::{Channel, ChannelRef};
use crate::limits::ChannelLimits;
use crate::registry::WorkerId;
use crate::shard::Guard;
use crate::wake::WakeSet;
use crate::zone::Zone;

/// A user on one worker; its id follows in the same block.
///
/// Concurrency: read and written under its channel's shard's lock alone.
///
/// Crash: linked into the tree by one store after its words are set. One whose last subscriber leaves
/// gets the count 0 by one store. With at most one child it is then unlinked by one store, which lifts
/// the child; with two it stays, and tells the way. So there are never more of those than of the others:
/// a leaf is never one of them. The repair unlinks what a death left.
#[repr(C)]
pub struct Member {
    link: Word,
    /// Those that come before it.
    lower: Link<Member>,
    /// Those that come after it.
    higher: Link<Member>,
    /// Its subscribers on that worker; 0: it only tells the way.
    count: Word,
    hash: Long,
    /// The worker's slot.
    slot: Word,
    len: Word,
}

/// Where the id begins.
const ID_AT: usize = size_of::<Member>();

/// A user in a list of members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedMember {
    /// Its id.
    pub user: Vec<u8>,
    /// Its subscribers of the channel, on all workers.
    pub connections: u32,
}

/// What there is to tell of who is subscribed to a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// Subscribers on all workers, of users and of nobody.
    pub subscribers: u32,
    /// Users among them.
    pub users: u32,
    /// A page of these, in an order that only the zone knows.
    pub listed: Vec<ListedMember>,
    /// Where the list goes on, unless this was the last page.
    pub cursor: Option<u64>,
}

/// A place in the order of a tree.
#[derive(Clone, Copy)]
pub(crate) struct Key<'a> {
    hash: u64,
    id: &'a [u8],
    slot: u16,
}

impl Zone {
    pub(crate) fn member_key<'a>(&self, user: &'a [u8], slot: u16) -> Key<'a> {
        Key {
            hash: self.user_tag(user),
            id: user,
            slot,
        }
    }

    /// Who is subscribed to a channel: `limit` users at most, behind the cursor that an earlier page
    /// gave. A user that is there all the while is listed once. `None`: there is no such channel.
    pub fn members(&self, name: &[u8], after: Option<u64>, limit: usize) -> Option<Members> {
        let address = self.address(name);
        let guard = self.lock(address.shard, &mut WakeSet::default())?;
        let (_, channel) = guard.find(address, name)?;
        let mut members = Members {
            subscribers: channel.subscribers.get(),
            users: channel.users().get(),
            ..Members::default()
        };
        let from = match after {
            // Two ids of one hash would have to meet at the end of a page; see user_tag.
            Some(u64::MAX) => return Some(members),
            Some(hash) => hash + 1,
            None => 0,
        };
        let from = Key {
            hash: from,
            id: b"",
            slot: 0,
        };
        let mut last: Option<(u64, &[u8])> = None;
        for (place, member) in guard.members_from(channel, from) {
            let count = member.count.get();
            if count == 0 {
                continue;
            }
            let (hash, id) = (member.hash.get(), guard.member_id(place));
            if last == Some((hash, id)) {
                if let Some(listed) = members.listed.last_mut() {
                    listed.connections += count;
                }
                continue;
            }
            if members.listed.len() >= limit.max(1) {
                members.cursor = last.map(|(hash, _)| hash);
                break;
            }
            last = Some((hash, id));
            members.listed.push(ListedMember {
                user: id.to_vec(),
                connections: count,
            });
        }
        Some(members)
    }

    /// Subscribers that a user has on a channel, on all workers. `None`: there is no such channel.
    pub fn connections(&self, name: &[u8], user: &[u8]) -> Option<u32> {
        let address = self.address(name);
        let guard = self.lock(address.shard, &mut WakeSet::default())?;
        let (_, channel) = guard.find(address, name)?;
        let key = self.member_key(user, 0);
        let entries = guard.entries_of(channel, key);
        Some(entries.map(|member| member.count.get()).sum())
    }

    /// Takes a subscriber of that user, and of this worker, off a channel, as [`Zone::unsubscribe`] does.
    pub fn unsubscribe_user(
        &self,
        worker: WorkerId,
        channel: ChannelRef,
        user: &[u8],
        limits: &impl ChannelLimits,
        now: u64,
    ) {
        if let Some(known) = Ref::<Channel>::new(channel.0).and_then(|place| self.at(place)) {
            let Some(guard) = self.lock(known.shard(), &mut WakeSet::default()) else {
                let later = Later::Unsubscribe(worker, channel, 1, Some(user.into()));
                return self.put_off(later);
            };
            guard.leave_member(known, self.member_key(user, worker.slot));
        }
        // A death here leaves a subscriber of nobody, which goes with the worker.
        self.unsubscribe(worker, channel, 1, limits, now);
    }
}

impl<'z> Guard<'z> {
    fn member_id(&self, place: Ref<Member>) -> &'z [u8] {
        let len = self.zone.at(place).map_or(0, |member| member.len.get());
        // SAFETY: the id is written before the member is linked, and never after; the caller holds the
        // lock under which members are freed, and lets the id go before it.
        unsafe { self.zone.bytes_at(place.offset() + ID_AT, len as usize) }
    }

    fn compare(&self, key: Key<'_>, place: Ref<Member>, member: &Member) -> Ordering {
        let by_hash = key.hash.cmp(&member.hash.get());
        let by_id = || key.id.cmp(self.member_id(place));
        let by_slot = || u32::from(key.slot).cmp(&member.slot.get());
        by_hash.then_with(by_id).then_with(by_slot)
    }

    /// The links that lead to an entry, or to where it would be; the last is its own.
    fn path(&self, channel: &'z Channel, key: Key<'_>) -> Vec<&'z Link<Member>> {
        let mut link = channel.members();
        let mut path = vec![link];
        while let Some((place, member)) = self.member_at(link) {
            link = match self.compare(key, place, member) {
                Ordering::Equal => break,
                Ordering::Less => &member.lower,
                Ordering::Greater => &member.higher,
            };
            path.push(link);
        }
        path
    }

    fn member_at(&self, link: &Link<Member>) -> Option<(Ref<Member>, &'z Member)> {
        let place = link.get()?;
        Some((place, self.zone.at(place)?))
    }

    /// The entry at that place of the order, and else the link that would lead to it.
    fn seek(
        &self,
        channel: &'z Channel,
        key: Key<'_>,
    ) -> Result<&'z Member, Option<&'z Link<Member>>> {
        let link = self.path(channel, key).pop();
        match link.and_then(|link| self.member_at(link)) {
            Some((_, member)) => Ok(member),
            None => Err(link),
        }
    }

    /// All entries in order, from that place on.
    fn members_from(&self, channel: &Channel, from: Key<'_>) -> InOrder<'_, 'z> {
        let mut above = Vec::new();
        let mut at = channel.members().get();
        while let Some((place, member)) = at.and_then(|place| Some((place, self.zone.at(place)?))) {
            at = if self.compare(from, place, member) == Ordering::Greater {
                member.higher.get()
            } else {
                above.push((place, member));
                member.lower.get()
            };
        }
        InOrder { guard: self, above }
    }

    fn all_members(&self, channel: &Channel) -> InOrder<'_, 'z> {
        let first = Key {
            hash: 0,
            id: b"",
            slot: 0,
        };
        self.members_from(channel, first)
    }

    /// The entries of the key's user, on whatever worker.
    fn entries_of(&self, channel: &Channel, key: Key<'_>) -> impl Iterator<Item = &'z Member> {
        let from = Key { slot: 0, ..key };
        let all = self.members_from(channel, from);
        all.take_while(move |(place, member)| {
            member.hash.get() == key.hash && self.member_id(*place) == key.id
        })
        .map(|(_, member)| member)
    }

    fn has_other(&self, channel: &Channel, key: Key<'_>) -> bool {
        let mut entries = self.entries_of(channel, key);
        entries.any(|entry| entry.slot.get() != u32::from(key.slot) && entry.count.get() > 0)
    }

    /// An entry that nothing leads to yet, unless there is one already; `Err` when there is no memory.
    pub(crate) fn ready_member(
        &self,
        channel: &'z Channel,
        key: Key<'_>,
    ) -> Result<Option<Ref<Member>>, ()> {
        if self.seek(channel, key).is_ok() {
            return Ok(None);
        }
        let block = self.allocate(ID_AT + key.id.len()).ok_or(())?;
        let place = block.cast::<Member>();
        let member = self.zone.at(place).ok_or(())?;
        member.lower.set(None);
        member.higher.set(None);
        member.count.set(0);
        member.hash.set(key.hash);
        member.slot.set(key.slot.into());
        member.len.set(key.id.len() as u32);
        // SAFETY: the block was just allocated and holds ID_AT + id.len() bytes.
        unsafe { self.zone.write_at(place.offset() + ID_AT, key.id) };
        Ok(Some(place))
    }

    /// A subscriber of the user was registered; `ready` is what ready_member gave for it.
    pub(crate) fn enter_member(
        &self,
        channel: &'z Channel,
        key: Key<'_>,
        ready: Option<Ref<Member>>,
    ) {
        let was_there = match self.seek(channel, key) {
            Ok(member) => {
                member.count.add(1);
                member.count.get() > 1
            }
            Err(link) => {
                if let (Some(place), Some(link)) = (ready, link) {
                    if let Some(member) = self.zone.at(place) {
                        member.count.set(1);
                    }
                    link.set(Some(place));
                }
                false
            }
        };
        if !was_there && !self.has_other(channel, key) {
            channel.users().add(1);
        }
    }

    /// A subscriber of the user is about to be taken off.
    pub(crate) fn leave_member(&self, channel: &'z Channel, key: Key<'_>) {
        let Ok(member) = self.seek(channel, key) else {
            return;
        };
        // One that only tells the way is nobody.
        if member.count.get() == 0 {
            return;
        }
        member.count.take(1);
        if member.count.get() == 0 {
            self.forget_member(channel, key);
        }
    }

    /// The last subscriber of an entry is gone.
    fn forget_member(&self, channel: &'z Channel, key: Key<'_>) {
        if !self.has_other(channel, key) {
            channel.users().take(1);
        }
        self.unlink_member(channel, key, |place| self.free(place));
    }

    /// Takes an entry without subscribers out of the tree, and what only told the way to it.
    fn unlink_member(&self, channel: &'z Channel, key: Key<'_>, free: impl Fn(Ref<Member>)) {
        let path = self.path(channel, key);
        for link in path.into_iter().rev() {
            let Some((place, member)) = self.member_at(link) else {
                return;
            };
            let (lower, higher) = (member.lower.get(), member.higher.get());
            let has_both = lower.is_some() && higher.is_some();
            if member.count.get() > 0 || has_both {
                return;
            }
            let child = lower.or(higher);
            link.set(child);
            free(place);
            if child.is_some() {
                return;
            }
        }
    }

    /// Takes a worker that is gone off a channel's members.
    pub(crate) fn remove_members_of(&self, channel: &'z Channel, slot: u16) {
        if channel.members().get().is_none() {
            return;
        }
        let all = self.all_members(channel);
        let gone: Vec<(u64, Vec<u8>)> = all
            .filter(|(_, member)| member.slot.get() == u32::from(slot) && member.count.get() > 0)
            .map(|(place, member)| (member.hash.get(), self.member_id(place).to_vec()))
            .collect();
        for (hash, id) in &gone {
            let key = Key {
                hash: *hash,
                id,
                slot,
            };
            if let Ok(member) = self.seek(channel, key) {
                member.count.set(0);
                self.forget_member(channel, key);
            }
        }
    }

    /// The places of all entries of a channel.
    pub(crate) fn member_places(&self, channel: &Channel) -> Vec<Ref<Member>> {
        self.all_members(channel).map(|(place, _)| place).collect()
    }

    /// For the repair: what only tells the way to nobody becomes garbage, and users are counted anew.
    pub(crate) fn settle_members(&self, channel: &'z Channel) {
        let idle = |(_, member): &(Ref<Member>, &Member)| member.count.get() == 0;
        let idle: Vec<_> = self.all_members(channel).filter(idle).collect();
        for (place, member) in idle {
            let key = Key {
                hash: member.hash.get(),
                id: self.member_id(place),
                slot: member.slot.get() as u16,
            };
            self.unlink_member(channel, key, |_| {});
        }
        channel.users().set(self.count_users(channel));
    }

    fn count_users(&self, channel: &Channel) -> u32 {
        let mut users = 0;
        let mut last = None;
        for (place, member) in self.all_members(channel) {
            let this = Some((member.hash.get(), self.member_id(place)));
            if member.count.get() > 0 && last != this {
                users += 1;
                last = this;
            }
        }
        users
    }

    /// Checks a channel's members; how many entries there are.
    pub(crate) fn verify_members(&self, channel: &Channel, fault: &mut dyn FnMut(&str)) -> u64 {
        let mut found = 0;
        let mut last: Option<(u64, &[u8], u32)> = None;
        let mut by_slot = std::collections::HashMap::<u32, u32>::new();
        for (place, member) in self.all_members(channel) {
            found += 1;
            let id = self.member_id(place);
            let this = (member.hash.get(), id, member.slot.get());
            if last.is_some_and(|last| last >= this) {
                fault("members in a wrong order");
            }
            last = Some(this);
            if self.zone.user_tag(id) != member.hash.get() {
                fault("a member with another's hash");
            }
            let has_both = member.lower.get().is_some() && member.higher.get().is_some();
            if member.count.get() == 0 && !has_both {
                fault("a member without subscribers");
            }
            *by_slot.entry(member.slot.get()).or_default() += member.count.get();
        }
        for (slot, count) in by_slot {
            let of_worker = self.record(channel, slot as u16);
            let told = of_worker.map_or(0, |(_, record)| record.count.get());
            if count > told {
                fault("more subscribers of users than there are subscribers");
            }
        }
        if self.count_users(channel) != channel.users().get() {
            fault("a wrong number of users");
        }
        found
    }
}

/// The entries of a tree in order.
struct InOrder<'g, 'z> {
    guard: &'g Guard<'z>,
    /// The next one, behind those that come later.
    above: Vec<(Ref<Member>, &'z Member)>,
}

impl<'z> Iterator for InOrder<'_, 'z> {
    type Item = (Ref<Member>, &'z Member);

    fn next(&mut self) -> Option<Self::Item> {
        let (place, member) = self.above.pop()?;
        let mut at = member.higher.get();
        while let Some((place, member)) = at.and_then(|at| Some((at, self.guard.zone.at(at)?))) {
            self.above.push((place, member));
            at = member.lower.get();
        }
        Some((place, member))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_takes_32_bytes_and_its_id() {
        assert_eq!(ID_AT, 32);
    }
}
