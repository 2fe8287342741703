//! Who subscribes, reads and leaves.

use icomet_engine::{
    Authority, Epoch, Kind, MessageRef, Reading, Request, Stay, SubscribeError, WakeSet,
};

use super::{Held, Play, WORKERS};
use crate::engine::input::Input;
use crate::engine::model::Channel;

impl Play {
    pub(super) fn subscribe(&mut self, input: &mut Input<'_>) {
        let (worker, name) = (input.below(WORKERS), input.name());
        let seq = u64::from(input.byte() % 32);
        let choice = input.byte();
        let stay =
            [Stay::Always, Stay::Always, Stay::UnlessReady, Stay::Never][usize::from(choice & 3)];
        let zone = self.world.zone;
        // What it knows: nothing; another zone; a life of the name, which may be over.
        let life = self.model.lives.get(&name).copied().unwrap_or(u64::MAX);
        let known = match choice & 0x0c {
            0x0c => Some((zone.epoch() ^ 1, life)),
            0x08 => Some((zone.epoch(), life)),
            _ => None,
        };
        let epoch = known.map(|(zone, incarnation)| Epoch { zone, incarnation });
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
        let user = (choice >= 0x80).then_some([choice >> 5]);
        let request = Request {
            name: &[name],
            seq,
            epoch,
            authority,
            stay,
            user: user.as_ref().map(|user| user.as_slice()),
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
        let other_epoch = epoch.is_some_and(|epoch| {
            epoch.zone != zone.epoch() || epoch.incarnation != subscription.incarnation
        });
        // One that was made has a life of its own, and one that was there the same as before.
        let before = self.model.lives.insert(name, subscription.incarnation);
        let is_new = self.model.seen.insert(subscription.incarnation);
        assert!(is_new || (existed && before == Some(subscription.incarnation)));
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
                    user,
                });
            }
            None if channel.subscribers == 0 => channel.keep_until(until),
            None => {}
        }
    }

    pub(super) fn not_let_in(&mut self, error: SubscribeError, name: u8, by_token: bool) {
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
            SubscribeError::TooManyEmpty => {
                let most = self.limits.max_channels;
                let share = (most * u64::from(self.limits.empty_channels) / 100).max(1);
                let names = self.model.names.values();
                let empty = names.filter(|number| self.model.channels[**number].is_empty());
                assert!(empty.count() as u64 >= share);
            }
            SubscribeError::Busy => panic!("nobody stands still"),
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
    pub(super) fn adopt(&mut self, name: u8) {
        let until = self.until();
        if self.world.zone.channel(&[name]).is_some() {
            self.model.open(name, until);
        }
    }

    pub(super) fn unsubscribe(&mut self, nth: usize) {
        if self.held.is_empty() {
            return;
        }
        let held = self.held.swap_remove(nth);
        let (me, until) = (self.workers[held.worker], self.until());
        let (zone, limits, now) = (self.world.zone, &self.limits, self.now);
        match held.user {
            None => zone.unsubscribe(me, held.place, 1, limits, now),
            Some(user) => zone.unsubscribe_user(me, held.place, &user, limits, now),
        }
        let channel = &mut self.model.channels[held.channel];
        channel.subscribers -= 1;
        if channel.subscribers == 0 {
            channel.keep_until(until);
        }
        self.left(held.worker, held.channel);
    }

    /// A worker finds only what it has subscribers on.
    pub(super) fn left(&mut self, worker: usize, channel: usize) {
        let mut still = self.held.iter();
        if !still.any(|held| held.worker == worker && held.channel == channel) {
            self.dirty[worker].remove(&channel);
        }
    }

    pub(super) fn read(&mut self, input: &mut Input<'_>) {
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
        let window = reading.window(held.place, from, max, &self.limits, self.now, &mut found);
        assert_eq!(window.next, channel.next());
        assert_eq!(window.closed, channel.closed);
        let first = channel.first.max(from);
        assert!(window.first == first || (evicted && window.first > first));
        assert_eq!(window.lost, window.first - from, "a loss is told as it is");
        let there = (window.next - window.first).min(max as u64);
        assert_eq!(found.len() as u64, there);
        same_messages(&reading, &found, window.first, channel);
    }
}

/// Each message is what was sent with that seq.
fn same_messages(reading: &Reading<'_>, found: &[MessageRef], first: u64, channel: &Channel) {
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
