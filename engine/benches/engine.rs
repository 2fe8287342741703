//! What an operation costs beside 1, 1,000 and 1,000,000 channels:
//! `cargo bench -p icomet-engine`.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::hint::black_box;

use common::{NOW, Random, World, limits};
use criterion::{Criterion, criterion_group, criterion_main};
use icomet_engine::{Stay, WakeSet};

fn name(n: u64) -> String {
    format!("channel-{n:08}")
}

fn engine(criterion: &mut Criterion) {
    for channels in [1u64, 1000, 1_000_000] {
        let world = World::new(1 << 30);
        for n in 0..channels {
            world.publish(&name(n), "forty bytes of content, as a chat has it");
        }
        let names: Vec<_> = (0..channels).map(name).collect();
        let mut random = Random(1);
        let parameter = |what| format!("{what}/{channels}");
        criterion.bench_function(&parameter("publish"), |bench| {
            bench.iter(|| {
                let mut wake = WakeSet::default();
                let name = names[random.below(channels) as usize].as_bytes();
                world
                    .zone
                    .publish(name, &[b'x'; 40], &limits(), NOW, &mut wake)
            });
        });
        criterion.bench_function(&parameter("lookup"), |bench| {
            bench.iter(|| {
                let name = names[random.below(channels) as usize].as_bytes();
                world.zone.channel(black_box(name))
            });
        });
        let held = names.iter().step_by(1 + names.len() / 10_000);
        let held: Vec<_> = held
            .map(|name| world.subscribe(world.me, name, 0, Stay::Always).unwrap().0)
            .map(|subscription| (subscription.channel.unwrap(), subscription.next))
            .collect();
        criterion.bench_function(&parameter("read"), |bench| {
            bench.iter(|| {
                let (channel, next) = held[random.below(held.len() as u64) as usize];
                let reading = world.zone.reading(world.me);
                let mut found = Vec::with_capacity(4);
                reading.window(channel, next - 1, 4, &limits(), NOW, &mut found);
                found
                    .iter()
                    .map(|m| reading.message(*m).content.len())
                    .sum::<usize>()
            });
        });
    }
}

criterion_group!(benches, engine);
criterion_main!(benches);
