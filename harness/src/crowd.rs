//! Many subscribers at once.

use std::collections::HashSet;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::subscriber::Subscriber;
use crate::wait;

/// How many connections are opened at the same time: well below the listen backlog.
const OPENING: usize = 256;

/// Limits how many subscribers open their first connection at once.
#[derive(Debug, Clone)]
pub struct Gate(Arc<Semaphore>);

impl Gate {
    /// A gate for one crowd.
    pub fn new() -> Self {
        Self(Arc::new(Semaphore::new(OPENING)))
    }

    /// Opens a subscriber's first connection when it is its turn.
    pub async fn open(&self, subscriber: &mut Subscriber) -> Result<()> {
        let _turn = self.0.acquire().await.context("gate closed")?;
        wait::within(&subscriber.name(), subscriber.open()).await
    }
}

/// Opens all of them and hands them back, in no particular order.
pub async fn open_all(crowd: impl IntoIterator<Item = Subscriber>) -> Result<Vec<Subscriber>> {
    let gate = Gate::new();
    let mut tasks = JoinSet::new();
    for mut subscriber in crowd {
        let gate = gate.clone();
        tasks.spawn(async move {
            gate.open(&mut subscriber).await?;
            Ok(subscriber)
        });
    }
    wait::all("opening subscribers", tasks).await
}

/// Fails unless every worker served some of them.
pub fn spread(crowd: &[Subscriber], workers: usize) -> Result<()> {
    let used: HashSet<i32> = crowd.iter().filter_map(Subscriber::worker).collect();
    ensure!(
        used.len() == workers,
        "only {} of {workers} workers had subscribers",
        used.len()
    );
    Ok(())
}
