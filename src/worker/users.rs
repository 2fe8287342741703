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
use icomet_protocol::frame::{Transport, disconnected_end, disconnected_frame};
use icomet_protocol::message::Message;
use icomet_protocol::resume;
use icomet_tables::NONE;
use rustc_hash::FxHashMap;

use super::delivery::{Step, callback_of, poll_answer_at};
use super::frames::enveloped;
use super::many::{self, Writer};
use super::parking::Rest;
use super::subscriber::Marks;
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
    ends: Option<End>,
    admission: Option<Admission>,
    /// The subscriber before it of the same user.
    previous: u32,
    /// The one after it.
    next: u32,
}

/// How one is ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    MayComeBack,
    StayAway,
}

impl End {
    fn of(order: &EndOrder) -> End {
        match order.stay_away {
            true => End::StayAway,
            false => End::MayComeBack,
        }
    }
}

/// docs/directives.md says so.
const _: () = assert!(size_of::<User>() == 48);

/// The users of this worker's subscribers, by index of the subscriber.
#[derive(Default)]
pub struct Users {
    of: FxHashMap<u32, User>,
    /// The first subscriber of a user, by hub and tag.
    first: FxHashMap<(u16, u64), u32>,
    /// Tags of those who are nobody's and have published what they are not to get themselves.
    unnamed: FxHashMap<u32, u64>,
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

    /// The orders behind that number about such a user on those channels, or on all. `Err`: they are not
    /// known here any more.
    pub fn since<'a>(
        &self,
        number: u64,
        user: &str,
        channels: impl Iterator<Item = &'a str> + Clone,
    ) -> Result<Vec<Rc<EndOrder>>, ()> {
        if number < self.forgotten {
            return Err(());
        }
        let later = self.recent.iter().map(|(_, order)| order);
        let later = later.filter(|order| order.number > number);
        let about = later.filter(|order| is_about(order, user, channels.clone()));
        Ok(about.cloned().collect())
    }
}

fn is_about<'a>(order: &EndOrder, user: &str, mut channels: impl Iterator<Item = &'a str>) -> bool {
    let on_channel = order.channel.as_deref();
    order.user == user.as_bytes()
        && on_channel.is_none_or(|name| channels.any(|channel| name == channel.as_bytes()))
}

impl Users {
    /// The user of a subscriber.
    pub fn get(&self, index: u32) -> Option<&User> {
        self.of.get(&index)
    }

    /// The tag of a subscriber's user, or its own; 0: it has none.
    pub fn tag(&self, index: u32) -> u64 {
        match self.get(index) {
            Some(user) => user.tag,
            None => self.unnamed.get(&index).copied().unwrap_or_default(),
        }
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
        subscriber.marks = subscriber.marks.with(Marks::USER, true);
        let user = User {
            id: id.into(),
            tag,
            hub: subscriber.hub,
            ends: None,
            admission: admission.ok(),
            previous: NONE,
            next: NONE,
        };
        self.users.insert(index, user);
    }

    /// The tag by which a subscriber is kept from what it publishes itself: its user's, or one of its own.
    pub fn tag_for_itself(&mut self, index: u32) -> u64 {
        let known = self.users.tag(index);
        if known != 0 {
            return known;
        }
        let random = || nginx_sys::ngx_random().unsigned_abs() & 0xffff_ffff;
        // Users' tags are hashes of 64 bits: a number of that size is hardly one of them.
        let tag = (random() << 32 | random()).max(1);
        self.set_unnamed(index, tag);
        tag
    }

    /// A subscriber that is nobody's has that tag.
    pub fn set_unnamed(&mut self, index: u32, tag: u64) {
        if let Some(subscriber) = self.subscribers.get_mut(index) {
            subscriber.marks = subscriber.marks.with(Marks::USER, true);
            self.users.unnamed.insert(index, tag);
        }
    }

    /// The same subscriber leaves the tables; the user's id.
    pub fn user_left(&mut self, hub: usize, index: u32) -> Option<Box<str>> {
        self.users.unnamed.remove(&index);
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
        let (sink, is_many) = (subscriber.sink, subscriber.is_many());
        let names = self.names_of(index);
        let user = self.users.of.get_mut(&index)?;
        if !is_about(order, &user.id, names.iter().map(|name| &**name)) {
            return None;
        }
        // What nginx's filters send of an answer cannot be joined with more of it.
        if matches!(sink, Sink::Held(held) if held.is_busy()) {
            user.ends = Some(End::of(order));
            return None;
        }
        match &order.channel {
            Some(channel) if is_many && names.len() > 1 => {
                self.end_one_of_many(index, channel, order.stay_away)
            }
            _ => self.disconnect(index, End::of(order)),
        }
    }

    /// A subscriber has taken all that was under way to it: if it was ordered to end, it ends.
    pub fn end_if_ordered(&mut self, index: u32) -> Option<Step> {
        let end = self.users.get(index)?.ends?;
        self.disconnect(index, end)
    }

