//! The operations.

use std::collections::{BTreeSet, HashSet};

use icomet_engine::{
    Authority, Broadcast, ChannelRef, Kind, Limits, MessageRef, OnFull, PublishError, Reading,
    Request, Stay, SubscribeError, WakeSet, WorkerId,
};

use super::model::{Model, Sent};
use crate::common::{NOW, World, limits};

/// Names are one byte, so few that operations meet.
const NAMES: u8 = 6;

/// Workers at one time.
const WORKERS: usize = 3;

/// Pages that must be free before an operation for it to be sure of memory.
const ROOM: u64 = 64;

/// A registered subscriber.
struct Held {
    worker: usize,
    place: ChannelRef,
    channel: usize,
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

/// The input, byte by byte; zeros after its end.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    fn name(&mut self) -> u8 {
        self.byte() % NAMES
    }

    fn below(&mut self, n: usize) -> usize {
        usize::from(self.byte()) % n.max(1)
    }

    fn sent(&mut self, broadcast: bool) -> Sent {
        let (length, fill) = (usize::from(self.byte()), self.byte());
        // Small ones mostly, and some of up to 24 KB.
        let len = if length < 192 {
            length
        } else {
            (length - 191) * 384
        };
        Sent {
            len,
            fill,
            broadcast,
        }
    }
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
            PublishError::IdReused => panic!("no message has an id"),
        }
    }

    fn subscribe(&mut self, input: &mut Input<'_>) {
        let (worker, name) = (input.below(WORKERS), input.name());
        let seq = u64::from(input.byte() % 32);
        let choice = input.byte();
        let stay =
            [Stay::Always, Stay::Always, Stay::UnlessReady, Stay::Never][usize::from(choice & 3)];
        let zone = self.world.zone;
        let other_epoch = choice & 0x0c == 0x0c;
        let epoch = other_epoch.then(|| zone.epoch() ^ 1);
        let sent_token: String = self
            .model
            .find(name)
            .and_then(|channel| channel.token)
            .unwrap_or([choice; 16])
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let by_token = choice & 0x10 != 0;
        let authority = match by_token {
            true => Authority::Token(sent_token.as_bytes()),
            false => Authority::Open,
        };
        let request = Request {
            name: &[name],
            seq,
            epoch,
            authority,
            stay,
        };
        let until = self.until();
        let existed = self.model.names.contains_key(&name);
        let mut found = Vec::new();
        let reading = zone.reading(self.workers[worker]);
        let answer = reading.subscribe(
            &request,
            &self.limits,
            self.now,
            &mut found,
            &mut WakeSet::default(),
        );
        let subscription = match answer {
            Ok(subscription) => subscription,
            Err(error) => {
                drop(reading);
                return self.not_let_in(error, name, by_token);
            }
        };
        assert_eq!(subscription.created, !existed);
        if by_token {
            assert!(
                self.model
                    .find(name)
                    .is_some_and(|channel| channel.token.is_some())
            );
        }
        let number = self.model.open(name, until);
        let scarce = self.scarce || zone.stats().evictions > 0;
        let channel = &mut self.model.channels[number];
        assert!(channel.subscribers < self.limits.max_subscribers_per_channel);
        assert_eq!(subscription.next, channel.next());
        assert_eq!(found.len() as u64, subscription.next - subscription.first);
        let told = !other_epoch && (seq == 0 || seq > channel.next());
        assert_eq!(subscription.told, told);
        if told {
            assert!(found.is_empty() && subscription.lost.is_none());
        } else {
            let from = if other_epoch { 1 } else { seq };
            let first = channel.first.max(from);
            assert!(subscription.first == first || (scarce && subscription.first > first));
            let lost = subscription.lost.map(|lost| (lost.count, lost.first));
            let expected = match other_epoch {
                true => Some((None, subscription.first)),
                false => (seq < subscription.first)
                    .then(|| (Some(subscription.first - seq), subscription.first)),
            };
            assert_eq!(lost, expected, "a loss is told as it is");
        }
        same_messages(&reading, &found, subscription.first, channel);
        let ready = told || subscription.lost.is_some() || !found.is_empty();
        drop(reading);
        let stays = match stay {
            Stay::Always => true,
            Stay::UnlessReady => !ready,
            Stay::Never => false,
        };
        assert_eq!(subscription.channel.is_some(), stays);
        match subscription.channel {
            Some(place) => {
                channel.subscribers += 1;
                self.held.push(Held {
                    worker,
                    place,
                    channel: number,
                });
            }
            None if channel.subscribers == 0 => channel.keep_until(until),
            None => {}
        }
    }

    fn not_let_in(&mut self, error: SubscribeError, name: u8, by_token: bool) {
        match error {
            SubscribeError::WrongToken => {
                let signed = self
                    .model
                    .find(name)
                    .is_some_and(|channel| channel.token.is_some());
                assert!(by_token && !signed, "the right token is wrong");
            }
            SubscribeError::TooManyChannels => {
                assert!(self.model.names.len() as u64 >= self.limits.max_channels);
            }
            SubscribeError::TooManySubscribers => {
                let until = self.until();
                let most = self.limits.max_subscribers_per_channel;
                // With no subscriber allowed at all, the channel is made nevertheless.
                let number = self.model.open(name, until);
                assert!(self.model.channels[number].subscribers >= most);
            }
            SubscribeError::ZoneFull => {
                assert!(self.scarce, "refused with room left");
                self.adopt(name);
            }
        }
    }

    /// A channel may have been made before memory was missing for the subscriber.
    fn adopt(&mut self, name: u8) {
        let until = self.until();
        if self.world.zone.channel(&[name]).is_some() {
            self.model.open(name, until);
        }
    }

    fn unsubscribe(&mut self, nth: usize) {
        if self.held.is_empty() {
            return;
        }
        let held = self.held.swap_remove(nth);
        let (me, until) = (self.workers[held.worker], self.until());
        self.world
            .zone
            .unsubscribe(me, held.place, 1, &self.limits, self.now);
        let channel = &mut self.model.channels[held.channel];
        channel.subscribers -= 1;
        if channel.subscribers == 0 {
            channel.keep_until(until);
        }
        self.left(held.worker, held.channel);
    }

    /// A worker finds only what it has subscribers on.
    fn left(&mut self, worker: usize, channel: usize) {
        let mut still = self.held.iter();
        if !still.any(|held| held.worker == worker && held.channel == channel) {
            self.dirty[worker].remove(&channel);
        }
    }

    fn read(&mut self, input: &mut Input<'_>) {
        if self.held.is_empty() {
            return;
        }
        let held = &self.held[input.below(self.held.len())];
        let zone = self.world.zone;
        let evicted = self.scarce || zone.stats().evictions > 0;
        let channel = &self.model.channels[held.channel];
        let from = (1 + u64::from(input.byte() % 32)).min(channel.next());
        let max = match input.byte() % 8 {
            0 => usize::MAX,
            few => usize::from(few),
        };
        let reading = zone.reading(self.workers[held.worker]);
        let mut found = Vec::new();
        let window = reading.window(held.place, from, max, &mut found);
        assert_eq!(window.next, channel.next());
        assert_eq!(window.closed, channel.closed);
        let first = channel.first.max(from);
        assert!(window.first == first || (evicted && window.first > first));
        assert_eq!(window.lost, window.first - from, "a loss is told as it is");
        let there = (window.next - window.first).min(max as u64);
        assert_eq!(found.len() as u64, there);
        same_messages(&reading, &found, window.first, channel);
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

    fn pass(&mut self, seconds: u64) {
        for worker in 0..WORKERS {
            // A list that nobody walks keeps a record, and so its channel, alive.
            self.walk(worker);
        }
        for _ in 0..seconds {
            self.now += 1000;
            let mut wake = WakeSet::default();
            self.world
                .zone
                .expire(&self.limits, self.now, 1000, &mut wake);
            let gone: Vec<(u8, usize)> = self
                .model
                .names
                .iter()
                .map(|(name, number)| (*name, *number))
                .filter(|(_, number)| {
                    let channel = &self.model.channels[*number];
                    channel.subscribers == 0 && channel.expires / 1000 < self.now / 1000
                })
                .collect();
            for (name, number) in gone {
                self.model.names.remove(&name);
                self.forget(number);
            }
        }
    }

    /// A worker takes its list: everything it must know stands in it, and nothing that it has not.
    fn walk(&mut self, worker: usize) {
        let (zone, me) = (self.world.zone, self.workers[worker]);
        if !self.dirty[worker].is_empty() {
            assert!(zone.has_dirty(me), "a deaf worker");
        }
        let mut list = zone.take_dirty(me);
        let mut missing = std::mem::take(&mut self.dirty[worker]);
        while let Some(place) = list.next(&zone) {
            let mut all = self.held.iter();
            if let Some(held) = all.find(|held| held.worker == worker && held.place == place) {
                missing.remove(&held.channel);
            } else {
                let logs = self.listener.as_ref().filter(|_| worker == 0);
                let known = logs.is_some_and(|l| l.logs.iter().any(|(log, _)| *log == place));
                assert!(known, "a channel that the worker does not know");
            }
        }
        assert!(missing.is_empty(), "a deaf subscriber");
    }

    fn dirties(&mut self, number: usize) {
        for held in self.held.iter().filter(|held| held.channel == number) {
            self.dirty[held.worker].insert(number);
        }
    }

    /// The broadcast on its way will not come to that channel any more.
    fn forget(&mut self, number: usize) {
        if let Some(job) = &mut self.job {
            job.waiting.remove(&number);
        }
    }

    /// A worker goes, by itself or found dead by another, and a new one comes.
    fn replace(&mut self, worker: usize, killed: bool) {
        let (me, until) = (self.workers[worker], self.until());
        if killed {
            self.world.registry.release(me);
            let mut wake = WakeSet::default();
            let zone = self.world.zone;
            let reaped = zone.reap_dead(&self.world.registry, &self.limits, self.now, &mut wake);
            assert_eq!(reaped, 1);
        } else {
            self.world.zone.detach(me, &self.limits, self.now);
            self.world.registry.release(me);
        }
        self.job = self.job.take().filter(|job| job.worker != worker);
        if worker == 0 {
            self.listener = None;
        }
        self.dirty[worker].clear();
        let model = &mut self.model;
        self.held.retain(|held| {
            if held.worker == worker {
                let channel = &mut model.channels[held.channel];
                channel.subscribers -= 1;
                if channel.subscribers == 0 {
                    channel.keep_until(until);
                }
            }
            held.worker != worker
        });
        self.workers[worker] = self.world.worker();
    }

    /// The first worker begins to listen to who comes and goes, or hears what there was and stops.
    fn presence(&mut self) {
        let (zone, me) = (self.world.zone, self.workers[0]);
        let Some(mut listener) = self.listener.take() else {
            let logs: Result<Vec<_>, _> = (0..zone.shard_count())
                .map(|index| zone.presence_log(me, index, &self.limits, self.now))
                .collect();
            match logs {
                Ok(logs) => {
                    let online = self.model.names.keys().copied().collect();
                    self.listener = Some(Listener { logs, online });
                }
                // It would be told to come again; those logs that it got are let go with the worker.
                Err(_) => {
                    assert!(self.scarce);
                    self.replace(0, false);
                }
            }
            return;
        };
        let reading = zone.reading(me);
        let mut lost = 0;
        for (log, from) in &listener.logs {
            let mut found = Vec::new();
            lost += reading.window(*log, *from, usize::MAX, &mut found).lost;
            for event in found {
                let event = reading.message(event);
                let [name] = *event.content else {
                    panic!("an event of no channel of ours: {event:?}");
                };
                let news = match event.kind {
                    Kind::Online => listener.online.insert(name),
                    Kind::Offline => listener.online.remove(&name),
                    other => panic!("{other:?} among events"),
                };
                assert!(news || self.scarce, "an event twice, or one missing");
            }
        }
        drop(reading);
        if lost == 0 && !self.scarce {
            let there: BTreeSet<u8> = self.model.names.keys().copied().collect();
            assert_eq!(listener.online, there);
        }
        for (log, _) in listener.logs {
            zone.unsubscribe(me, log, 1, &self.limits, self.now);
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
        }
        self.world.check();
    }
}

/// Each message is what was sent with that seq.
fn same_messages(
    reading: &Reading<'_>,
    found: &[MessageRef],
    first: u64,
    channel: &super::model::Channel,
) {
    for (seq, message) in (first..).zip(found) {
        let (message, sent) = (reading.message(*message), channel.at(seq));
        let kind = if sent.broadcast {
            Kind::Broadcast
        } else {
            Kind::Data
        };
        assert_eq!(message.kind, kind);
        assert!(
            message.content.len() == sent.len && message.content.iter().all(|b| *b == sent.fill)
        );
    }
}
