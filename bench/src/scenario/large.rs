//! latency and idle-cpu: many subscribers with a channel each.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Bench, Subject, sse};
use crate::config::Shape;
use crate::publisher::{Load, publish};
use crate::report::Key;
use crate::target::Kind;

pub fn run(bench: &mut Bench<'_>) -> Result<()> {
    let kinds = bench.servers(&Kind::ALL);
    let want = sse(bench.options.many, true);
    let subjects = bench.open_all(&kinds, Shape::new(bench.options.workers), want);
    if bench.wants("idle-cpu") {
        idle(bench, &subjects);
    }
    if bench.wants("latency") {
        for round in 0..=bench.options.rounds {
            for subject in &subjects {
                let time = if round == 0 {
                    bench.options.time / 4
                } else {
                    bench.options.time
                };
                latency(bench, subject, time, round > 0)?;
            }
        }
    }
    for subject in subjects {
        bench.close("latency", subject);
    }
    Ok(())
}

/// All at the same time: idle servers do not disturb each other.
fn idle(bench: &mut Bench<'_>, subjects: &[Subject]) {
    let before: Vec<_> = subjects
        .iter()
        .map(|subject| subject.server.cpu())
        .collect();
    let start = Instant::now();
    std::thread::sleep(bench.options.idle_time);
    let taken = start.elapsed().as_nanos() as f64;
    let key = Key::new("idle-cpu", "", "% of a core");
    for (subject, before) in subjects.iter().zip(before) {
        let spent = subject.server.cpu() - before;
        bench
            .report
            .sample(&key, subject.kind, spent as f64 / taken * 100.0);
    }
}

fn latency(bench: &mut Bench<'_>, subject: &Subject, time: Duration, counts: bool) -> Result<()> {
    let load = Load {
        connections: bench.options.publishers,
        rate: Some(bench.options.rate),
        time,
        count: u64::MAX,
    };
    let before = subject.server.cpu();
    let outcome = publish(&subject.crowd, &load)?;
    subject.crowd.settle(Duration::from_secs(5));
    let spent = subject.server.cpu() - before;
    let latency = subject.crowd.take_latency();
    if !counts {
        return Ok(());
    }
    let milliseconds = |value: u64| value as f64 / 1e6;
    for (metric, value) in [
        ("p50 ms", milliseconds(latency.value_at_quantile(0.5))),
        ("p99 ms", milliseconds(latency.value_at_quantile(0.99))),
        ("max ms", milliseconds(latency.max())),
        (
            "answer p50 ms",
            milliseconds(outcome.answers.value_at_quantile(0.5)),
        ),
        (
            "sent too late p99 ms",
            milliseconds(outcome.lag.value_at_quantile(0.99)),
        ),
        (
            "us of CPU/message",
            spent as f64 / 1000.0 / outcome.count as f64,
        ),
    ] {
        bench
            .report
            .sample(&Key::new("latency", "", metric), subject.kind, value);
    }
    Ok(())
}
