//! Client addresses: how many subscribers each has, and that no more than allowed get in.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::net::IpAddr;

use common::{Ended, NOW, World, fork, limits, wait};
use icomet_engine::{Admission, ClientAddress, EnterError, Stay, WakeSet, WorkerId};

fn of(text: &str) -> ClientAddress {
    text.parse::<IpAddr>().unwrap().into()
}

fn enter(
    world: &World,
    worker: WorkerId,
    address: &str,
    max: u32,
) -> Result<Admission, EnterError> {
    world
        .zone
        .enter(worker, of(address), max, &limits(), &mut WakeSet::default())
}

#[test]
fn the_limit_holds_over_all_workers() {
    let world = World::new(1 << 20);
    let other = world.worker();
    let mine = enter(&world, world.me, "192.0.2.1", 3).unwrap();
    let theirs = enter(&world, other, "192.0.2.1", 3).unwrap();
    let again = enter(&world, other, "192.0.2.1", 3).unwrap();
    for worker in [world.me, other] {
        let refused = enter(&world, worker, "192.0.2.1", 3);
        assert_eq!(refused, Err(EnterError::TooMany));
    }
    let _stays = enter(&world, other, "192.0.2.2", 3).unwrap();
    assert_eq!(world.zone.subscribers_of(of("192.0.2.1")), 3);
    assert_eq!(world.zone.stats().refused_subscribers, 2);
    world.zone.leave(again);
    let again = enter(&world, world.me, "192.0.2.1", 3).unwrap();
    world.check();
    for admission in [mine, theirs, again] {
        world.zone.leave(admission);
    }
    assert_eq!(world.zone.subscribers_of(of("192.0.2.1")), 0);
    assert_eq!(world.zone.verify().unwrap().addresses, 1);
}

#[test]
fn a_network_of_ipv6_is_one_address() {
    let world = World::new(1 << 20);
    let _stays = enter(&world, world.me, "2001:db8:1:2::1", 1).unwrap();
    let neighbour = enter(&world, world.me, "2001:db8:1:2:ffff::", 1);
    assert_eq!(neighbour, Err(EnterError::TooMany));
    let _stays = enter(&world, world.me, "2001:db8:1:3::1", 1).unwrap();
}

#[test]
fn thousands_of_addresses_come_and_go_without_a_trace() {
    let world = World::new(4 << 20);
    let used = world.zone.verify().unwrap().used;
    let names: Vec<_> = (0..20_000u32)
        .map(|n| IpAddr::from(n.to_be_bytes()).to_string())
        .collect();
    let admissions: Vec<_> = names
        .iter()
        .map(|name| enter(&world, world.me, name, 1).unwrap())
        .collect();
    for name in names.iter().step_by(997) {
        let refused = enter(&world, world.me, name, 1);
        assert_eq!(refused, Err(EnterError::TooMany), "{name}");
    }
    assert_eq!(world.zone.verify().unwrap().addresses, 20_000);
    for admission in admissions {
        world.zone.leave(admission);
    }
    let report = world.zone.verify().unwrap();
    assert_eq!((report.addresses, report.used), (0, used));
}

#[test]
fn a_full_zone_says_so() {
    let world = World::new(1 << 20);
    let mut n = 0u32;
    let refused = loop {
        let name = IpAddr::from(n.to_be_bytes()).to_string();
        match enter(&world, world.me, &name, 1) {
            Ok(_stays) => n += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, EnterError::ZoneFull);
    assert!(n > 10_000, "{n}");
    world.check();
}

#[test]
fn a_dead_worker_takes_its_share_along() {
    let world = World::new(1 << 20);
    let _stays = enter(&world, world.me, "192.0.2.1", 9).unwrap();
    let child = fork(|| {
        let me = world.worker();
        for _ in 0..3 {
            let _stays = enter(&world, me, "192.0.2.1", 9).unwrap();
            world.subscribe(me, "c", 0, Stay::Always).unwrap();
        }
        // SAFETY: a signal to this process.
        unsafe { libc::raise(libc::SIGKILL) };
    });
    assert_eq!(wait(child), Ended::Killed);
    let workers = world.zone.workers();
    let told: Vec<_> = workers.iter().map(|w| (w.pid, w.subscribers)).collect();
    assert_eq!(told, [(std::process::id(), 0), (child as u32, 3)]);
    assert_eq!(world.zone.subscribers_of(of("192.0.2.1")), 4);
    assert_eq!(world.reap(), 1);
    assert_eq!(world.zone.subscribers_of(of("192.0.2.1")), 1);
    assert_eq!(world.zone.workers().len(), 1);
    assert_eq!(world.zone.stats().subscribers, 0);
    world.check();
}

#[test]
fn refusals_and_losses_are_counted() {
    let world = World::new(1 << 20);
    for n in 0..6 {
        world.publish("c", &n.to_string());
    }
    // The ring holds 4.
    world.subscribe(world.me, "c", 1, Stay::Never).unwrap();
    let limits = icomet_engine::Limits {
        max_channels: 1,
        ..limits()
    };
    let mut wake = WakeSet::default();
    for _ in 0..3 {
        let refused = world.zone.publish(b"d", b"x", &limits, NOW, &mut wake);
        assert!(refused.is_err());
    }
    let stats = world.zone.stats();
    assert_eq!((stats.lost_notices, stats.lost_messages), (1, 2));
    assert_eq!((stats.refused_publishes, stats.refused_subscribers), (3, 0));
    assert!(stats.bytes_free() > 0 && stats.bytes_free() < world.zone.size());
}
