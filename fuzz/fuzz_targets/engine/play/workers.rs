//! What workers do by themselves: time, the walk over changed channels, a death, presence.

use std::collections::BTreeSet;

use icomet_engine::{Kind, WakeSet};

use super::{Listener, Play, WORKERS};

impl Play {
    pub(super) fn pass(&mut self, seconds: u64) {
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
    pub(super) fn walk(&mut self, worker: usize) {
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

    pub(super) fn dirties(&mut self, number: usize) {
        for held in self.held.iter().filter(|held| held.channel == number) {
            self.dirty[held.worker].insert(number);
        }
    }

    /// The broadcast on its way will not come to that channel any more.
    pub(super) fn forget(&mut self, number: usize) {
        if let Some(job) = &mut self.job {
            job.waiting.remove(&number);
        }
    }

    /// A worker goes, by itself or found dead by another, and a new one comes.
    pub(super) fn replace(&mut self, worker: usize, killed: bool) {
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
    pub(super) fn presence(&mut self) {
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
            lost += reading
                .window(*log, *from, usize::MAX, &self.limits, self.now, &mut found)
                .lost;
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
}
