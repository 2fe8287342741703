//! Any sequence of operations gives what a simple model gives.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::HashMap;

use common::{NOW, World, limits};
use icomet_engine::{ChannelRef, Kind, Limits, MessageRef, Publication, Reading, Stay, WakeSet};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Operation {
    /// With a time of its own in seconds, or none.
    Publish(u8, Vec<u8>, Option<u64>),
    Buffer(u32),
    Clear(u8),
    Close(u8),
    Sign(u8, u64),
    Subscribe(u8, u64),
    Unsubscribe(usize),
    Read(usize, u64),
    Broadcast(Vec<u8>),
    Pass(u64),
}

fn operation() -> impl Strategy<Value = Operation> {
    let channel = 0..5u8;
    let content = prop::collection::vec(any::<u8>(), 0..300);
    prop_oneof![
        6 => (channel.clone(), content.clone(), prop::option::weighted(0.3, 0..20u64))
            .prop_map(|(c, t, s)| Operation::Publish(c, t, s)),
        1 => (1..9u32).prop_map(Operation::Buffer),
        1 => channel.clone().prop_map(Operation::Clear),
        1 => channel.clone().prop_map(Operation::Close),
        1 => (channel.clone(), 0..90u64).prop_map(|(c, s)| Operation::Sign(c, s)),
        4 => (channel, 0..20u64).prop_map(|(c, s)| Operation::Subscribe(c, s)),
        2 => (0..9usize).prop_map(Operation::Unsubscribe),
        3 => (0..9usize, 1..20u64).prop_map(|(n, s)| Operation::Read(n, s)),
        1 => content.prop_map(Operation::Broadcast),
        1 => (1..50u64).prop_map(Operation::Pass),
    ]
}

#[derive(Clone)]
struct Buffered {
    content: Vec<u8>,
    time: u64,
    /// When it ends by its own time.
    until: u64,
}

#[derive(Clone, Default)]
struct Model {
    first: u64,
    messages: Vec<Buffered>,
    subscribers: u32,
    expires: u64,
    closed: bool,
}

impl Model {
    fn next(&self) -> u64 {
        self.first + self.messages.len() as u64
    }

    fn append(&mut self, content: &[u8], buffer: u32, time: u64, ttl: Option<u64>) {
        self.messages.push(Buffered {
            content: content.to_vec(),
            time,
            until: ttl.map_or(u64::MAX, |seconds| time + seconds * 1000),
        });
        while self.messages.len() > buffer as usize {
            self.messages.remove(0);
            self.first += 1;
        }
    }

    /// Lets go what a ttl in milliseconds no longer keeps.
    fn trim(&mut self, ttl: u64, now: u64) {
        while ttl > 0 && self.messages.first().is_some_and(|m| m.time + ttl <= now) {
            self.messages.remove(0);
            self.first += 1;
        }
    }

    fn from(&self, seq: u64, now: u64) -> Vec<Vec<u8>> {
        self.messages
            .iter()
            .skip(seq.saturating_sub(self.first) as usize)
            .filter(|message| message.until > now)
            .map(|message| message.content.clone())
            .collect()
    }
}

