//! A channel as one worker sees it: the list of its subscribers here.

use std::rc::Rc;

use icomet_engine::ChannelRef;
use icomet_protocol::frame::Transport;

use super::subscriber::Subscriber;
use icomet_tables::{NONE, Slab};

/// A channel that has subscribers on this worker, which is why the engine keeps it alive.
pub struct LocalChannel {
    /// The engine's name for it; good as long as `count` is not 0.
    pub reference: ChannelRef,
    /// Its name.
    pub name: Rc<str>,
    /// How many subscribers it has here.
    pub count: u32,
    /// The same by transport.
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
    pub fn new(reference: ChannelRef, name: &str, next: u64) -> LocalChannel {
        LocalChannel {
            reference,
            name: name.into(),
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

    /// The subscriber that was here first.
    pub fn first(&self) -> u32 {
        self.first
    }

    /// Links a subscriber in, behind the others.
    pub fn push(&mut self, subscribers: &mut Slab<Subscriber>, index: u32) {
        let last = core::mem::replace(&mut self.last, index);
        let Some(subscriber) = subscribers.get_mut(index) else {
            return;
        };
        (subscriber.previous, subscriber.next) = (last, NONE);
        self.by_transport[place(subscriber.transport)] += 1;
        self.count += 1;
        match subscribers.get_mut(last) {
            Some(previous) => previous.next = index,
            None => self.first = index,
        }
    }

    /// Takes a subscriber out; a fan-out that would have served it next goes on with its successor.
    pub fn unlink(&mut self, subscribers: &mut Slab<Subscriber>, index: u32) {
        let Some(subscriber) = subscribers.get_mut(index) else {
            return;
        };
        let (previous, next) = (subscriber.previous, subscriber.next);
        (subscriber.previous, subscriber.next) = Subscriber::UNLINKED;
        self.by_transport[place(subscriber.transport)] -= 1;
        self.count -= 1;
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
