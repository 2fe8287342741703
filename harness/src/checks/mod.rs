//! The checks: each starts its own nginx and answers with a line of figures, or with what a user
//! would have noticed.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use anyhow::Result;

use crate::nginx::Setup;

mod broadcast;
mod clients_gone;
mod hasty;
mod kill;
mod many_channels;
mod many_on_one;
mod old_client;
mod parked;
mod psub;
mod reload;
mod reloads;
mod shutdown;
mod slow_reader;

/// A check under way.
pub type Running = Pin<Box<dyn Future<Output = Result<String>> + Send>>;

/// One check.
pub struct Check {
    /// Its name, for the filter.
    pub name: &'static str,
    /// What it looks for, in one line.
    pub about: &'static str,
    /// Starts it.
    pub run: fn(Arc<Setup>) -> Running,
}

/// All checks, in the order they run.
pub fn all() -> Vec<Check> {
    vec![
        Check {
            name: "many_on_one",
            about: "10,000 subscribers on one channel over 4 workers: all messages once, in order",
            run: |setup| Box::pin(many_on_one::run(setup)),
        },
        Check {
            name: "many_channels",
            about: "10,000 channels with a subscriber each: the same",
            run: |setup| Box::pin(many_channels::run(setup)),
        },
        Check {
            name: "reload",
            about: "five reloads under publishing: polite ends, nothing lost or repeated",
            run: |setup| Box::pin(reload::run(setup)),
        },
        Check {
            name: "reloads",
            about: "four reloads over 1,000 waiting subscribers: nothing lost, doubled, out of order",
            run: |setup| Box::pin(reloads::run(setup)),
        },
        Check {
            name: "kill",
            about: "kill -9 of ten workers under publishing: survivors miss nothing, counts exact",
            run: |setup| Box::pin(kill::run(setup)),
        },
        Check {
            name: "slow_reader",
            about: "a reader that stops is told what it lost; others and memory are unharmed",
            run: |setup| Box::pin(slow_reader::run(setup)),
        },
        Check {
            name: "broadcast",
            about: "a broadcast to 100,000 channels lets other requests through, comes once",
            run: |setup| Box::pin(broadcast::run(setup)),
        },
        Check {
            name: "psub",
            about: "each psub on each worker sees every channel come and go once",
            run: |setup| Box::pin(psub::run(setup)),
        },
        Check {
            name: "clients_gone",
            about: "2,000 clients that vanish are counted off; keepalive goes on after long polls",
            run: |setup| Box::pin(clients_gone::run(setup)),
        },
        Check {
            name: "hasty",
            about: "3,000 clients that reset before their answer: none counted, no worker dies",
            run: |setup| Box::pin(hasty::run(setup)),
        },
        Check {
            name: "parked",
            about: "a waiting subscriber of any transport costs less than 1 KB, and what cannot be parked more",
            run: |setup| Box::pin(parked::run(setup)),
        },
        Check {
            name: "shutdown",
            about: "nginx -s quit with 1,000 subscribers: each ends politely, nginx exits",
            run: |setup| Box::pin(shutdown::run(setup)),
        },
        Check {
            name: "old_client",
            about: "a client that behaves as icomet.js 0.2.x, by JSONP and by EventSource",
            run: |setup| Box::pin(old_client::run(setup)),
        },
    ]
}
