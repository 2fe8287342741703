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
        for kind in bench.servers(&Kind::ALL) {
            let subject = match bench.open(kind, Shape::new(workers), sse(count, false)) {
                Ok(subject) => subject,
                Err(error) => {
                    bench
                        .report
                        .note(format!("scaling, {}: {error:#}", kind.name()));
                    continue;
                }
            };
            if kind != Kind::Floor {
                let bytes = Key::new("scaling", &case, "bytes");
                bench.report.sample(&bytes, kind, subject.bytes_each());
            }
            cost_of_delivery(&subject, 1)?;
            for _ in 0..bench.options.rounds {
                let cost = cost_of_delivery(&subject, 2)?;
                let key = Key::new("scaling", &case, "us/delivery");
                bench.report.sample(&key, kind, cost);
            }
            bench.close("scaling", subject);
        }
    }
    Ok(())
}