/// What of it has not expired.
fn contents(reading: &Reading<'_>, found: &[MessageRef]) -> Vec<Vec<u8>> {
    let messages = found.iter().map(|message| reading.message(*message));
    messages
        .filter(|message| message.kind != Kind::Expired)
        .map(|message| message.content.to_vec())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_zone_does_what_the_model_does(
        operations in prop::collection::vec(operation(), 1..120),
        message_ttl in prop_oneof![Just(0u64), 1..15u64],
    ) {
        let world = World::new(1 << 20);
        let mut limits =
            Limits { channel_timeout: 20_000, message_ttl: message_ttl * 1000, ..limits() };
        let mut now = NOW;
        let mut wake = WakeSet::default();
        // Channels by an id of the model's own; a name leads to the one that is open.
        let mut models: Vec<Model> = Vec::new();
        let mut names: HashMap<u8, usize> = HashMap::new();
        let mut held: Vec<(ChannelRef, usize)> = Vec::new();
        let open = |names: &mut HashMap<u8, usize>, models: &mut Vec<Model>, name, until| {
            *names.entry(name).or_insert_with(|| {
                models.push(Model { first: 1, expires: until, ..Model::default() });
                models.len() - 1
            })
        };
        for operation in operations {
            let until = now + limits.channel_timeout;
            match operation {
                Operation::Publish(name, content, seconds) => {
                    // Which of both ends a message is told in another test.
                    let seconds = seconds.filter(|_| message_ttl == 0);
                    let publication = Publication {
                        ttl: seconds.map(|seconds| seconds * 1000),
                        ..Publication::from(&content)
                    };
                    let seq = world.zone.publish(&[name], publication, &limits, now, &mut wake);
                    let model = open(&mut names, &mut models, name, until);
                    let model = &mut models[model];
                    prop_assert_eq!(seq.map(|p| (p.seq, p.subscribers)),
                        Ok((model.next(), model.subscribers)));
                    model.append(&content, limits.channel_buffer_size, now, seconds);
                    model.expires = model.expires.max(until);
                }
                Operation::Buffer(size) => limits.channel_buffer_size = size,
                Operation::Clear(name) => {
                    let expected = names.get(&name).map(|m| models[*m].next());
                    prop_assert_eq!(world.zone.clear(&[name]), expected);
                    if let Some(model) = names.get(&name) {
                        let model = &mut models[*model];
                        model.first = model.next();
                        model.messages.clear();
                    }
                }
                Operation::Close(name) => {
                    let model = names.remove(&name);
                    let expected = model.map(|m| models[m].next());
                    prop_assert_eq!(world.zone.close(&[name], &limits, now, &mut wake), expected);
                    if let Some(model) = model {
                        models[model].closed = true;
                    }
                }
                Operation::Sign(name, seconds) => {
                    let expires = seconds * 1000;
                    let signed =
                        world.zone.sign(&[name], expires, [9; 16], &limits, now, &mut wake);
                    let model = open(&mut names, &mut models, name, until);
                    models[model].expires = now + expires;
                    models[model].trim(limits.message_ttl, now);
                    prop_assert_eq!(signed.map(|s| s.first_seq), Ok(models[model].first));
                }
                Operation::Subscribe(name, seq) => {
                    let text = String::from_utf8(vec![name]).unwrap_or_default();
                    let answer = {
                        let reading = world.zone.reading(world.me);
                        let request = icomet_engine::Request {
                            name: text.as_bytes(),
                            seq,
                            epoch: None,
                            authority: icomet_engine::Authority::Open,
                            stay: Stay::Always,
                            user: None,
                        };
                        let mut found = Vec::new();
                        let s = reading.subscribe(&request, &limits, now, &mut found, &mut wake);
                        let contents = contents(&reading, &found);
                        s.map(|s| (s, contents))
                    };
                    let model = open(&mut names, &mut models, name, until);
                    let (subscription, contents) = answer.unwrap();
                    held.push((subscription.channel.unwrap(), model));
                    let model = &mut models[model];
                    model.subscribers += 1;
                    model.trim(limits.message_ttl, now);
                    let told = seq == 0 || seq > model.next();
                    prop_assert_eq!(subscription.told, told);
                    prop_assert_eq!(subscription.next, model.next());
                    let expected = if told { Vec::new() } else { model.from(seq, now) };
                    prop_assert_eq!(contents, expected);
                    let lost = (!told && seq < model.first).then(|| model.first - seq);
                    prop_assert_eq!(subscription.lost.and_then(|l| l.count), lost);
                }
                Operation::Unsubscribe(n) if !held.is_empty() => {
                    let (channel, model) = held.swap_remove(n % held.len());
                    world.zone.unsubscribe(world.me, channel, 1, &limits, now);
                    let model = &mut models[model];
                    model.subscribers -= 1;
                    if model.subscribers == 0 {
                        model.expires = model.expires.max(until);
                    }
                }
                Operation::Read(n, seq) if !held.is_empty() => {
                    let (channel, model) = held[n % held.len()];
                    let model = &mut models[model];
                    model.trim(limits.message_ttl, now);
                    let seq = seq.min(model.next());
                    let reading = world.zone.reading(world.me);
                    let mut found = Vec::new();
                    let window = reading.window(channel, seq, usize::MAX, &limits, now, &mut found);
                    prop_assert_eq!(contents(&reading, &found), model.from(seq, now));
                    prop_assert_eq!(window.closed, model.closed);
                    prop_assert_eq!(window.next, model.next());
                    prop_assert_eq!(window.lost, model.first.saturating_sub(seq));
                }
                Operation::Broadcast(content) => {
                    let mut job = world.zone.broadcast(world.me, &content, now).unwrap();
                    while !world.zone.broadcast_step(&mut job, 2, &limits, now, &mut wake) {}
                    for model in names.values() {
                        models[*model].append(&content, limits.channel_buffer_size, now, None);
                        models[*model].expires = models[*model].expires.max(until);
                    }
                    prop_assert_eq!(job.reached, names.len() as u64);
                }
                Operation::Pass(seconds) => {
                    // A list that nobody walks keeps a record, and so its channel, alive.
                    let mut list = world.zone.take_dirty(world.me);
                    while list.next(&world.zone).is_some() {}
                    for _ in 0..seconds {
                        now += 1000;
                        world.zone.expire(&limits, now, 1000, &mut wake);
                        names.retain(|_, model| {
                            let model = &models[*model];
                            model.subscribers > 0 || model.expires / 1000 >= now / 1000
                        });
                        if models.iter().any(|model| model.closed) {
                            continue;
                        }
                        // A message takes memory until its end, and for less than a second more.
                        let left = names.values().flat_map(|model| &models[*model].messages);
                        let ends: Vec<u64> = left
                            .map(|message| match message_ttl {
                                0 => message.until,
                                ttl => message.time + ttl * 1000,
                            })
                            .collect();
                        let count = |until: u64| ends.iter().filter(|end| **end > until).count();
                        let held = world.zone.stats().messages as usize;
                        prop_assert!((count(now)..=count(now - 1)).contains(&held), "{}", held);
                    }
                }
                Operation::Unsubscribe(_) | Operation::Read(..) => {}
            }
            prop_assert_eq!(world.zone.stats().channels, names.len() as u64);
            if let Err(faults) = world.zone.verify() {
                prop_assert!(false, "{}", faults.join("\n"));
            }
        }
    }
}
