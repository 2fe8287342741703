//! Orders to end what a user has subscribed to: each worker is given each of them, and ends what it has.
//!
//! They stand in the commons, in a list for each worker. A worker takes its list whole.

use crate::busy;
use crate::cell::{Link, Long, Ref, Word};
use crate::publish::PublishError;
use crate::registry::WorkerId;
use crate::shard::Guard;
use crate::wake::WakeSet;
use crate::zone::Zone;

/// Orders that wait for one worker, at most: one that hangs must not fill the zone.
const WAITING: usize = 4096;

/// An order to one worker; the user's id and the channel's name follow in the same block.
///
/// Concurrency: read and written under the commons' lock alone. Crash: linked by one store after its
/// words are set; unlinked, with all of its worker, by one store before it is freed. So an order is with
/// its worker until that takes it, whoever dies; only a death of the one that gives it may leave some
/// workers without.
#[repr(C)]
pub struct Order {
    link: Word,
    /// The one given before it.
    next: Link<Order>,
    number: Long,
    user_len: Word,
    /// Bytes of the channel's name; 0: all channels.
    channel_len: Word,
    /// 1: who is ended is to stay away.
    stay_away: Word,
}

const TEXT_AT: usize = size_of::<Order>();

/// An order, as its worker takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndOrder {
    /// Its place among all orders of the zone, from 1 on.
    pub number: u64,
    /// Whose subscriptions end.
    pub user: Vec<u8>,
    /// On which channel; none: on all.
    pub channel: Option<Vec<u8>>,
    /// Who is ended is told to stay away.
    pub stay_away: bool,
}

impl Zone {
    /// Orders all workers to end what a user has subscribed to, on that channel or on all.
    pub fn order_end(
        &self,
        user: &[u8],
        channel: Option<&[u8]>,
        stay_away: bool,
        wake: &mut WakeSet,
    ) -> Result<(), PublishError> {
        let guard = self.lock(self.commons(), wake).ok_or(PublishError::Busy)?;
        busy::begin();
        let number = self.header().orders.get() + 1;
        let mut written = Vec::new();
        for (slot, worker) in self.slots() {
            if worker.incarnation.get() == 0 {
                continue;
            }
            let order = (guard.orders(slot).count() < WAITING)
                .then(|| guard.write_order(number, user, channel.unwrap_or_default(), stay_away));
            match order.flatten() {
                Some(order) => written.push((slot, order)),
                None => {
                    written.into_iter().for_each(|(_, order)| guard.free(order));
                    return Err(PublishError::ZoneFull);
                }
            }
        }
        // Counted first, so that no two orders have one number.
        self.header().orders.set(number);
        for (slot, place) in written {
            let head = &self.slot(slot).orders;
            if let Some(order) = self.at(place) {
                order.next.set(head.get());
            }
            head.set(Some(place));
            wake.insert(slot);
        }
        Ok(())
    }

    /// Orders that were given so far.
    pub fn orders(&self) -> u64 {
        self.header().orders.get()
    }

    /// Whether orders wait for a worker.
    pub fn has_orders(&self, worker: WorkerId) -> bool {
        self.slot(worker.slot).orders.get().is_some() && !busy::is_any_late()
    }

    /// Takes a worker's orders, in the order in which they were given.
    pub fn take_orders(&self, worker: WorkerId) -> Vec<EndOrder> {
        if !self.has_orders(worker) {
            return Vec::new();
        }
        let Some(guard) = self.lock_commons() else {
            return Vec::new();
        };
        let places: Vec<_> = guard.orders(worker.slot).collect();
        let orders = places
            .iter()
            .rev()
            .filter_map(|place| guard.read_order(*place));
        let orders = orders.collect();
        guard.drop_orders(worker.slot, &places);
        orders
    }
}

impl<'z> Guard<'z> {
    fn write_order(
        &self,
        number: u64,
        user: &[u8],
        channel: &[u8],
        stay_away: bool,
    ) -> Option<Ref<Order>> {
        let place = self
            .allocate(TEXT_AT + user.len() + channel.len())?
            .cast::<Order>();
        let order = self.zone.at(place)?;
        order.number.set(number);
        order.user_len.set(user.len() as u32);
        order.channel_len.set(channel.len() as u32);
        order.stay_away.set(stay_away.into());
        let at = place.offset() + TEXT_AT;
        // SAFETY: the block was just allocated, and holds both texts behind the order.
        unsafe {
            self.zone.write_at(at, user);
            self.zone.write_at(at + user.len(), channel);
        }
        Some(place)
    }

    fn read_order(&self, place: Ref<Order>) -> Option<EndOrder> {
        let order = self.zone.at(place)?;
        let (user, channel) = (
            order.user_len.get() as usize,
            order.channel_len.get() as usize,
        );
        let at = place.offset() + TEXT_AT;
        // SAFETY: both texts were written before the order was linked, and it is freed under this lock.
        let (user, channel) = unsafe {
            (
                self.zone.bytes_at(at, user).to_vec(),
                self.zone.bytes_at(at + user, channel).to_vec(),
            )
        };
        Some(EndOrder {
            number: order.number.get(),
            user,
            channel: (!channel.is_empty()).then_some(channel),
            stay_away: order.stay_away.get() != 0,
        })
    }

    /// The orders of a worker, the last one first; this is the commons' guard.
    fn orders(&self, slot: u16) -> impl Iterator<Item = Ref<Order>> + use<'z> {
        let zone = self.zone;
        let mut at = zone.slot(slot).orders.get();
        core::iter::from_fn(move || {
            let place = at?;
            at = zone.at(place)?.next.get();
            Some(place)
        })
    }

    fn drop_orders(&self, slot: u16, places: &[Ref<Order>]) {
        self.zone.slot(slot).orders.set(None);
        places.iter().for_each(|place| self.free(*place));
    }

    /// Drops the orders of a worker that is gone; this is the commons' guard.
    pub(crate) fn drop_orders_of(&self, slot: u16) {
        let places: Vec<_> = self.orders(slot).collect();
        if !places.is_empty() {
            self.drop_orders(slot, &places);
        }
    }

    /// All orders of all workers; this is the commons' guard.
    pub(crate) fn all_orders(&self) -> Vec<Ref<Order>> {
        let slots = self.zone.slots();
        slots.flat_map(|(slot, _)| self.orders(slot)).collect()
    }
}
