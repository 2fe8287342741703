//! A subscriber handed from one worker to another.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{NOW, World, limits};
use icomet_engine::{Stay, WakeSet, WorkerId};

const SIZE: usize = 4 << 20;

#[test]
fn a_subscriber_passed_on_is_counted_once_and_wakes_its_new_worker() {
    let world = World::new(SIZE);
    let (old, new) = (world.worker(), world.worker());
    world.subscribe(old, "a", 0, Stay::Always).unwrap();
    let life = life_of(&world, old, "a");
    let channel = world.zone.pass_on(b"a", life, 1, None, old, new).unwrap();
    world.zone.passed_on(old);
    assert_eq!(world.zone.channel(b"a").unwrap().subscribers, 2);
    let workers = world.zone.workers();
    let of = |id: WorkerId| {
        let worker = workers.iter().find(|worker| worker.slot == id.slot);
        worker.map(|worker| worker.subscribers)
    };
    assert_eq!((of(old), of(new)), (Some(1), Some(1)));
    world.check();
    world.publish("a", "one");
    for worker in [old, new] {
        assert_eq!(
            world.zone.take_dirty(worker).next(&world.zone),
            Some(channel)
        );
    }
    assert_eq!(
        world.zone.pass_on(b"a", life, 2, None, old, new),
        Some(channel)
    );
    world.check();
    world.publish("a", "two");
    assert_eq!(world.zone.take_dirty(old).next(&world.zone), None);
    assert_eq!(world.zone.take_dirty(new).next(&world.zone), Some(channel));
    world.zone.unsubscribe(new, channel, 2, &limits(), NOW);
    assert_eq!(world.zone.channel(b"a").unwrap().subscribers, 0);
    world.check();
}

#[test]
fn a_subscriber_of_a_worker_that_was_taken_off_is_counted_anew() {
    let world = World::new(SIZE);
    let (old, new) = (world.worker(), world.worker());
    let life = life_of(&world, old, "a");
    world.zone.detach(old, &limits(), NOW);
    assert_eq!(world.zone.channel(b"a").unwrap().subscribers, 0);
    assert!(world.zone.pass_on(b"a", life, 1, None, old, new).is_some());
    assert_eq!(world.zone.channel(b"a").unwrap().subscribers, 1);
    assert_eq!(world.zone.pass_on(b"nobody", life, 1, None, old, new), None);
    world.check();
}

#[test]
fn a_subscriber_is_not_passed_on_to_another_channel_of_that_name() {
    let world = World::new(SIZE);
    let (old, new) = (world.worker(), world.worker());
    let life = life_of(&world, old, "a");
    world.publish("a", "one");
    // Beyond its end.
    assert_eq!(world.zone.pass_on(b"a", life, 3, None, old, new), None);
    let mut wake = WakeSet::default();
    assert!(world.zone.close(b"a", &limits(), NOW, &mut wake).is_some());
    assert_eq!(world.zone.pass_on(b"a", life, 2, None, old, new), None);
    world.publish("a", "first of the next");
    assert_eq!(world.zone.pass_on(b"a", life, 2, None, old, new), None);
    assert_eq!(world.zone.channel(b"a").unwrap().subscribers, 0);
    world.check();
}

/// Subscribes, and names the channel as another worker is told it.
fn life_of(world: &World, worker: WorkerId, name: &str) -> (u32, u64) {
    let (subscription, _) = world.subscribe(worker, name, 0, Stay::Always).unwrap();
    world.life(name, subscription.channel.unwrap())
}
