//! Waiting for events, with a generous deadline.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// How long any single event may take. Far beyond what a healthy server needs, even on a busy
/// machine: reaching it is a failure, not a measurement.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// How often a state that sends no event is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Waits for `event`, at most [`DEADLINE`]; `what` names it in the error.
pub async fn within<T, E>(what: &str, event: impl Future<Output = Result<T, E>>) -> Result<T>
where
    E: Into<anyhow::Error>,
{
    match timeout(DEADLINE, event).await {
        Ok(result) => result.map_err(Into::into).with_context(|| what.to_owned()),
        Err(_) => bail!("{what}: not within {DEADLINE:?}"),
    }
}

/// Looks at a state until it is as wanted. `look` answers `Ok(None)` then, or what it is still.
pub async fn until<F, Fut>(what: &str, mut look: F) -> Result<()>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<Option<String>>>,
{
    let start = Instant::now();
    loop {
        let Some(still) = look().await.with_context(|| what.to_owned())? else {
            return Ok(());
        };
        if start.elapsed() > DEADLINE {
            bail!("{what}: not within {DEADLINE:?}; still {still}");
        }
        sleep(LOOK).await;
    }
}

/// Waits for all tasks; the first error ends them all.
pub async fn all<T: 'static>(what: &str, mut tasks: JoinSet<Result<T>>) -> Result<Vec<T>> {
    let mut results = Vec::with_capacity(tasks.len());
    while let Some(result) = tasks.join_next().await {
        results.push(
            result
                .context("a task panicked")?
                .with_context(|| what.to_owned())?,
        );
    }
    Ok(results)
}

/// Does `work` while the tasks go on; an error (or an early end) of a task ends the wait at once
/// with what went wrong, instead of a deadline later.
pub async fn first_error<T: 'static, R>(
    tasks: &mut JoinSet<Result<T>>,
    work: impl Future<Output = Result<R>>,
) -> Result<R> {
    tokio::select! {
        result = work => result,
        Some(ended) = tasks.join_next() => {
            ended.context("a task panicked")??;
            bail!("a client was done before its time")
        }
    }
}
