//! scaling: what a subscriber and a delivery cost, over numbers of subscribers and workers.

use anyhow::Result;

use super::delivery::cost_of_delivery;
use super::{Bench, sse};
use crate::config::Shape;
use crate::report::Key;
use crate::target::Kind;

pub fn run(bench: &mut Bench<'_>) -> Result<()> {
    let (few, many) = (bench.options.few, bench.options.many);
    // Of many, each worker must have room for its share.
    let least = many.div_ceil(17_500);
    for (count, workers) in [
        (few, 1),
        (few, 2),
        (few, 6),
        (many, least.max(6)),
        (many, 52),
    ] {
        let case = format!("{count} subscribers, {workers} workers");
        let kinds = bench.servers(&Kind::ALL);
        let subjects = bench.open_all(&kinds, Shape::new(workers), sse(count, false));
        for subject in &subjects {
            if subject.kind != Kind::Floor {
                let key = Key::new("scaling", &case, "bytes");
                bench
                    .report
                    .sample(&key, subject.kind, subject.bytes_each());
            }
        }
        // The first round warms up.
        for round in 0..=bench.options.rounds {
            for subject in &subjects {
                let cost = cost_of_delivery(subject, if round == 0 { 1 } else { 2 })?;
                if round > 0 {
                    let key = Key::new("scaling", &case, "us/delivery");
                    bench.report.sample(&key, subject.kind, cost);
                }
            }
        }
        for subject in subjects {
            bench.close("scaling", subject);
        }
    }
    Ok(())
}
