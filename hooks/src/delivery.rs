//! What one hook does with its queue: batches, one at a time, each until it is taken.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel::{Receiver, TryRecvError};
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use crate::client::Client;
use crate::config::Hook;
use crate::event::{self, Event, Names};
use crate::service::{Counts, Level, Outbox};
use crate::trouble::{Line, Trouble};

/// How long a batch that is not full waits for more.
const LINGER: Duration = Duration::from_millis(20);

/// The pause after a first failure; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The longest pause once the worker exits, when there is little time left.
const LAST_PAUSE: Duration = Duration::from_millis(200);

/// When reports that did not fit are tried again.
const RETRY_REPORTS: Duration = Duration::from_millis(100);

/// A hook's queue and what belongs to it.
pub struct Delivery {
    /// Its number.
    pub number: usize,
    pub hook: Arc<Hook>,
    pub names: Names,
    pub queue: Receiver<Event>,
    /// Rung when something was put into the queue, and when nothing more will be.
    pub bell: Arc<Notify>,
    /// Turns true when the worker exits.
    pub stopping: watch::Receiver<bool>,
    pub outbox: Outbox,
}

impl Delivery {
    /// Works until the queue has ended and is empty.
    pub async fn run(mut self) {
        let mut client = Client::new(Arc::clone(&self.hook), self.names.node.clone());
        let mut trouble = Trouble::default();
        while let Some(events) = self.next_batch().await {
            let body = match event::write(&self.names, &events) {
                Ok(body) => Bytes::from(body),
                Err(error) => {
                    let text = format!("cannot be told {} events: {error}", events.len());
                    self.say(Some((Level::Error, text)));
                    self.count(Counts {
                        rejected: events.len() as u64,
                        ..Counts::default()
                    });
                    continue;
                }
            };
            let count = events.len() as u64;
            drop(events);
            self.deliver(&mut client, body, count, &mut trouble).await;
        }
        self.say(trouble.rest());
        while !self.outbox.flush(self.number) {
            sleep(RETRY_REPORTS).await;
        }
    }

    /// The next events, in order; `None` at the end.
    async fn next_batch(&mut self) -> Option<Vec<Event>> {
        let mut events = Vec::new();
        loop {
            match self.queue.try_recv() {
                Ok(event) => {
                    events.push(event);
                    break;
                }
                Err(TryRecvError::Empty) if self.outbox.flush(self.number) => {
                    self.bell.notified().await;
                }
                Err(TryRecvError::Empty) => sleep(RETRY_REPORTS).await,
                Err(TryRecvError::Disconnected) => return None,
            }
        }
        if self.queue.len() + 1 < self.hook.batch && !*self.stopping.borrow() {
            // Nobody rings for this: while the bell is not waited for, ringing it costs the worker nothing.
            tokio::select! {
                () = sleep(LINGER) => {}
                _ = self.stopping.changed() => {}
            }
        }
        events.extend(
            self.queue
                .try_iter()
                .take(self.hook.batch.saturating_sub(1)),
        );
        Some(events)
    }

    async fn deliver(
        &mut self,
        client: &mut Client,
        body: Bytes,
        count: u64,
        trouble: &mut Trouble,
    ) {
        loop {
            let error = match client.post(body.clone()).await {
                Ok(()) => {
                    self.say(trouble.taken());
                    self.count(Counts {
                        sent: count,
                        ..Counts::default()
                    });
                    return;
                }
                Err(error) => error,
            };
            if error.is_final() {
                self.say(trouble.taken());
                self.say(trouble.refused(count, &error));
                self.count(Counts {
                    failed: 1,
                    rejected: count,
                    ..Counts::default()
                });
                return;
            }
            self.count(Counts {
                failed: 1,
                ..Counts::default()
            });
            let (before, line) = trouble.failed(&error, self.queue.len() as u64 + count);
            self.say(line);
            let pause = pause(before, *self.stopping.borrow());
            tokio::select! {
                () = sleep(pause) => {}
                _ = self.stopping.changed() => {}
            }
        }
    }

    fn say(&self, line: Line) {
        let Some((level, text)) = line else {
            return;
        };
        let (hub, target) = (&self.names.hub, &self.hook.target);
        self.outbox
            .say(level, format!("hub \"{hub}\": hook {target} {text}"));
    }

    fn count(&mut self, counts: Counts) {
        self.outbox.count(self.number, counts);
    }
}

/// How long to wait after that many failures before this one: half of the pause and a random part of the
/// other half, so that workers and nodes do not come in step.
fn pause(failures: u32, stopping: bool) -> Duration {
    let longest = if stopping { LAST_PAUSE } else { LONGEST_PAUSE };
    let whole = FIRST_PAUSE
        .saturating_mul(1 << failures.min(16))
        .min(longest);
    let random = getrandom::u32().map_or(0.5, |n| f64::from(n) / f64::from(u32::MAX));
    whole.mul_f64(0.5 + random / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_bound_and_differ() {
        let seen: std::collections::HashSet<_> = (0..20).map(|_| pause(3, false)).collect();
        assert!(seen.len() > 1);
        for (failures, stopping, most) in [
            (0, false, 100),
            (3, false, 800),
            (99, false, 10_000),
            (99, true, 200),
        ] {
            let pause = pause(failures, stopping).as_millis();
            assert!((most / 2..=most).contains(&pause), "{failures}: {pause} ms");
        }
    }
}
