//! Who publishes and who comes and goes during a run.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use fastrand::Rng;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::feed::Transport;
use crate::http::HttpError;
use crate::hub::{Admin, HubAddress};
use crate::subscriber::Subscriber;
use crate::wait::within;

use super::ledger::{Attempt, Outcome};
use super::world::{TIGHT, World, lock};

/// Publishers of each channel.
pub const PUBLISHERS: usize = 2;

/// Milliseconds between a publisher's messages, about.
const PACE: u64 = 100;

/// Bytes of one message in fifty: more than a narrow reader takes at once.
const LONG: usize = 20_000;

/// Clients that come and go.
const CHURNERS: usize = 6;

/// Starts all of them. They go on until they are dropped; one that returns has failed.
pub fn start(world: &Arc<World>, rng: &mut Rng, tasks: &mut JoinSet<Result<()>>) {
    for channel in 0..world.channels.len() {
        for publisher in 0..PUBLISHERS {
            tasks.spawn(publish(Arc::clone(world), channel, publisher, rng.fork()));
        }
    }
    tasks.spawn(broadcast(
        Arc::clone(world),
        world.channels[0].hub,
        rng.fork(),
    ));
    for _ in 0..CHURNERS {
        tasks.spawn(churn(Arc::clone(world), rng.fork()));
    }
}

async fn publish(world: Arc<World>, channel: usize, publisher: usize, mut rng: Rng) -> Result<()> {
    let channel = &world.channels[channel];
    let mut admin = Admin::new(channel.hub);
    for number in 0u64.. {
        if !channel.lossy || rng.u64(0..4 * TIGHT) == 0 {
            sleep(Duration::from_millis(rng.u64(PACE / 2..PACE * 3 / 2))).await;
        }
        let _turn = world.traffic.read().await;
        let mut content = format!("{publisher}.{number}");
        if rng.u8(0..50) == 0 {
            content = format!("{content}{}", "x".repeat(LONG));
        }
        // Noted before it is sent: a subscriber may be quicker than the answer.
        let place = channel.ledger().attempt(publisher, content.clone());
        if rng.u8(0..100) == 0 {
            admin.push_and_reset(&channel.name, &content).await;
            channel
                .ledger()
                .settle(publisher, place, Outcome::Abandoned);
            continue;
        }
        let push = async { Ok::<_, HttpError>(admin.push(&channel.name, &content).await) };
        let outcome = outcome(within("push", push).await?)?;
        channel.ledger().settle(publisher, place, outcome);
    }
    Ok(())
}

/// What an answer says of a message.
fn outcome(answer: Result<(), HttpError>) -> Result<Outcome> {
    match answer {
        Ok(()) => Ok(Outcome::Acknowledged),
        Err(HttpError::Refused(_)) => Ok(Outcome::Refused),
        Err(HttpError::Cut(_)) => Ok(Outcome::Unknown),
        Err(error) => bail!(error),
    }
}

async fn broadcast(world: Arc<World>, hub: HubAddress, mut rng: Rng) -> Result<()> {
    let mut admin = Admin::new(hub);
    for number in 0u64.. {
        sleep(Duration::from_millis(rng.u64(200..1000))).await;
        let _turn = world.traffic.read().await;
        let content = format!("all.{number}");
        let place = {
            let mut broadcasts = lock(&world.broadcasts);
            broadcasts.push(Attempt {
                content: content.clone(),
                outcome: Outcome::Unknown,
            });
            broadcasts.len() - 1
        };
        let send = async { Ok::<_, HttpError>(admin.broadcast(&content).await) };
        // One that was refused may be in some of the channels.
        if outcome(within("broadcast", send).await?)? == Outcome::Acknowledged {
            lock(&world.broadcasts)[place].outcome = Outcome::Acknowledged;
        }
    }
    Ok(())
}

/// Subscribes, listens a little and leaves, again and again.
async fn churn(world: Arc<World>, mut rng: Rng) -> Result<()> {
    loop {
        sleep(Duration::from_millis(rng.u64(0..100))).await;
        let _turn = world.traffic.read().await;
        let channel = &world.channels[rng.usize(0..world.channels.len())];
        let transport = Transport::of(rng.usize(0..Transport::ALL.len()));
        let mut subscriber =
            Subscriber::new(channel.hub, &channel.name, transport, 0).tolerating_lost();
        for _ in 0..3 {
            let patience = Duration::from_millis(rng.u64(1..300));
            if let Ok(step) = timeout(patience, subscriber.next()).await {
                step?;
            }
        }
        if rng.bool() {
            subscriber.reset();
        }
    }
}
