//! Who the subscribers of this worker are, as far as that is known, and how a user's are ended.
//!
//! Of a subscriber that is nobody's, nothing stands here. A user's subscribers are in the zone's members
//! of their channels, and counted for it as for an address, over all channels.
//!
//! An order to end a user's subscribers comes to every worker ([`icomet_engine::Zone::order_end`]). One
//! of them may be on its way from an older worker just then: it says which orders that one had, and is
//! ended here if a later one is about it.

use std::collections::VecDeque;
use std::rc::Rc;

use icomet_engine::{Admission, ClientAddress, EndOrder, WakeSet};
use icomet_protocol::frame::{Transport, disconnected_frame};
use icomet_protocol::message::{Kind, Message};
use icomet_tables::NONE;
use rustc_hash::FxHashMap;

use super::delivery::{Step, callback_of, poll_answer};
use super::subscriber::Subscriber;
use super::{Worker, frames};
use crate::ffi::event;
use crate::ffi::output::Frame;
use crate::sink::Sink;

/// Milliseconds for which an order is remembered: longer than a subscriber is on its way.
const REMEMBERED: u64 = 30_000;

/// Orders that are remembered for one hub, at most.
const MOST: usize = 4096;

/// A subscriber's user.
pub struct User {
    /// Its id.
    pub id: Box<str>,
    /// The id's keyed hash in its hub's zone.
    pub tag: u64,
    hub: u16,
    /// It was ordered to end, when it has taken what is under way to it.
    ends: bool,
    admission: Option<Admission>,
    /// The subscriber before it of the same user.
    previous: u32,
    /// The one after it.
    next: u32,
}

/// docs/directives.md says so.
const _: () = assert!(size_of::<User>() == 48);

/// The users of this worker's subscribers, by index of the subscriber.
#[derive(Default)]
pub struct Users {
    of: FxHashMap<u32, User>,
    /// The first subscriber of a user, by hub and tag.
    first: FxHashMap<(u16, u64), u32>,
    /// Subscribers that are to end, each for its order.
    to_end: VecDeque<(u32, Rc<EndOrder>)>,
}

/// What a worker knows of a hub's orders.
pub struct Orders {
    /// The last one that it had.
    pub last: u64,
    /// Of those up to this one nothing is known here any more.
    forgotten: u64,
    recent: VecDeque<(u64, Rc<EndOrder>)>,
}

impl Orders {
    /// How many orders were given before the worker attached, and after it had: those before are not for it.
    pub fn new(before: u64, after: u64) -> Orders {
        Orders {
            last: before,
            forgotten: after,
            recent: VecDeque::new(),
        }
    }

    fn remember(&mut self, order: EndOrder, now: u64) -> Rc<EndOrder> {
        let order = Rc::new(order);
        self.last = order.number;
        self.recent.push_back((now, Rc::clone(&order)));
        while self.recent.len() > MOST {
            self.forget_oldest();
        }
        order
    }

    fn forget_oldest(&mut self) {
        if let Some((_, order)) = self.recent.pop_front() {
            self.forgotten = order.number;
        }
    }

    /// Forgets those that nobody can be on its way for.
    pub fn forget(&mut self, now: u64) {
        let is_old = |time: &u64| now.saturating_sub(*time) > REMEMBERED;
        while self.recent.front().is_some_and(|(time, _)| is_old(time)) {
            self.forget_oldest();
        }
    }

    /// The order behind that number that ends such a subscriber, if there is one. `Err`: it is not
    /// known here any more.
    pub fn since(
        &self,
        number: u64,
        user: &str,
        channel: &str,
    ) -> Result<Option<Rc<EndOrder>>, ()> {
        if number < self.forgotten {
            return Err(());
        }
        let later = self.recent.iter().map(|(_, order)| order);
        let mut later = later.filter(|order| order.number > number);
        Ok(later.find(|order| is_about(order, user, channel)).cloned())
    }
}

fn is_about(order: &EndOrder, user: &str, channel: &str) -> bool {
    let on_channel = order.channel.as_deref();
    order.user == user.as_bytes() && on_channel.is_none_or(|name| name == channel.as_bytes())
}

impl Users {
    /// The user of a subscriber.
    pub fn get(&self, index: u32) -> Option<&User> {
        self.of.get(&index)
    }

