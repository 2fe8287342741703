//! What a client is told of a channel that asks for it (`epoch=`), in front of the channel's messages.

use std::rc::Rc;

use icomet_protocol::message::{Kind, Message};
use icomet_protocol::resume::Epoch;

use super::Worker;
use super::many::Subscription;
use super::subscriber::Marks;

/// What a channel's seqs belong to, for one client.
pub struct Told {
    /// The channel's name.
    pub name: Rc<str>,
    /// What its seqs belong to.
    pub epoch: Epoch,
    /// The seq from which on the client is served.
    pub seq: u64,
}

impl Told {
    /// As a message.
    pub fn with(&self, take: impl FnOnce(&Message<'_>)) {
        let mut text = Vec::new();
        self.epoch.write(&mut text);
        take(&Message {
            content: &text,
            ..Message::bare(Kind::Epoch, &self.name, self.seq)
        });
    }
}

impl Subscription {
    /// The same of a channel of a subscriber's.
    pub fn told(&self) -> Told {
        Told {
            name: Rc::clone(&self.name),
            epoch: self.epoch,
            seq: self.cursor,
        }
    }
}

impl Worker {
    /// What the answer to a long poll begins with, with the places of the channels among those that its
    /// client named; nothing where the client has not asked.
    pub fn told_of(&self, index: u32) -> Vec<(usize, Told)> {
        let subscriber = self.subscribers.get(index);
        if !subscriber.is_some_and(|subscriber| subscriber.marks.has(Marks::TELLS)) {
            return Vec::new();
        }
        let all = self.subscriptions_of(index).into_iter().enumerate();
        all.filter_map(|(place, subscription)| Some((place, subscription.ok()?.told())))
            .collect()
    }
}
