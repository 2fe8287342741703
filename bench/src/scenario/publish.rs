//! publish-closed: as many messages as are answered.

use std::time::Duration;

use anyhow::Result;

use super::{Bench, Subject, sse};
use crate::config::Shape;
use crate::publisher::{Load, publish};
use crate::report::Key;
use crate::target::Kind;

pub fn run(bench: &mut Bench<'_>) -> Result<()> {
    for workers in [1, 2] {
        let kinds = bench.servers(&Kind::ALL);
        let want = sse(bench.options.few, true);
        let subjects = bench.open_all(&kinds, Shape::new(workers), want);
        for round in 0..=bench.options.rounds {
            for subject in &subjects {
                // The first round warms up: every channel gets its messages.
                let time = if round == 0 {
                    bench.options.time / 4
                } else {
                    bench.options.time
                };
                one(bench, subject, workers, time, round > 0)?;
            }
        }
        for subject in subjects {
            bench.close("publish-closed", subject);
        }
    }
    Ok(())
}

fn one(
    bench: &mut Bench<'_>,
    subject: &Subject,
    workers: usize,
    time: Duration,
    counts: bool,
) -> Result<()> {
    let load = Load {
        connections: bench.options.publishers,
        rate: None,
        time,
        count: u64::MAX,
    };
    let before = subject.server.cpu();
    let outcome = publish(&subject.crowd, &load)?;
    subject.crowd.settle(Duration::from_secs(5));
    subject.server.quiet();
    let spent = subject.server.cpu() - before;
    let latency = subject.crowd.take_latency();
    if !counts {
        return Ok(());
    }
    let seconds = subject.crowd.sums().last.saturating_sub(outcome.start) as f64 / 1e9;
    let case = format!("{workers} workers");
    let messages = outcome.count as f64;
    for (metric, value) in [
        ("msg/s", messages / seconds),
        ("us of CPU/message", spent as f64 / 1000.0 / messages),
        (
            "answer p50 ms",
            outcome.answers.value_at_quantile(0.5) as f64 / 1e6,
        ),
        (
            "answer p99 ms",
            outcome.answers.value_at_quantile(0.99) as f64 / 1e6,
        ),
        (
            "latency p50 ms",
            latency.value_at_quantile(0.5) as f64 / 1e6,
        ),
    ] {
        let key = Key::new("publish-closed", &case, metric);
        bench.report.sample(&key, subject.kind, value);
    }
    Ok(())
}
