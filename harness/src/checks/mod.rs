//! The checks: each starts its own nginx and answers with a line of figures, or with what a user
//! would have noticed.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use anyhow::Result;

use crate::nginx::Setup;

mod attacks;
mod broadcast;
mod clients_gone;
mod flood;
mod handover;
mod hasty;
mod hooks;
mod hooks_cost;
mod hooks_outage;
mod kill;
mod ledger;
mod many_channels;
mod many_on_one;
mod old_client;
mod parked;
mod psub;
mod reload;
mod reloads;
mod restart;
mod several;
mod shutdown;
mod slow_reader;
mod stopped_inside;
mod stopped_readers;
pub mod storm;
mod vanished;
mod ws_hammer;

/// A check under way.
pub type Running = Pin<Box<dyn Future<Output = Result<String>> + Send>>;

/// One check.
pub struct Check {
    /// Its name, for the filter.
    pub name: &'static str,
    /// What it looks for, in one line.
    pub about: &'static str,
    /// Whether it has figures to tell at full size.
    pub has_figures: bool,
    /// Starts it.
    pub run: fn(Arc<Setup>) -> Running,
}

/// All checks, in the order they run.
pub fn all() -> Vec<Check> {
    let mut all = vec![
        Check {
            name: "many_on_one",
            about: "10,000 subscribers on one channel over 4 workers: all messages once, in order",
            has_figures: false,
            run: |setup| Box::pin(many_on_one::run(setup)),
        },
        Check {
            name: "several",
            about: "clients of three channels each, cut off at random: each message once and in order",
            has_figures: false,
            run: |setup| Box::pin(several::run(setup)),
        },
        Check {
            name: "ledger",
            about: "channels expire, are closed and cleared, clients are away: what they miss they are told lost, with its number",
            has_figures: false,
            run: |setup| Box::pin(ledger::run(setup)),
        },
        Check {
            name: "many_channels",
            about: "10,000 channels with a subscriber each: the same",
            has_figures: false,
            run: |setup| Box::pin(many_channels::run(setup)),
        },
        Check {
            name: "reload",
            about: "six reloads under publishing: all stay on their connections, nothing lost or repeated",
            has_figures: false,
            run: |setup| Box::pin(reload::run(setup)),
        },
        Check {
            name: "reloads",
            about: "four reloads over 1,000 waiting subscribers: nobody ended, nothing lost, doubled, out of order",
            has_figures: false,
            run: |setup| Box::pin(reloads::run(setup)),
        },
        Check {
            name: "handover_killed",
            about: "kill -9 of new workers while they take subscribers over: none deaf, nothing lost, counts exact",
            has_figures: false,
            run: |setup| Box::pin(handover::killed(setup)),
        },
        Check {
            name: "handover_stopped",
            about: "new workers stand still during a reload, for 2 s and for 7 s: all stay on their connections",
            has_figures: false,
            run: |setup| Box::pin(handover::stopped(setup)),
        },
        Check {
            name: "restart",
            about: "nginx quit, stopped and started again under publishing: state_file loses nothing",
            has_figures: false,
            run: |setup| Box::pin(restart::run(setup)),
        },
        Check {
            name: "kill",
            about: "kill -9 of ten workers under publishing: survivors miss nothing, counts exact",
            has_figures: false,
            run: |setup| Box::pin(kill::run(setup)),
        },
        Check {
            name: "slow_reader",
            about: "a reader that stops is told what it lost; others and memory are unharmed",
            has_figures: false,
            run: |setup| Box::pin(slow_reader::run(setup)),
        },
        Check {
            name: "broadcast",
            about: "a broadcast to 100,000 channels lets other requests through, comes once",
            has_figures: false,
            run: |setup| Box::pin(broadcast::run(setup)),
        },
        Check {
            name: "psub",
            about: "each psub on each worker sees every channel come and go once",
            has_figures: false,
            run: |setup| Box::pin(psub::run(setup)),
        },
        Check {
            name: "hooks",
            about: "a back end that is slow, away, mute or failing loses no event, over a reload and an exit too",
            has_figures: false,
            run: |setup| Box::pin(hooks::run(setup)),
        },
        Check {
            name: "hooks_tls",
            about: "a back end is told over TLS when its certificate is right",
            has_figures: false,
            run: |setup| Box::pin(hooks::tls(setup)),
        },
        Check {
            name: "hooks_outage",
            about: "a back end that is away under 500 publishes/s: all answered, memory bounded, counters and log right",
            has_figures: true,
            run: |setup| Box::pin(hooks_outage::run(setup)),
        },
        Check {
            name: "hooks_cost",
            about: "publishes with a hook whose back end is well, with one whose back end hangs, and without",
            has_figures: true,
            run: |setup| Box::pin(hooks_cost::run(setup)),
        },
        Check {
            name: "clients_gone",
            about: "2,000 clients that vanish are counted off; keepalive goes on after long polls",
            has_figures: false,
            run: |setup| Box::pin(clients_gone::run(setup)),
        },
        Check {
            name: "attack_vanished",
            about: "clients whose network is gone without a word: off within 2 x polling_timeout, hooks told",
            has_figures: false,
            run: |setup| Box::pin(vanished::run(setup)),
        },
        Check {
            name: "hasty",
            about: "3,000 clients that reset before their answer: none counted, no worker dies",
            has_figures: false,
            run: |setup| Box::pin(hasty::run(setup)),
        },
        Check {
            name: "parked",
            about: "a waiting subscriber of any transport costs less than 1 KB, and what cannot be parked more",
            has_figures: false,
            run: |setup| Box::pin(parked::run(setup)),
        },
        Check {
            name: "shutdown",
            about: "nginx -s quit with 1,000 subscribers: each ends politely, nginx exits",
            has_figures: false,
            run: |setup| Box::pin(shutdown::run(setup)),
        },
        Check {
            name: "old_client",
            about: "a client that behaves as icomet.js 0.2.x, by JSONP and by EventSource",
            has_figures: false,
            run: |setup| Box::pin(old_client::run(setup)),
        },
        Check {
            name: "flood",
            about: "a flood into a 16 MB zone: only 200 and 507, live subscribers unharmed",
            has_figures: true,
            run: |setup| Box::pin(flood::run(setup)),
        },
        Check {
            name: "attack_ws_hammer",
            about: "20 WebSockets that send commands without a pause: others are served as before",
            has_figures: true,
            run: |setup| Box::pin(ws_hammer::run(setup)),
        },
        Check {
            name: "stopped_readers",
            about: "stopped readers on a busy channel cost less than 2 KB each",
            has_figures: true,
            run: |setup| Box::pin(stopped_readers::run(setup)),
        },
        Check {
            name: "storm",
            about: "clients that reconnect at once, their own way and after kill -9 of all workers",
            has_figures: true,
            run: |setup| Box::pin(storm::run(setup)),
        },
    ];
    all.extend(attacks::checks());
    all
}

/// Those that need a module built for fault injection.
pub fn with_faults() -> Vec<Check> {
    vec![Check {
        name: "stopped_inside",
        about: "a worker is stopped before each store of a publish: others serve on, refuse with 503, and say who it is",
        has_figures: false,
        run: |setup| Box::pin(stopped_inside::run(setup)),
    }]
}
