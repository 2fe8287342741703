//! fanout-last: many subscribers of one channel.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Bench, Subject, sse};
use crate::config::Shape;
use crate::publisher::Single;
use crate::report::{Key, median};
use crate::target::Kind;

/// Messages of one round.
const MESSAGES: usize = 3;

pub fn run(bench: &mut Bench<'_>) -> Result<()> {
    for (count, workers) in [
        (bench.options.few, 1),
        (bench.options.many, bench.options.workers),
    ] {
        let case = format!("{count} subscribers, {workers} workers");
        let kinds = bench.servers(&Kind::ALL);
        let subjects = bench.open_all(&kinds, Shape::new(workers), sse(count, false));
        for round in 0..=bench.options.rounds {
            for subject in &subjects {
                let (last, answers) = fan_out(subject, if round == 0 { 1 } else { MESSAGES })?;
                if round == 0 {
                    continue;
                }
                // The goal is about the many.
                let scenario = if count == bench.options.many {
                    "fanout-last"
                } else {
                    "fanout-few"
                };
                let key = Key::new(scenario, &case, "last ms");
                bench.report.sample(&key, subject.kind, last);
                let worst = answers.iter().copied().fold(0.0, f64::max);
                let middle = median(answers).unwrap_or(0.0);
                let key = Key::new("fanout-answer", &case, "p50 ms");
                bench.report.sample(&key, subject.kind, middle);
                let key = Key::new("fanout-answer", &case, "max ms");
                bench.report.sample(&key, subject.kind, worst);
            }
        }
        for subject in subjects {
            bench.close("fanout-last", subject);
        }
    }
    Ok(())
}

/// Publishes to all, one message after the other: milliseconds until the last one has it (the
/// median), and those until each answer.
pub fn fan_out(subject: &Subject, messages: usize) -> Result<(f64, Vec<f64>)> {
    let mut publisher = Single::open(subject.server.target)?;
    let mut lasts = Vec::new();
    let mut answers = Vec::new();
    for _ in 0..messages {
        let (sent, answer) = publisher.publish(&subject.crowd, 0)?;
        let missing = subject.crowd.settle(Duration::from_secs(30));
        ensure!(
            missing == 0,
            "{}: {missing} deliveries are missing",
            subject.kind.name()
        );
        let last = subject.crowd.sums().last.saturating_sub(sent);
        lasts.push(last as f64 / 1e6);
        answers.push(answer.as_secs_f64() * 1e3);
        subject.server.quiet();
    }
    Ok((median(lasts).unwrap_or(0.0), answers))
}
