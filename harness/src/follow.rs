//! Following a channel through reloads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Result, bail, ensure};

use crate::ledger::Transcript;
use crate::subscriber::{Step, Subscriber};

/// The content of the message that is the last one.
pub const FINAL: &str = "final";

/// What the followers of a channel share.
#[derive(Debug, Default)]
pub struct Watch {
    /// What they saw.
    pub transcript: Transcript,
    must_stay: AtomicBool,
    may_be_cut: AtomicBool,
    ended: AtomicUsize,
    cut: AtomicUsize,
    /// Nothing is published, so that a long poll has no answer but the one that ends it.
    is_quiet: bool,
}

impl Watch {
    /// For a channel on which nothing is published before the last message.
    pub fn quiet() -> Arc<Self> {
        Arc::new(Watch {
            is_quiet: true,
            ..Watch::default()
        })
    }

    /// From now on it is a fault (or none) when a subscription ends.
    pub fn must_stay(&self, yes: bool) {
        self.must_stay.store(yes, Ordering::Relaxed);
    }

    /// From now on it is no fault (or one) when a connection breaks.
    pub fn may_be_cut(&self, yes: bool) {
        self.may_be_cut.store(yes, Ordering::Relaxed);
    }

    /// Subscriptions that were ended politely.
    pub fn ended(&self) -> usize {
        self.ended.load(Ordering::Relaxed)
    }

    /// Connections that broke.
    pub fn cut(&self) -> usize {
        self.cut.load(Ordering::Relaxed)
    }

    fn note_end(&self, subscriber: &Subscriber) -> Result<()> {
        ensure!(
            !self.must_stay.load(Ordering::Relaxed),
            "{}: ended, and should have stayed",
            subscriber.name()
        );
        self.ended.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn note_cut(&self, what: String) -> Result<()> {
        ensure!(self.may_be_cut.load(Ordering::Relaxed), what);
        self.cut.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// Follows a channel to its final message, and hands back the subscriber with its connection.
pub async fn follow(mut subscriber: Subscriber, watch: Arc<Watch>) -> Result<Subscriber> {
    let mut retry = false;
    loop {
        match subscriber.next().await? {
            Step::Message(message) => {
                watch.transcript.note(&message)?;
                if message.content == FINAL {
                    return Ok(subscriber);
                }
                if message.kind == "noop" {
                    if !subscriber.transport.is_poll() {
                        bail!("{}: a noop on a stream", subscriber.name());
                    }
                    // One that comes between two messages may meet a worker that exits.
                    if watch.is_quiet {
                        watch.note_end(&subscriber)?;
                    }
                }
            }
            Step::Retry(ms) => {
                ensure!(
                    (500..=3000).contains(&ms),
                    "{}: retry {ms}",
                    subscriber.name()
                );
                retry = true;
            }
            Step::Ended => {
                ensure!(
                    retry == subscriber.transport.has_retry(),
                    "{}: ended with retry: {retry}",
                    subscriber.name()
                );
                retry = false;
                watch.note_end(&subscriber)?;
            }
            // nginx closes idle connections on a reload; a poll sent at that moment meets it.
            Step::Cut(_, what) if what.contains("between polls") => {}
            Step::Cut(_, what) => {
                retry = false;
                watch.note_cut(what)?;
            }
            Step::Refused => bail!("{}: refused", subscriber.name()),
        }
    }
}
