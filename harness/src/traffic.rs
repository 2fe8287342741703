//! Publishing in the background while something happens to the server.

use std::time::Duration;

use anyhow::Result;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::ledger::{Attempt, Publisher, Transcript};
use crate::wait;

/// Publishers at work.
#[derive(Debug)]
pub struct Traffic {
    stop: watch::Sender<bool>,
    tasks: JoinSet<Result<Vec<Attempt>>>,
}

impl Traffic {
    /// Lets each of the publishers publish a message each `pace`.
    pub fn start(publishers: impl IntoIterator<Item = Publisher>, pace: Duration) -> Self {
        let (stop, _) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for mut publisher in publishers {
            let stopped = stop.subscribe();
            tasks.spawn(async move {
                let mut pace = interval(pace);
                pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
                while !*stopped.borrow() {
                    pace.tick().await;
                    publisher.publish().await?;
                }
                Ok(publisher.attempts)
            });
        }
        Self { stop, tasks }
    }

    /// A flag that turns true when the publishers are to stop.
    pub fn stopped(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// Stops them; what they did.
    pub async fn finish(self) -> Result<Vec<Vec<Attempt>>> {
        self.stop.send_replace(true);
        wait::all("publishing", self.tasks).await
    }
}

/// Waits until subscribers have seen `more` messages more than now.
pub async fn progress(transcript: &Transcript, more: usize) -> Result<()> {
    let goal = transcript.len() + more;
    wait::until("messages go on arriving", || async {
        let now = transcript.len();
        Ok((now < goal).then(|| format!("{now} of {goal}")))
    })
    .await
}
