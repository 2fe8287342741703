//! Reading what a channel holds without subscribing to it, also from its newest message back.

use crate::limits::ChannelLimits;
use crate::message::MessageRef;
use crate::reading::Reading;
use crate::wake::WakeSet;

/// Seqs that are looked at in one go from a channel's newest back.
const PART: u64 = 4000;

/// What there is of a channel's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// The channel's incarnation.
    pub incarnation: u64,
    /// The smallest buffered seq; `next` when nothing is buffered.
    pub first: u64,
    /// The next seq.
    pub next: u64,
}

/// Which of a channel's messages are wanted.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// The channel's name.
    pub name: &'a [u8],
    /// Those whose seq is above this.
    pub after: u64,
    /// So many at most: the oldest of them.
    pub max: usize,
    /// Or the newest, from the newest back.
    pub reverse: bool,
}

impl Reading<'_> {
    /// Messages of a channel that have not expired. `None` when there is no such channel; none is made.
    pub fn history(
        &self,
        page: &Page<'_>,
        limits: &impl ChannelLimits,
        now: u64,
        found: &mut Vec<(u64, MessageRef)>,
    ) -> Option<History> {
        let zone = self.zone();
        let Page {
            name,
            after,
            max,
            reverse,
        } = *page;
        let address = zone.address(name);
        let guard = zone.lock(address.shard, &mut WakeSet::default())?;
        let (_, channel) = guard.find(address, name)?;
        guard.drop_outdated(channel, limits.of(name), now);
        let (first, next) = (channel.first.get(), channel.next.get());
        let wanted = first.max(after.saturating_add(1))..next;
        let message = |(seq, message)| (seq, MessageRef(Some(message)));
        if !reverse {
            let living = guard.all_living(channel, wanted, now);
            found.extend(living.map(message).take(max));
            return Some(History {
                incarnation: channel.incarnation.get(),
                first,
                next,
            });
        }
        // Part by part from the end on, because those that have ended know what follows them alone.
        let most = found.len().saturating_add(max);
        let mut end = wanted.end;
        while end > wanted.start && found.len() < most {
            let begin = end.saturating_sub(PART).max(wanted.start);
            let part: Vec<_> = guard.all_living(channel, begin..end, now).collect();
            let room = most - found.len();
            found.extend(part.into_iter().rev().map(message).take(room));
            end = begin;
        }
        Some(History {
            incarnation: channel.incarnation.get(),
            first,
            next,
        })
    }
}
