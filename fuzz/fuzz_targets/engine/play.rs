//! The operations.

mod subscribers;
mod workers;

use std::collections::{BTreeSet, HashSet};

use icomet_engine::{Broadcast, ChannelRef, Limits, OnFull, PublishError, WakeSet, WorkerId};

use super::input::Input;
use super::model::{Model, Sent};
use crate::common::{NOW, World, limits};

/// Workers at one time.
const WORKERS: usize = 3;

/// Pages that must be free before an operation for it to be sure of memory.
const ROOM: u64 = 64;

/// A registered subscriber.
struct Held {
    worker: usize,
    place: ChannelRef,
    channel: usize,
    user: Option<[u8; 1]>,
}

/// A broadcast on its way, and which channels it must reach.
struct Job {
    worker: usize,
    broadcast: Broadcast,
    sent: Sent,
    waiting: HashSet<usize>,
}

/// Who listens to presence: the logs, and which channels are there as far as it knows.
struct Listener {
    logs: Vec<(ChannelRef, u64)>,
    online: BTreeSet<u8>,
}

pub struct Play {
    world: World,
    workers: Vec<WorkerId>,
    limits: Limits,
    now: u64,
    model: Model,
    held: Vec<Held>,
    /// For each worker the channels that it must find in its list.
    dirty: Vec<HashSet<usize>>,
    job: Option<Job>,
    listener: Option<Listener>,
    /// Whether memory was scarce at any time: what is not told then is not a fault.
    scarce: bool,
}

impl Play {
    pub fn new() -> Play {
        let world = World::new(1 << 20);
        let workers = vec![world.me, world.worker(), world.worker()];
        Play {
            world,
            workers,
            limits: Limits {
                channel_timeout: 20_000,
                ..limits()
            },
            now: NOW,
            model: Model::default(),
            held: Vec::new(),
            dirty: vec![HashSet::new(); WORKERS],
            job: None,
            listener: None,
            scarce: false,
        }
    }

    pub fn run(&mut self, data: &[u8]) {
        let mut input = Input(data);
        let mut done = 0;
        while !input.0.is_empty() {
            let stats = self.world.zone.stats();
            self.scarce |= stats.pages_free < ROOM || stats.evictions > 0;
            self.operation(&mut input);
            self.follow();
            done += 1;
            if done % 64 == 0 {
                self.check();
            }
        }
        self.check();
        while !self.held.is_empty() {
            self.unsubscribe(0);
        }
        self.check();
    }

    fn operation(&mut self, input: &mut Input<'_>) {
        match input.byte() % 20 {
            0..=3 => {
                let (name, sent) = (input.name(), input.sent(false));
                self.publish(name, sent);
            }
            4..=6 => self.subscribe(input),
            7 => {
                let nth = input.below(self.held.len());
                self.unsubscribe(nth);
            }
            8 | 9 => self.read(input),
            10 => self.sign(input),
            11 => {
                let name = input.name();
                let expected = self.model.names.remove(&name);
                let next =
                    self.world
                        .zone
                        .close(&[name], &self.limits, self.now, &mut WakeSet::default());
                assert_eq!(next, expected.map(|n| self.model.channels[n].next()));
                if let Some(number) = expected {
                    self.model.channels[number].closed = true;
                    self.dirties(number);
                    self.forget(number);
                }
            }
            12 => {
                let name = input.name();
                let channel = self.model.find(name);
                let expected = channel.as_ref().map(|channel| channel.next());
                if let Some(channel) = channel {
                    channel.first = channel.next();
                }
                assert_eq!(self.world.zone.clear(&[name]), expected);
            }
            13 => self.broadcast(input),
            14 => {
                let budget = 1 + input.below(64);
                self.step(budget);
            }
            15 => {
                let seconds = 1 + input.below(45) as u64;
                self.pass(seconds);
            }
            16 => {
                let worker = input.below(WORKERS);
                self.walk(worker);
            }
            17 => {
                let (worker, killed) = (input.below(WORKERS), input.byte() & 1 == 1);
                self.replace(worker, killed);
            }
            18 => self.presence(),
            _ => self.change_limits(input),
        }
    }

    /// Channels that never had a message, a token or a subscriber may have gone for others.
    fn follow(&mut self) {
        let zone = self.world.zone;
        let gone: Vec<(u8, usize)> = self
            .model
            .names
            .iter()
            .map(|(name, number)| (*name, *number))
            .filter(|(name, _)| zone.channel(&[*name]).is_none())
            .collect();
        for (name, number) in gone {
            let channel = &self.model.channels[number];
            assert!(channel.is_empty() && channel.subscribers == 0);
            assert!(zone.stats().empty_evictions > 0);
            self.model.names.remove(&name);
            self.forget(number);
        }
    }

    fn until(&self) -> u64 {
        self.now + self.limits.channel_timeout
    }

    fn publish(&mut self, name: u8, sent: Sent) {
        let (zone, limits, until) = (self.world.zone, self.limits, self.until());
        let existed = self.model.names.contains_key(&name);
        let content = sent.content();
        match zone.publish(
            &[name],
            &content,
            &limits,
            self.now,
            &mut WakeSet::default(),
        ) {
            Ok(published) => {
                let number = self.model.open(name, until);
                let channel = &mut self.model.channels[number];
                assert_eq!(published.seq, channel.next());
                assert_eq!(published.subscribers, channel.subscribers);
                assert_eq!(published.created, !existed);
                channel.append(sent, limits.channel_buffer_size);
                channel.keep_until(until);
                self.dirties(number);
            }
            Err(error) => self.refused(error, existed),
        }
    }