    fn insert(&mut self, index: u32, mut user: User) {
        let first = self.first.insert((user.hub, user.tag), index);
        user.next = first.unwrap_or(NONE);
        if let Some(next) = self.of.get_mut(&user.next) {
            next.previous = index;
        }
        self.of.insert(index, user);
    }

    fn remove(&mut self, index: u32) -> Option<User> {
        let user = self.of.remove(&index)?;
        if let Some(next) = self.of.get_mut(&user.next) {
            next.previous = user.previous;
        }
        match self.of.get_mut(&user.previous) {
            Some(previous) => previous.next = user.next,
            None if user.next == NONE => _ = self.first.remove(&(user.hub, user.tag)),
            None => _ = self.first.insert((user.hub, user.tag), user.next),
        }
        Some(user)
    }

    /// The subscribers of a user on a hub.
    fn subscribers(&self, hub: u16, tag: u64) -> impl Iterator<Item = u32> {
        let mut at = self.first.get(&(hub, tag)).copied().unwrap_or(NONE);
        core::iter::from_fn(move || {
            let index = at;
            at = self.of.get(&index)?.next;
            Some(index)
        })
    }

    /// Whether somebody waits for its end.
    pub fn has_work(&self) -> bool {
        !self.to_end.is_empty()
    }
}

impl Worker {
    /// A subscriber that is in the tables is this user's.
    pub fn user_came(&mut self, index: u32, hub: usize, id: &str) {
        let Some(attached) = self.hubs.get(hub) else {
            return;
        };
        let zone = attached.zone;
        let tag = zone.user_tag(id.as_bytes());
        let limits = &attached.hub.limits;
        let mut wake = WakeSet::default();
        let counted_for = ClientAddress::of_user(tag);
        // Without memory for the count, the answer to a disconnect tells one less.
        let admission = zone.enter(self.id, counted_for, u32::MAX, limits, &mut wake);
        self.ring(&wake);
        let Some(subscriber) = self.subscribers.get_mut(index) else {
            return;
        };
        subscriber.has_user = true;
        let user = User {
            id: id.into(),
            tag,
            hub: subscriber.hub,
            ends: false,
            admission: admission.ok(),
            previous: NONE,
            next: NONE,
        };
        self.users.insert(index, user);
    }

    /// The same subscriber leaves the tables; the user's id.
    pub fn user_left(&mut self, hub: usize, index: u32) -> Option<Box<str>> {
        let user = self.users.remove(index)?;
        if let (Some(admission), Some(attached)) = (user.admission, self.hubs.get(hub)) {
            attached.zone.leave(admission);
        }
        Some(user.id)
    }

    /// Takes what this worker is ordered to end on a hub; whether there was something.
    pub fn take_orders(&mut self, hub: usize) -> bool {
        let Some(attached) = self.hubs.get_mut(hub) else {
            return false;
        };
        let zone = attached.zone;
        if !zone.has_orders(self.id) {
            return false;
        }
        let now = event::now();
        for order in zone.take_orders(self.id) {
            let tag = zone.user_tag(&order.user);
            let order = attached.orders.remember(order, now);
            let found: Vec<_> = self.users.subscribers(hub as u16, tag).collect();
            let to_end = found.into_iter().map(|index| (index, Rc::clone(&order)));
            self.users.to_end.extend(to_end);
        }
        true
    }

    /// A subscriber that was on its way is to be ended by an order that came meanwhile.
    pub fn end_later(&mut self, index: u32, order: Rc<EndOrder>) {
        self.users.to_end.push_back((index, order));
        self.fanout.post();
    }

    /// Ends the next subscriber that an order is about.
    pub fn next_to_end(&mut self) -> Option<(u32, Step)> {
        let (index, order) = self.users.to_end.pop_front()?;
        Some((index, self.end_by(index, &order).unwrap_or(Step::Nothing)))
    }

    /// An index that waited for its turn may be another subscriber's by now.
    fn end_by(&mut self, index: u32, order: &EndOrder) -> Option<Step> {
        let subscriber = self.subscribers.get(index)?;
        let attached = self.hubs.get(usize::from(subscriber.hub))?;
        let channel = attached.channels.get(subscriber.channel)?;
        let user = self.users.of.get_mut(&index)?;
        if !is_about(order, &user.id, &channel.name) {
            return None;
        }
        // What nginx's filters send of an answer cannot be joined with more of it.
        if matches!(subscriber.sink, Sink::Held(held) if held.is_busy()) {
            user.ends = true;
            return None;
        }
        self.disconnect(index)
    }

