//! Back ends that publish and broadcast without a pause, so that a worker that is killed may be
//! inside the zone (still rare: one repair was seen in 60 kills; the engine's tests kill there on
//! purpose); and what must be true of their channels afterwards.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::http::HttpError;
use crate::hub::{Admin, HubAddress};
use crate::message::Message;
use crate::wait;

/// Back ends at work.
const HAMMERS: usize = 4;

/// Channels of each back end; a broadcast reaches those of all.
const EACH: usize = 250;

/// Pushes between two broadcasts of a back end.
const PUSHES: usize = 5;

/// How often something was tried, and how often the server said `ok`.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    acknowledged: u64,
    tried: u64,
}

/// What one back end did.
struct Strokes {
    pushes: Vec<Tally>,
    broadcasts: Tally,
}

/// Creates the channels; before anything is killed.
pub async fn prepare(hub: HubAddress) -> Result<()> {
    let mut admin = Admin::new(hub);
    for index in 0..HAMMERS * EACH {
        admin.must_push(&channel(index), "first").await?;
    }
    Ok(())
}

/// Hammers until told to stop; then each channel's seq must lie between what was acknowledged and
/// what was tried.
pub async fn run(hub: HubAddress, stopped: watch::Receiver<bool>) -> Result<()> {
    let mut tasks = JoinSet::new();
    for first in 0..HAMMERS {
        let stopped = stopped.clone();
        tasks.spawn(async move { Ok((first, strokes(hub, first, stopped).await?)) });
    }
    let done = wait::all("hammering", tasks).await?;
    let mut all = Tally::default();
    for (_, strokes) in &done {
        all.acknowledged += strokes.broadcasts.acknowledged;
        all.tried += strokes.broadcasts.tried;
    }
    let mut admin = Admin::new(hub);
    for (first, strokes) in &done {
        for (index, pushes) in strokes.pushes.iter().enumerate() {
            let name = channel(first * EACH + index);
            let seq = last_seq(hub, &mut admin, &name).await?;
            // The first one is from the preparation.
            let least = 1 + all.acknowledged + pushes.acknowledged;
            let most = 1 + all.tried + pushes.tried;
            ensure!(
                (least..=most).contains(&seq),
                "{name}: {least} publishes acknowledged, {most} tried, seq {seq}"
            );
        }
    }
    Ok(())
}

async fn strokes(hub: HubAddress, first: usize, stopped: watch::Receiver<bool>) -> Result<Strokes> {
    let mut admin = Admin::new(hub);
    let mut strokes = Strokes {
        pushes: vec![Tally::default(); EACH],
        broadcasts: Tally::default(),
    };
    for round in 0.. {
        if *stopped.borrow() {
            break;
        }
        let (tally, result) = if round % (PUSHES + 1) == PUSHES {
            let broadcast = admin.broadcast("stroke");
            let result =
                wait::within("broadcast", async { Ok::<_, HttpError>(broadcast.await) }).await?;
            (&mut strokes.broadcasts, result)
        } else {
            let index = round % EACH;
            let name = channel(first * EACH + index);
            let push = admin.push(&name, "stroke");
            let result = wait::within("push", async { Ok::<_, HttpError>(push.await) }).await?;
            (&mut strokes.pushes[index], result)
        };
        tally.tried += 1;
        match result {
            Ok(()) => tally.acknowledged += 1,
            // An nginx that is being started again refuses at once.
            Err(HttpError::Cut(_)) => sleep(Duration::from_millis(5)).await,
            Err(error) => bail!(error),
        }
    }
    Ok(strokes)
}

fn channel(index: usize) -> String {
    format!("anvil-{index}")
}

async fn last_seq(hub: HubAddress, admin: &mut Admin, name: &str) -> Result<u64> {
    let target = format!("{}&seq=0&wait=0", hub.front("sub", name));
    let response = admin.ask(&target).await?;
    let batch = Message::parse_batch(&response.body).map_err(anyhow::Error::msg)?;
    match batch.as_slice() {
        [message] if message.kind == "next_seq" && message.seq > 0 => Ok(message.seq - 1),
        other => bail!("{name}: asked for seq 0, got {other:?}"),
    }
}
