//! The zone does not crumble: what fits into a fresh one fits again.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use common::{NOW, Random, World, limits};
use icomet_engine::{Limits, Publication, PublishError, Stay, WakeSet};

const LARGEST: usize = 1 << 20;

struct Days {
    world: World,
    limits: Limits,
    now: u64,
    random: Random,
}

impl Days {
    fn new(size: usize) -> Days {
        Days {
            world: World::new(size),
            limits: Limits {
                channel_timeout: 60_000,
                ..limits()
            },
            now: NOW,
            random: Random(7),
        }
    }

    fn publish(&self, name: &str, content: &[u8]) -> Result<u64, PublishError> {
        let mut wake = WakeSet::default();
        let publication = Publication::from(content);
        let zone = &self.world.zone;
        let published = zone.publish(
            name.as_bytes(),
            publication,
            &self.limits,
            self.now,
            &mut wake,
        );
        published.map(|published| published.seq)
    }

    /// An hour passes, and nobody is there.
    fn night(&mut self) {
        for _ in 0..3 {
            self.now += 1_200_000;
            let mut wake = WakeSet::default();
            self.world
                .zone
                .expire(&self.limits, self.now, 1_000_000, &mut wake);
        }
    }

    /// How many of the largest fit into a zone that is empty; then they are gone.
    fn fits(&mut self) -> usize {
        let stats = self.world.zone.stats();
        assert_eq!((stats.channels, stats.messages), (0, 0));
        let content = vec![b'l'; LARGEST];
        let fits = (0..).take_while(|n| self.publish(&format!("large {n}"), &content).is_ok());
        let fits = fits.count();
        self.world.check();
        self.night();
        fits
    }

    /// Thousands of channels with messages of all sizes, beside readers that come and go.
    fn day(&mut self) {
        const SIZES: [usize; 11] = [
            10, 60, 200, 900, 4000, 5000, 20_000, 65_000, 70_000, 300_000, 900_000,
        ];
        let mut held = Vec::new();
        for n in 0..20_000 {
            let name = format!("c{}", self.random.below(3000));
            let size = SIZES[self.random.below(SIZES.len() as u64) as usize];
            let _ = self.publish(&name, &vec![b'x'; size]);
            if n % 20 == 0 {
                let name = format!("s{}", self.random.below(500));
                let joined = self.world.subscribe(self.world.me, &name, 0, Stay::Always);
                held.extend(joined.ok().and_then(|(s, _)| s.channel));
            }
            if n % 2000 == 0 {
                self.now += 30_000;
                let mut wake = WakeSet::default();
                self.world
                    .zone
                    .expire(&self.limits, self.now, 1_000_000, &mut wake);
            }
        }
        let mut list = self.world.zone.take_dirty(self.world.me);
        while list.next(&self.world.zone).is_some() {}
        for channel in held {
            let (zone, me) = (&self.world.zone, self.world.me);
            zone.unsubscribe(me, channel, 1, &self.limits, self.now);
        }
    }
}

#[test]
fn what_fits_into_a_fresh_zone_fits_again_whenever_it_is_empty() {
    let mut days = Days::new(12 << 20);
    let fresh = days.fits();
    assert!(fresh >= 10, "{fresh}");
    for day in 0..6 {
        days.day();
        days.night();
        assert_eq!(days.fits(), fresh, "after day {day}");
    }
    let stats = days.world.zone.stats();
    assert_eq!(stats.pages, stats.pages_free, "nothing is left");
    println!("{fresh} of {LARGEST} bytes fit into 12 MB, fresh and after each of 6 days");
}

#[test]
fn the_largest_message_fits_while_half_of_the_pages_are_free() {
    let mut days = Days::new(12 << 20);
    let half = |days: &Days| {
        let stats = days.world.zone.stats();
        stats.pages_free * 2 < stats.pages
    };
    let content: Vec<u8> = (0..LARGEST).map(|n| (n * n / 7) as u8).collect();
    for round in 0..4 {
        // Every second page stays: no run of two is free.
        let mut n = 0;
        while days
            .publish(&format!("r{round}-{n}"), &[b'x'; 4000])
            .is_ok()
        {
            n += 1;
        }
        let evens = (0..n).step_by(2);
        let mut going = evens.chain((1..n).step_by(2));
        while half(&days) {
            for n in going.by_ref().take(50) {
                let (zone, name) = (&days.world.zone, format!("r{round}-{n}"));
                zone.close(
                    name.as_bytes(),
                    &days.limits,
                    days.now,
                    &mut WakeSet::default(),
                );
            }
            days.now += 1000;
            let mut wake = WakeSet::default();
            days.world
                .zone
                .expire(&days.limits, days.now, 1_000_000, &mut wake);
        }
        assert!(going.count() > n / 3, "some are left between them");
        days.publish("large", &content).unwrap();
        days.publish("large", &content[..LARGEST - 1]).unwrap();
        days.world.check();
        // It is read as one, and its memory comes back.
        let (_, texts) = days
            .world
            .subscribe(days.world.me, "large", 1, Stay::Never)
            .unwrap();
        assert_eq!(texts[0], String::from_utf8_lossy(&content));
        assert_eq!(texts[1], String::from_utf8_lossy(&content[..LARGEST - 1]));
        days.night();
        days.world.check();
    }
    assert!(days.fits() >= 10);
}

#[test]
fn a_message_in_pieces_keeps_its_options_and_a_broadcast_is_one_as_well() {
    let days = Days::new(4 << 20);
    let mut n = 0;
    while days.publish(&format!("p{n}"), &[b'x'; 4000]).is_ok() {
        n += 1;
    }
    for n in (0..n).step_by(2) {
        let name = format!("p{n}");
        let (zone, mut wake) = (&days.world.zone, WakeSet::default());
        zone.close(name.as_bytes(), &days.limits, days.now, &mut wake);
    }
    let (zone, me, mut wake) = (&days.world.zone, days.world.me, WakeSet::default());
    let content = vec![b'c'; 500_000];
    let publication = Publication {
        content: &content,
        event: &[b'e'; 256],
        exclude: 99,
        ttl: Some(60_000),
        once: None,
    };
    zone.publish(b"options", publication, &days.limits, NOW, &mut wake)
        .unwrap();
    let page = icomet_engine::Page {
        name: b"options",
        after: 0,
        max: 9,
        reverse: false,
    };
    let reading = zone.reading(me);
    let mut found = Vec::new();
    reading
        .history(&page, &days.limits, NOW, &mut found)
        .unwrap();
    let message = reading.message(found[0].1);
    assert_eq!(message.content, content);
    assert_eq!(message.options.event, [b'e'; 256]);
    assert_eq!(message.options.exclude, 99);
    assert_eq!(message.options.until, Some(NOW + 60_000));
    drop(reading);
    let mut job = zone.broadcast(me, &content[..400_000], NOW).unwrap();
    while !zone.broadcast_step(&mut job, 999, &days.limits, NOW, &mut wake) {}
    days.world.check();
    let (_, texts) = days.world.subscribe(me, "p1", 2, Stay::Never).unwrap();
    assert_eq!(texts[0].len(), 400_000);
    // What is in pieces is in a snapshot as well.
    let snapshot = zone.snapshot();
    assert!(snapshot.broadcasts().any(|b| b.content.len() == 400_000));
    drop(snapshot);
    zone.close(b"options", &days.limits, NOW, &mut wake);
    days.world.check();
}