    /// A subscriber has taken all that was under way to it: if it was ordered to end, it ends.
    pub fn end_if_ordered(&mut self, index: u32) -> Option<Step> {
        let ends = self.users.get(index).is_some_and(|user| user.ends);
        ends.then(|| self.disconnect(index)).flatten()
    }

    /// Tells a subscriber `close`, and ends it; its client can come back with its next seq.
    fn disconnect(&mut self, index: u32) -> Option<Step> {
        let subscriber = self.subscribers.get(index)?;
        let attached = self.hubs.get(usize::from(subscriber.hub))?;
        let channel = attached.channels.get(subscriber.channel)?;
        let epoch = attached.zone.epoch();
        let Subscriber {
            transport, cursor, ..
        } = *subscriber;
        let message = Message {
            kind: Kind::Close,
            channel: &channel.name,
            seq: cursor,
            content: b"",
        };
        if transport == Transport::LongPoll {
            let callback = callback_of(&self.callbacks, index, subscriber);
            let body = frames::single(transport, epoch, &message, callback.as_ref());
            let answer = poll_answer(epoch, cursor, callback.is_some(), Frame::new(body));
            let leaving = self.remove_subscriber(index)?;
            return Some(Step::Answer(leaving, Rc::new(answer)));
        }
        let mut frame = Vec::new();
        disconnected_frame(transport, epoch, &message, &mut frame);
        let rest = self.rests.remove(&index).map(|rest| rest.parts());
        let leaving = self.remove_subscriber(index)?;
        let frame = Frame::new(frame);
        Some(match rest {
            Some(rest) => Step::FinishBehind(leaving, rest, frame),
            None => Step::Finish(leaving, frame),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(hub: u16, tag: u64) -> User {
        User {
            id: format!("user {tag}").into(),
            tag,
            hub,
            ends: false,
            admission: None,
            previous: NONE,
            next: NONE,
        }
    }

    #[test]
    fn a_users_subscribers_are_found_whoever_leaves() {
        let mut users = Users::default();
        for index in 0..6 {
            users.insert(index, user(0, u64::from(index % 2)));
        }
        users.insert(6, user(1, 0));
        let of = |users: &Users, hub, tag| {
            let mut found: Vec<_> = users.subscribers(hub, tag).collect();
            found.sort_unstable();
            found
        };
        assert_eq!(of(&users, 0, 0), [0, 2, 4]);
        for (leaves, left) in [(2, vec![0, 4]), (4, vec![0]), (0, vec![])] {
            assert!(users.remove(leaves).is_some() && users.remove(leaves).is_none());
            assert_eq!(of(&users, 0, 0), left);
        }
        assert_eq!(of(&users, 0, 1), [1, 3, 5]);
        assert_eq!(of(&users, 1, 0), [6]);
        for index in [1, 3, 5, 6] {
            users.remove(index);
        }
        assert!(users.of.is_empty() && users.first.is_empty());
    }

    #[test]
    fn a_later_order_finds_who_was_on_its_way() {
        let order = |number, user: &str, channel: Option<&str>| EndOrder {
            number,
            user: user.into(),
            channel: channel.map(|name| name.as_bytes().to_vec()),
        };
        let mut orders = Orders::new(3, 3);
        orders.remember(order(4, "ann", None), 1000);
        orders.remember(order(5, "bob", Some("a")), 2000);
        let number = |found: Result<Option<Rc<EndOrder>>, ()>| found.map(|o| o.map(|o| o.number));
        assert_eq!(number(orders.since(3, "ann", "x")), Ok(Some(4)));
        assert_eq!(number(orders.since(4, "ann", "x")), Ok(None));
        assert_eq!(number(orders.since(3, "bob", "a")), Ok(Some(5)));
        assert_eq!(number(orders.since(3, "bob", "b")), Ok(None));
        assert_eq!(number(orders.since(2, "eve", "a")), Err(()));
        orders.forget(1000 + REMEMBERED + 1);
        assert_eq!(number(orders.since(3, "ann", "x")), Err(()));
        assert_eq!(number(orders.since(4, "bob", "a")), Ok(Some(5)));
        assert_eq!(orders.last, 5);
    }
}
