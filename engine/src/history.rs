//! Reading what a channel holds without subscribing to it, also from its newest message back.

use crate::message::MessageRef;
use crate::reading::Reading;
use crate::wake::WakeSet;

/// What there is of a channel's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// The smallest buffered seq; `next` when nothing is buffered.
    pub first: u64,
    /// The next seq.
    pub next: u64,
}

impl Reading<'_> {
    /// The messages of a channel whose seq is above `after`, `max` at most: the oldest of them, or by
    /// `reverse` the newest, from the newest back. `None` when there is no such channel; none is made.
    pub fn history(
        &self,
        name: &[u8],
        after: u64,
        max: usize,
        reverse: bool,
        found: &mut Vec<(u64, MessageRef)>,
    ) -> Option<History> {
        let zone = self.zone();
        let address = zone.address(name);
        let guard = zone.lock(address.shard, &mut WakeSet::default());
        let (_, channel) = guard.find(address, name)?;
        let (first, next) = (channel.first.get(), channel.next.get());
        let wanted = first.max(after.saturating_add(1))..next;
        let message = |seq| Some((seq, MessageRef(guard.message(channel, seq)?)));
        if reverse {
            found.extend(wanted.rev().map_while(message).take(max));
        } else {
            found.extend(wanted.map_while(message).take(max));
        }
        Some(History { first, next })
    }
}
