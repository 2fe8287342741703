//! ws-memory, ws-deflate.

use anyhow::Result;

use super::delivery::cost_of_publishing;
use super::memory::{after_traffic, note_failure};
use super::{Bench, Subject};
use crate::config::Shape;
use crate::crowd::Want;
use crate::http::Client;
use crate::publisher::Single;
use crate::report::Key;
use crate::target::{Kind, Transport};

/// Messages of one round of ws-deflate.
const MESSAGES: u32 = 5;

/// Bytes of the JSON texts of ws-deflate.
const LENGTHS: [usize; 2] = [1024, 2048];

pub fn memory(bench: &mut Bench<'_>) -> Result<()> {
    for (deflates, client, own_channels) in [
        (false, Client::Curl, false),
        (true, Client::Browser, false),
        (false, Client::Curl, true),
    ] {
        for kind in bench.servers(&[Kind::Icomet, Kind::Nchan]) {
            let want = Want {
                count: bench.options.many,
                transport: Transport::WebSocket { deflates },
                client,
                own_channels,
            };
            if let Err(error) = one(bench, kind, want) {
                note_failure(bench, "ws-memory", kind, &error);
            }
        }
    }
    Ok(())
}

fn one(bench: &mut Bench<'_>, kind: Kind, want: Want) -> Result<()> {
    // The goal is about idle ones on one channel.
    let scenario = if want.own_channels {
        "ws-memory-channels"
    } else {
        "ws-memory"
    };
    let case = format!("{} {}", want.transport.name(), want.client.name());
    let workers = want.count.div_ceil(17_500).max(1);
    let subject = bench.open(kind, Shape::new(workers), want)?;
    let key = Key::new(scenario, &case, "bytes");
    bench.report.sample(&key, kind, subject.bytes_each());
    if !want.own_channels {
        let key = Key::new("ws-memory-after-traffic", &case, "bytes");
        let bytes = after_traffic(&subject)?;
        bench.report.sample(&key, kind, bytes);
    }
    bench.close("ws-memory", subject);
    Ok(())
}

/// Compressing subscribers and others at the same time, each on servers of their own.
pub fn deflate(bench: &mut Bench<'_>) -> Result<()> {
    let kinds = bench.servers(&[Kind::Icomet, Kind::Nchan]);
    let mut subjects: Vec<Subject> = Vec::new();
    for deflates in [false, true] {
        let want = Want {
            transport: Transport::WebSocket { deflates },
            ..super::sse(bench.options.few, false)
        };
        subjects.extend(bench.open_all(&kinds, Shape::new(1), want));
    }
    // The first round warms up.
    for round in 0..=bench.options.rounds.max(5) {
        for length in LENGTHS {
            for subject in &subjects {
                let (cost, bytes) = cost_of_json(subject, length)?;
                if round == 0 {
                    continue;
                }
                let deflates =
                    subject.crowd.want.transport == Transport::WebSocket { deflates: true };
                // The goal is about compressed ones.
                let scenario = if deflates {
                    "ws-deflate"
                } else {
                    "ws-no-deflate"
                };
                let case = format!("{length} bytes of JSON");
                let key = Key::new(scenario, &case, "us/delivery");
                bench.report.sample(&key, subject.kind, cost);
                let key = Key::new(scenario, &case, "bytes/delivery");
                bench.report.sample(&key, subject.kind, bytes);
            }
        }
    }
    for subject in subjects {
        bench.close("ws-deflate", subject);
    }
    Ok(())
}

/// Microseconds of server CPU and bytes that one delivery took.
fn cost_of_json(subject: &Subject, length: usize) -> Result<(f64, f64)> {
    let deflates = subject.crowd.want.transport == Transport::WebSocket { deflates: true };
    let publisher = Single::open(subject.server.target)?.with_json(length, deflates);
    let before = subject.crowd.sums().bytes;
    let cost = cost_of_publishing(subject, publisher, MESSAGES)?;
    let bytes = subject.crowd.sums().bytes - before;
    let deliveries = f64::from(MESSAGES) * subject.crowd.want.count as f64;
    Ok((cost, bytes as f64 / deliveries))
}
