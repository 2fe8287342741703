//! delivery-cpu, longpoll-cpu, ws-delivery-cpu.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Bench, Subject};
use crate::config::Shape;
use crate::crowd::Want;
use crate::publisher::Single;
use crate::report::Key;
use crate::target::{Kind, Transport};

/// Messages of one round.
const MESSAGES: u32 = 10;

pub fn sse_key() -> Key {
    Key::new("delivery-cpu", "", "us/delivery")
}

pub fn sse(bench: &mut Bench<'_>) -> Result<()> {
    let want = sse_want(bench);
    run(bench, &Kind::ALL, want, &sse_key())
}

fn sse_want(bench: &Bench<'_>) -> Want {
    super::sse(bench.options.few, false)
}

pub fn websocket(bench: &mut Bench<'_>) -> Result<()> {
    let want = Want {
        transport: Transport::WebSocket { deflates: false },
        ..sse_want(bench)
    };
    let key = Key::new("ws-delivery-cpu", "", "us/delivery");
    run(bench, &Kind::ALL, want, &key)
}

pub fn long_poll(bench: &mut Bench<'_>) -> Result<()> {
    let want = Want {
        transport: Transport::LongPoll,
        ..sse_want(bench)
    };
    let key = Key::new("longpoll-cpu", "", "us/cycle");
    run(bench, &[Kind::Icomet, Kind::Nchan], want, &key)
}

fn run(bench: &mut Bench<'_>, kinds: &[Kind], want: Want, key: &Key) -> Result<()> {
    let kinds = bench.servers(kinds);
    let subjects = bench.open_all(&kinds, Shape::new(1), want);
    // The first round warms up.
    for round in 0..=bench.options.rounds.max(5) {
        for subject in &subjects {
            let cost = cost_of_delivery(subject, MESSAGES)?;
            if round > 0 {
                bench.report.sample(key, subject.kind, cost);
            }
        }
    }
    for subject in subjects {
        bench.close(&key.scenario, subject);
    }
    Ok(())
}

/// Publishes to all, one message after the other, and answers the microseconds of server CPU that
/// one delivery took (with long polls: and the next poll).
pub fn cost_of_delivery(subject: &Subject, messages: u32) -> Result<f64> {
    let publisher = Single::open(subject.server.target)?;
    cost_of_publishing(subject, publisher, messages)
}

/// The same by a publisher that may have JSON texts to publish.
pub fn cost_of_publishing(subject: &Subject, mut publisher: Single, messages: u32) -> Result<f64> {
    let before = subject.server.cpu();
    for _ in 0..messages {
        publisher.publish(&subject.crowd, 0)?;
        let missing = subject.crowd.settle(Duration::from_secs(20));
        ensure!(
            missing == 0,
            "{}: {missing} deliveries are missing",
            subject.kind.name()
        );
        if subject.crowd.want.transport == Transport::LongPoll {
            subject.server.quiet();
        }
    }
    subject.server.quiet();
    let spent = subject.server.cpu() - before;
    let deliveries = f64::from(messages) * subject.crowd.want.count as f64;
    Ok(spent as f64 / 1000.0 / deliveries)
}
