//! A channel as one worker sees it: the list of its subscribers here.

use std::rc::Rc;

use icomet_engine::ChannelRef;
use icomet_protocol::frame::Transport;
use icomet_protocol::resume::Epoch;

use super::Worker;
use super::subscriber::Subscriber;
use icomet_tables::{NONE, Slab};

/// A channel that has subscribers on this worker, which is why the engine keeps it alive.
pub struct LocalChannel {
    /// The engine's name for it; good as long as `count` is not 0.
    pub reference: ChannelRef,
    /// Its name.
    pub name: Rc<str>,
    /// What its seqs belong to.
    pub epoch: Epoch,
    /// How many subscribers it has here.
    pub count: u32,
    /// How many of them are not busy, by transport; without those who take no shared frames.
    pub by_transport: [u32; PLACES],
    /// The seq that the next fan-out begins with: whoever is not busy has all before it.
    pub next: u64,
    /// The subscriber that the fan-out on its way serves next, or NONE.
    pub sweep: u32,
    /// A fan-out is on its way.
    pub sweeping: bool,
    /// It got something more meanwhile.
    pub again: bool,
    first: u32,
    last: u32,
}

/// Ways in which messages are framed.
pub const PLACES: usize = 6;

/// Place of a transport in a table by transport.
pub fn place(transport: Transport) -> usize {
    match transport {
        Transport::LongPoll => 0,
        Transport::Stream => 1,
        Transport::Sse => 2,
        Transport::Iframe => 3,
        Transport::WebSocket(socket) => 4 + usize::from(socket.deflates()),
    }
}

impl LocalChannel {
    /// A channel without subscribers yet.
    pub fn new(reference: ChannelRef, name: &str, epoch: Epoch, next: u64) -> LocalChannel {
        LocalChannel {
            reference,
            name: name.into(),
            epoch,
            count: 0,
            by_transport: [0; PLACES],
            next,
            sweep: NONE,
            sweeping: false,
            again: false,
            first: NONE,
            last: NONE,
        }
    }

    /// The first of those who are not busy; NONE when all are.
    pub fn first(&self) -> u32 {
        self.first
    }

    /// A subscriber comes.
    pub fn enter(&mut self, subscribers: &mut Slab<Subscriber>, index: u32) {
        self.count += 1;
        if subscribers.get(index).is_some_and(|s| !s.busy) {
            self.link(subscribers, index);
        }
    }

    /// A subscriber goes.
    pub fn leave(&mut self, subscribers: &mut Slab<Subscriber>, index: u32) {
        self.count -= 1;
        if subscribers.get(index).is_some_and(|s| !s.busy) {
            self.unlink(subscribers, index);
        }
    }

    /// Links a subscriber in that is not busy, behind the others.
    fn link(&mut self, subscribers: &mut Slab<Subscriber>, index: u32) {
        let last = core::mem::replace(&mut self.last, index);
        let Some(subscriber) = subscribers.get_mut(index) else {
            return;
        };
        (subscriber.previous, subscriber.next) = (last, NONE);
        if subscriber.shares_frames() {
            self.by_transport[place(subscriber.transport)] += 1;
        }
        let cursor = subscriber.cursor;
        match subscribers.get_mut(last) {
            Some(previous) => previous.next = index,
            None => {
                self.first = index;
                // Without anybody the fan-out was not asked, and may be far behind.
                if !self.sweeping {
                    self.next = self.next.max(cursor);
                }
            }
        }
    }

    /// Takes one out that is going to be busy; a fan-out that would have served it next goes on with its
    /// successor.
    fn unlink(&mut self, subscribers: &mut Slab<Subscriber>, index: u32) {
        let Some(subscriber) = subscribers.get_mut(index) else {
            return;
        };
        let (previous, next) = (subscriber.previous, subscriber.next);
        (subscriber.previous, subscriber.next) = Subscriber::UNLINKED;
        if subscriber.shares_frames() {
            self.by_transport[place(subscriber.transport)] -= 1;
        }
        match subscribers.get_mut(previous) {
            Some(previous) => previous.next = next,
            None => self.first = next,
        }
        match subscribers.get_mut(next) {
            Some(subscriber) => subscriber.previous = previous,
            None => self.last = previous,
        }
        if self.sweep == index {
            self.sweep = next;
        }
    }
}

impl Worker {
    /// A subscriber is busy from here on, or no more: who is stands in no channel's list, so that a
    /// fan-out costs nothing for those who are behind.
    pub fn set_busy(&mut self, index: u32, busy: bool) {
        let Some(subscriber) = self.subscribers.get_mut(index) else {
            return;
        };
        if core::mem::replace(&mut subscriber.busy, busy) == busy {
            return;
        }
        if subscriber.is_many() {
            return self.set_all_busy(index, busy);
        }
        let (hub, channel) = (usize::from(subscriber.hub), subscriber.channel);
        let local = self
            .hubs
            .get_mut(hub)
            .and_then(|hub| hub.channels.get_mut(channel));
        match local {
            Some(local) if busy => local.unlink(&mut self.subscribers, index),
            Some(local) => local.link(&mut self.subscribers, index),
            None => {}
        }
    }
}
