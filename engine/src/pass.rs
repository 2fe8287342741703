//! A subscriber moves from one worker to another.

use crate::cell::Ref;
use crate::channel::{Channel, ChannelRef};
use crate::registry::WorkerId;
use crate::wake::WakeSet;
use crate::zone::Zone;

/// Whether a channel is the one that a worker knows by that reference, in that life: one that has taken the
/// place of another, or of its name, is not.
fn is_that(
    place: Ref<Channel>,
    channel: &Channel,
    (number, incarnation): (u32, u64),
    cursor: u64,
) -> bool {
    place.units() == number
        && channel.incarnation.get() == incarnation
        && cursor <= channel.next.get()
}

impl Zone {
    /// Takes a subscriber of a channel over from another worker; the channel, for the one that took it. The
    /// other one then says [`Zone::passed_on`].
    /// The channel's count stays what it is, and no limit is asked. `life` is the other worker's
    /// [`ChannelRef`] as a number, with the channel's incarnation, `cursor` the next seq that the subscriber is sent, and `user` who it is. `None`: the channel is closed
    /// or gone, and one of that name is another, or there is no memory for the record of a worker; nothing
    /// has changed then.
    ///
    /// A worker that was killed after it had passed the subscriber on may have been taken off already;
    /// then the subscriber is counted anew. Crash: between the two counts the subscriber is counted
    /// for both workers, and the one that is killed here is taken off, with its share, by the others.
    pub fn pass_on(
        &self,
        name: &[u8],
        life: (u32, u64),
        cursor: u64,
        user: Option<&[u8]>,
        from: WorkerId,
        to: WorkerId,
    ) -> Option<ChannelRef> {
        let address = self.address(name);
        let guard = self.lock(address.shard, &mut WakeSet::default())?;
        let (place, channel) = guard.find(address, name)?;
        if !is_that(place, channel, life, cursor) {
            return None;
        }
        if !guard.register_as(place, channel, to.slot, user) {
            return None;
        }
        let is_attached = self.slot(from.slot).incarnation.get() == from.incarnation;
        if is_attached
            && let Some((_, record)) = guard.record(channel, from.slot)
            && record.count.get() > 0
        {
            if let Some(user) = user {
                guard.leave_member(channel, self.member_key(user, from.slot));
            }
            record.count.take(1);
            // With the one registered above there is one left, so the channel does not begin to expire.
            guard.take_subscribers(place, channel, 1, 0);
            if record.count.get() == 0 {
                guard.leave_record(place, channel, from.slot);
            }
        }
        Some(ChannelRef(place.units()))
    }

    /// Whether [`Zone::pass_on`] would find that channel now.
    pub fn can_pass_on(&self, name: &[u8], life: (u32, u64), cursor: u64) -> bool {
        let address = self.address(name);
        let Some(guard) = self.lock(address.shard, &mut WakeSet::default()) else {
            return false;
        };
        guard
            .find(address, name)
            .is_some_and(|(place, channel)| is_that(place, channel, life, cursor))
    }

    /// A subscriber of this worker was passed on: the worker has one less. It says so itself, because
    /// nobody else writes its number.
    pub fn passed_on(&self, worker: WorkerId) {
        self.slot(worker.slot).subscribers.take(1);
    }
}
