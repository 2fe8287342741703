//! memory-idle, memory-channels, memory-after-traffic.

use std::time::Duration;

use anyhow::Result;

use super::{Bench, Subject};
use crate::config::Shape;
use crate::crowd::Want;
use crate::http::Client;
use crate::publisher::Single;
use crate::report::Key;
use crate::target::{Kind, Transport};

const MESSAGES: u32 = 20;

pub fn run(bench: &mut Bench<'_>) -> Result<()> {
    for transport in Transport::HTTP {
        for client in [Client::Curl, Client::Browser] {
            // The stream is what SSE is, but for a few bytes of framing.
            if transport == Transport::Stream && client == Client::Browser {
                continue;
            }
            for own_channels in [false, true] {
                for kind in bench.servers(&[Kind::Icomet, Kind::Nchan]) {
                    let want = Want {
                        count: bench.options.subscribers,
                        transport,
                        client,
                        own_channels,
                    };
                    if let Err(error) = one(bench, kind, want) {
                        note_failure(bench, "memory", kind, &error);
                    }
                }
            }
        }
    }
    Ok(())
}

/// Notes that a measurement was not made.
pub fn note_failure(bench: &mut Bench<'_>, scenario: &str, kind: Kind, error: &anyhow::Error) {
    let name = kind.name();
    bench.report.note(format!("{scenario}, {name}: {error:#}"));
}

/// Bytes a subscriber, after some messages to all.
pub fn after_traffic(subject: &Subject) -> Result<f64> {
    let mut publisher = Single::open(subject.server.target)?;
    for _ in 0..MESSAGES {
        publisher.publish(&subject.crowd, 0)?;
        subject.crowd.settle(Duration::from_secs(10));
    }
    subject.server.quiet();
    Ok(subject.bytes_each())
}

fn one(bench: &mut Bench<'_>, kind: Kind, want: Want) -> Result<()> {
    let (idle, after) = if want.own_channels {
        ("memory-channels", "")
    } else {
        ("memory-idle", "memory-after-traffic")
    };
    if !bench.wants(idle) && !bench.wants(after) {
        return Ok(());
    }
    let case = format!("{} {}", want.transport.name(), want.client.name());
    let workers = want.count.div_ceil(17_500).max(1);
    let subject = bench.open(kind, Shape::new(workers), want)?;
    if bench.wants(idle) {
        let key = Key::new(idle, &case, "bytes");
        bench.report.sample(&key, kind, subject.bytes_each());
    }
    if bench.wants(after) {
        let key = Key::new(after, &case, "bytes");
        let bytes = after_traffic(&subject)?;
        bench.report.sample(&key, kind, bytes);
    }
    bench.close("memory", subject);
    Ok(())
}
