//! c1000k: a million live subscribers.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::fanout::fan_out;
use super::{Bench, Subject, sse};
use crate::config::Shape;
use crate::process;
use crate::publisher::{Load, publish};
use crate::report::Key;
use crate::target::Kind;

/// Messages to all of one channel.
const MESSAGES: usize = 5;

pub fn run(bench: &mut Bench<'_>) -> Result<()> {
    for own_channels in [true, false] {
        for kind in bench.servers(&[Kind::Icomet, Kind::Floor]) {
            one(bench, kind, own_channels)?;
        }
    }
    Ok(())
}

fn one(bench: &mut Bench<'_>, kind: Kind, own_channels: bool) -> Result<()> {
    let count = bench.options.million;
    let (scenario, case) = if own_channels {
        ("c1000k-own", format!("{count}, a channel each"))
    } else {
        ("c1000k-one", format!("{count}, one channel"))
    };
    let shape = Shape {
        zone: 600,
        ..Shape::new(bench.options.million_workers)
    };
    let kernel_before = process::kernel_memory();
    let subject = bench.open(kind, shape, sse(count, own_channels))?;
    let each = |bytes: u64| bytes as f64 / count as f64;
    let total = subject.server.pss();
    let kernel = process::kernel_memory().saturating_sub(kernel_before);
    let figures = [
        ("c1000k", "PSS GB", total as f64 / 1e9),
        (scenario, "bytes", subject.bytes_each()),
        (scenario, "open s", subject.crowd.opened_in.as_secs_f64()),
        (scenario, "kernel bytes/pair", each(kernel)),
    ];
    for (scenario, metric, value) in figures {
        bench
            .report
            .sample(&Key::new(scenario, &case, metric), kind, value);
    }
    if own_channels {
        each_its_own(bench, &subject, scenario, &case)?;
    } else {
        one_to_all(bench, &subject, scenario, &case)?;
    }
    let after = subject.server.pss() as f64 / 1e9;
    let key = Key::new("c1000k", &format!("{case}, after traffic"), "PSS GB");
    bench.report.sample(&key, kind, after);
    bench.close("c1000k", subject);
    Ok(())
}

fn each_its_own(
    bench: &mut Bench<'_>,
    subject: &Subject,
    scenario: &str,
    case: &str,
) -> Result<()> {
    let load = Load {
        connections: bench.options.publishers * 2,
        rate: None,
        time: Duration::from_secs(300),
        count: subject.crowd.want.count as u64,
    };
    let before = subject.server.cpu();
    let outcome = publish(&subject.crowd, &load)?;
    let missing = subject.crowd.settle(Duration::from_secs(20));
    ensure!(
        missing == 0,
        "{}: {missing} deliveries are missing",
        subject.kind.name()
    );
    let last = subject.crowd.sums().last.saturating_sub(outcome.start) as f64 / 1e6;
    let spent = subject.server.cpu() - before;
    let latency = subject.crowd.take_latency();
    for (metric, value) in [
        ("last ms", last),
        ("msg/s", outcome.count as f64 / last * 1e3),
        (
            "us of CPU/message",
            spent as f64 / 1e3 / outcome.count as f64,
        ),
        (
            "latency p50 ms",
            latency.value_at_quantile(0.5) as f64 / 1e6,
        ),
        (
            "latency p99 ms",
            latency.value_at_quantile(0.99) as f64 / 1e6,
        ),
    ] {
        let key = Key::new(scenario, case, metric);
        bench.report.sample(&key, subject.kind, value);
    }
    Ok(())
}

fn one_to_all(bench: &mut Bench<'_>, subject: &Subject, scenario: &str, case: &str) -> Result<()> {
    fan_out(subject, 1)?;
    let before = subject.server.cpu();
    let start = Instant::now();
    for _ in 0..MESSAGES {
        let (last, answers) = fan_out(subject, 1)?;
        let key = Key::new(scenario, case, "last ms");
        bench.report.sample(&key, subject.kind, last);
        let key = Key::new(scenario, case, "answer ms");
        for answer in answers {
            bench.report.sample(&key, subject.kind, answer);
        }
    }
    let deliveries = (MESSAGES * subject.crowd.want.count) as f64;
    let spent = subject.server.cpu() - before;
    let key = Key::new(scenario, case, "us/delivery");
    bench
        .report
        .sample(&key, subject.kind, spent as f64 / 1e3 / deliveries);
    println!(
        "    {MESSAGES} messages in {:.1} s",
        start.elapsed().as_secs_f64()
    );
    Ok(())
}