    /// Tells a subscriber `close`, and ends it; its client can come back with its next seq, unless it is
    /// told to stay away.
    fn disconnect(&mut self, index: u32, end: End) -> Option<Step> {
        let stay_away = end == End::StayAway;
        let subscriber = self.subscribers.get(index)?;
        let attached = self.hubs.get(usize::from(subscriber.hub))?;
        let (zone, transport) = (attached.zone.epoch(), subscriber.transport);
        let told = self.told_of(index);
        let callback = callback_of(&self.callbacks, index, subscriber);
        let jsonp = callback.is_some();
        let mut frame = Vec::new();
        let etag = match self.etag_of_many(index) {
            Some(etag) => {
                let positions = self.positions_of(index);
                let callback = callback.as_ref();
                let mut writer = Writer::new(transport, zone, positions, callback, &mut frame);
                for (place, told) in &told {
                    writer.tell(*place, told);
                }
                for (place, subscription) in self.subscriptions_of(index).into_iter().enumerate() {
                    if let Ok(it) = subscription {
                        let message = Message::close(&it.name, it.cursor, stay_away);
                        writer.push(place, it.epoch.incarnation, &message);
                    }
                }
                writer.finish();
                disconnected_end(transport, stay_away, &mut frame);
                etag
            }
            None => {
                let channel = attached.channels.get(subscriber.channel)?;
                let (epoch, cursor) = (channel.epoch, subscriber.cursor);
                let message = Message::close(&channel.name, cursor, stay_away);
                if transport == Transport::LongPoll {
                    let told = told.iter().map(|(_, told)| told);
                    frame = frames::answer(told, &message, callback.as_ref());
                } else {
                    disconnected_frame(transport, epoch, &message, &mut frame);
                }
                resume::etag(epoch, cursor.saturating_sub(1)).to_vec()
            }
        };
        if transport == Transport::LongPoll {
            let answer = poll_answer_at(&etag, jsonp, Frame::new(frame));
            let leaving = self.remove_subscriber(index)?;
            return Some(Step::Answer(leaving, Rc::new(answer)));
        }
        let rest = self.rests.remove(&index).map(|rest| rest.parts());
        let leaving = self.remove_subscriber(index)?;
        let frame = Frame::new(frame);
        Some(match rest {
            Some(rest) => Step::FinishBehind(leaving, rest, frame),
            None => Step::Finish(leaving, frame),
        })
    }

    /// Ends one subscription of a subscriber that has others: its client is told `close` of that channel. A
    /// long poll is answered with that.
    fn end_one_of_many(&mut self, index: u32, channel: &[u8], stay_away: bool) -> Option<Step> {
        let subscriber = self.subscribers.get(index)?;
        let (sink, transport) = (subscriber.sink, subscriber.transport);
        let chunked = subscriber.chunked;
        let zone = self.hubs.get(usize::from(subscriber.hub))?.zone.epoch();
        let told = self.told_of(index);
        let callback = callback_of(&self.callbacks, index, subscriber);
        let jsonp = callback.is_some();
        let all = self.subscriptions_of(index).into_iter().enumerate();
        let mut all = all.filter_map(|(place, subscription)| Some((place, subscription.ok()?)));
        let (place, subscription) = all.find(|(_, it)| it.name.as_bytes() == channel)?;
        let (positions, mut frame) = (self.positions_of(index), Vec::new());
        let mut writer = Writer::new(transport, zone, positions, callback.as_ref(), &mut frame);
        for (place, told) in &told {
            writer.tell(*place, told);
        }
        writer.push(
            place,
            subscription.epoch.incarnation,
            &Message::close(&subscription.name, subscription.cursor, stay_away),
        );
        let positions = writer.finish();
        if transport == Transport::LongPoll {
            let tag = many::etag(zone, positions);
            let answer = poll_answer_at(&tag, jsonp, Frame::new(frame));
            let leaving = self.remove_subscriber(index)?;
            return Some(Step::Answer(leaving, Rc::new(answer)));
        }
        self.part(index, &subscription.name);
        let frame = enveloped(frame, chunked);
        let Some((left, from)) = self.rests.remove(&index).map(|rest| rest.parts()) else {
            return Some(Step::Send(sink, frame, 0));
        };
        // It goes behind what is under way.
        let left = left.get(from..).unwrap_or_default();
        let frame = Frame::new([left, &frame].concat());
        self.rests.insert(index, Rest::new(frame, 0));
        None
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
            ends: None,
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
            stay_away: false,
        };
        let mut orders = Orders::new(3, 3);
        orders.remember(order(4, "ann", None), 1000);
        orders.remember(order(5, "bob", Some("a")), 2000);
        let since = |orders: &Orders, number, user, channel: &'static str| {
            let found = orders.since(number, user, [channel, "other"].into_iter());
            found.map(|found| found.iter().map(|order| order.number).collect::<Vec<_>>())
        };
        assert_eq!(since(&orders, 3, "ann", "x"), Ok(vec![4]));
        assert_eq!(since(&orders, 4, "ann", "x"), Ok(vec![]));
        assert_eq!(since(&orders, 3, "bob", "a"), Ok(vec![5]));
        assert_eq!(since(&orders, 3, "bob", "b"), Ok(vec![]));
        assert_eq!(since(&orders, 2, "eve", "a"), Err(()));
        orders.forget(1000 + REMEMBERED + 1);
        assert_eq!(since(&orders, 3, "ann", "x"), Err(()));
        assert_eq!(since(&orders, 4, "bob", "a"), Ok(vec![5]));
        assert_eq!(orders.last, 5);
    }
}