    /// A refusal needs a reason. That nothing has changed is seen by the next check.
    fn refused(&mut self, error: PublishError, existed: bool) {
        match error {
            PublishError::TooManyChannels => {
                assert!(!existed);
                assert!(self.model.names.len() as u64 >= self.limits.max_channels);
            }
            PublishError::ZoneFull => assert!(self.scarce, "refused with room left"),
            PublishError::MessageTooLarge => panic!("no message is that large"),
            PublishError::Busy => panic!("nobody stands still"),
            PublishError::IdReused => panic!("no message has an id"),
        }
    }

    fn sign(&mut self, input: &mut Input<'_>) {
        let (name, seconds, fill) = (input.name(), u64::from(input.byte() % 90), input.byte());
        let (zone, until) = (self.world.zone, self.until());
        let existed = self.model.names.contains_key(&name);
        let fresh = [fill; 16];
        let mut wake = WakeSet::default();
        match zone.sign(
            &[name],
            seconds * 1000,
            fresh,
            &self.limits,
            self.now,
            &mut wake,
        ) {
            Ok(signed) => {
                let number = self.model.open(name, until);
                let channel = &mut self.model.channels[number];
                channel.expires = self.now + seconds * 1000;
                assert_eq!(signed.token, *channel.token.get_or_insert(fresh));
                assert_eq!(signed.created, !existed);
                assert!(signed.first_seq >= channel.first && signed.first_seq <= channel.next());
            }
            Err(error) => self.refused(error, existed),
        }
    }

    fn broadcast(&mut self, input: &mut Input<'_>) {
        let (worker, sent) = (input.below(WORKERS), input.sent(true));
        if self.job.is_some() {
            return self.step(usize::MAX >> 8);
        }
        let (zone, me) = (self.world.zone, self.workers[worker]);
        match zone.broadcast(me, &sent.content(), self.now) {
            Ok(broadcast) => {
                self.job = Some(Job {
                    worker,
                    broadcast,
                    sent,
                    waiting: self.model.names.values().copied().collect(),
                });
            }
            Err(error) => self.refused(error, true),
        }
    }

    /// Brings the broadcast on: who has it is seen by its seq.
    fn step(&mut self, budget: usize) {
        let Some(mut job) = self.job.take() else {
            return;
        };
        let (zone, until, buffer) = (
            self.world.zone,
            self.until(),
            self.limits.channel_buffer_size,
        );
        let before = job.broadcast.reached;
        let done = zone.broadcast_step(
            &mut job.broadcast,
            budget,
            &self.limits,
            self.now,
            &mut WakeSet::default(),
        );
        let mut got = 0;
        let names: Vec<(u8, usize)> = self.model.names.iter().map(|(n, c)| (*n, *c)).collect();
        for (name, number) in names {
            let channel = &mut self.model.channels[number];
            let next = zone.channel(&[name]).map(|info| info.next_seq);
            if next == Some(channel.next() + 1) {
                channel.append(job.sent, buffer);
                channel.keep_until(until);
                // One that was made meanwhile may have it.
                job.waiting.remove(&number);
                got += 1;
                self.dirties(number);
            } else {
                assert_eq!(next, Some(channel.next()));
            }
        }
        assert_eq!(got, job.broadcast.reached - before);
        if done {
            let without = job.waiting.len() as u64;
            assert!(without <= job.broadcast.missed, "a channel was passed by");
            assert!(job.broadcast.missed == 0 || self.scarce);
        } else {
            self.job = Some(job);
        }
    }

    fn change_limits(&mut self, input: &mut Input<'_>) {
        let choice = input.byte();
        self.limits.on_full = match choice & 1 {
            0 => OnFull::Refuse,
            _ => OnFull::Evict,
        };
        self.limits.channel_buffer_size = 1 + u32::from(choice >> 1 & 15);
        let few = choice & 0x20 != 0;
        self.limits.max_channels = if few { 3 } else { 1000 };
        let few = choice & 0x40 != 0;
        self.limits.max_subscribers_per_channel = if few { 2 } else { 1000 };
    }

    fn check(&mut self) {
        let zone = self.world.zone;
        let stats = zone.stats();
        let evicted = self.scarce || stats.evictions > 0;
        assert_eq!(stats.channels, self.model.names.len() as u64);
        assert_eq!(stats.subscribers, self.held.len() as u64);
        assert_eq!(stats.repairs, 0);
        for (name, number) in &self.model.names {
            let channel = &self.model.channels[*number];
            let info = zone.channel(&[*name]).expect("a channel is there");
            assert_eq!(info.next_seq, channel.next());
            assert_eq!(info.subscribers, channel.subscribers);
            assert_eq!(info.expires_at, channel.expires);
            let first = info.first_seq == channel.first;
            assert!(first || (evicted && info.first_seq > channel.first));
            let members = zone.members(&[*name], None, 100).expect("a channel");
            let held = self.held.iter().filter(|held| held.channel == *number);
            let mut users: Vec<_> = held.filter_map(|held| held.user).collect();
            let connections: u32 = members.listed.iter().map(|m| m.connections).sum();
            assert_eq!(connections as usize, users.len());
            users.sort_unstable();
            users.dedup();
            let mut listed: Vec<_> = members.listed.into_iter().map(|m| m.user).collect();
            listed.sort_unstable();
            assert_eq!(listed, users);
            assert_eq!(members.users as usize, users.len());
        }
        self.world.check();
    }
}
