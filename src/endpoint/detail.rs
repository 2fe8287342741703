//! `info?detail=1`: what a hub holds and what it had to refuse, as JSON, for whoever watches it.
//!
//! All of it is counted as it happens, so the answer costs the same however many channels there are.

use icomet_engine::Zone;
use serde::Serialize;

use crate::answer::Answer;
use crate::config::hub::Hub;
use crate::ffi::log;

/// The answer. Numbers of events count from the time when the zone was made.
#[derive(Serialize)]
struct Detail<'a> {
    version: &'static str,
    hub: &'a str,
    /// 16 hex digits, as in resume ids.
    epoch: String,
    zone: Use,
    channels: u64,
    subscribers: u64,
    messages: u64,
    evictions: u64,
    refused: Refused,
    lost: Lost,
    repairs: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    hooks: Option<Hooks>,
    workers: Vec<Worker>,
}

/// Bytes of shared memory.
#[derive(Serialize)]
struct Use {
    size: u64,
    used: u64,
    free: u64,
}

#[derive(Serialize)]
struct Refused {
    publishes: u64,
    subscribers: u64,
}

/// What subscribers were told to be lost.
#[derive(Serialize)]
struct Lost {
    notices: u64,
    messages: u64,
}

/// Of a hub that has hooks: what became of their events.
#[derive(Serialize)]
struct Hooks {
    sent: u64,
    failed: u64,
    dropped: u64,
    queued: u64,
}

#[derive(Serialize)]
struct Worker {
    slot: u16,
    pid: u32,
    subscribers: u32,
}

/// What there is to tell of a hub.
pub fn of(hub: &Hub, zone: &Zone) -> Answer {
    let stats = zone.stats();
    let (size, free) = (zone.size(), stats.bytes_free());
    let workers = zone.workers().into_iter().map(|worker| Worker {
        slot: worker.slot,
        pid: worker.pid,
        subscribers: worker.subscribers,
    });
    let detail = Detail {
        version: env!("CARGO_PKG_VERSION"),
        hub: &hub.name,
        epoch: format!("{:016x}", zone.epoch()),
        zone: Use {
            size,
            used: size - free,
            free,
        },
        channels: stats.channels,
        subscribers: stats.subscribers,
        messages: stats.messages,
        evictions: stats.evictions,
        refused: Refused {
            publishes: stats.refused_publishes,
            subscribers: stats.refused_subscribers,
        },
        lost: Lost {
            notices: stats.lost_notices,
            messages: stats.lost_messages,
        },
        repairs: stats.repairs,
        hooks: (!hub.hooks.is_empty()).then_some(Hooks {
            sent: stats.hooks.sent,
            failed: stats.hooks.failed,
            dropped: stats.hooks.dropped,
            queued: stats.hooks_queued,
        }),
        workers: workers.collect(),
    };
    match serde_json::to_vec(&detail) {
        Ok(mut body) => {
            body.push(b'\n');
            Answer::new(200, "application/json", body)
        }
        Err(error) => {
            log::error(&format!("info cannot be written: {error}"));
            Answer::error(500, "", "info cannot be written")
        }
    }
}
