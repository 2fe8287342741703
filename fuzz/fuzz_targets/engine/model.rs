//! What a channel must hold.

use std::collections::{HashMap, HashSet};

/// A message: its length, what it is filled with, and whether it went to all channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    pub len: usize,
    pub fill: u8,
    pub broadcast: bool,
}

impl Sent {
    pub fn content(&self) -> Vec<u8> {
        vec![self.fill; self.len]
    }
}

/// A channel of the zone, open or closed.
#[derive(Debug, Default)]
pub struct Channel {
    /// Every message it ever got; the first has seq 1.
    pub sent: Vec<Sent>,
    /// The smallest seq that it must still hold, unless the zone was full.
    pub first: u64,
    pub subscribers: u32,
    /// When it may be freed, in milliseconds.
    pub expires: u64,
    pub closed: bool,
    pub token: Option<[u8; 16]>,
}

impl Channel {
    pub fn new(expires: u64) -> Channel {
        Channel {
            first: 1,
            expires,
            ..Channel::default()
        }
    }

    /// It never had a message, nor a token.
    pub fn is_empty(&self) -> bool {
        self.sent.is_empty() && self.token.is_none()
    }

    pub fn next(&self) -> u64 {
        self.sent.len() as u64 + 1
    }

    pub fn append(&mut self, sent: Sent, buffer: u32) {
        self.sent.push(sent);
        self.first = self.first.max(self.next().saturating_sub(buffer.into()));
    }

    pub fn at(&self, seq: u64) -> Sent {
        self.sent[seq as usize - 1]
    }

    pub fn keep_until(&mut self, until: u64) {
        self.expires = self.expires.max(until);
    }
}

/// All channels there ever were, by a number of the model's own; a name leads to the open one.
#[derive(Debug, Default)]
pub struct Model {
    pub channels: Vec<Channel>,
    pub names: HashMap<u8, usize>,
    /// The incarnation of each name's channel when somebody subscribed last.
    pub lives: HashMap<u8, u64>,
    /// All of them.
    pub seen: HashSet<u64>,
}

impl Model {
    /// The open channel of that name, made if it is not there.
    pub fn open(&mut self, name: u8, expires: u64) -> usize {
        *self.names.entry(name).or_insert_with(|| {
            self.channels.push(Channel::new(expires));
            self.channels.len() - 1
        })
    }

    pub fn find(&mut self, name: u8) -> Option<&mut Channel> {
        let number = self.names.get(&name)?;
        self.channels.get_mut(*number)
    }
}
