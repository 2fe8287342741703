//! Channels that come and go in a small zone where old messages give way: signed, closed, cleared,
//! expired, listened to by psub. Nobody keeps a ledger here; the zone must be whole and empty in the end.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use fastrand::Rng;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::http::{Connection, HttpError};
use crate::hub::{Admin, HubAddress};
use crate::wait::within;

use super::world::World;

/// Clients at work.
pub const CLIENTS: usize = 6;

/// Names that they share.
const NAMES: usize = 60;

/// Bytes of the longest message; all names together fill the zone.
const LONGEST: usize = 12_000;

/// Starts them. They go on until they are dropped; one that returns has failed.
pub fn start(world: &Arc<World>, hub: HubAddress, rng: &mut Rng, tasks: &mut JoinSet<Result<()>>) {
    for _ in 0..CLIENTS {
        tasks.spawn(scramble(Arc::clone(world), hub, rng.fork()));
    }
}

async fn scramble(world: Arc<World>, hub: HubAddress, mut rng: Rng) -> Result<()> {
    let mut admin = Admin::new(hub);
    loop {
        sleep(Duration::from_millis(rng.u64(0..20))).await;
        let _turn = world.traffic.read().await;
        let name = format!("brief-{}", rng.usize(0..NAMES));
        let one = async {
            Ok::<_, HttpError>(match rng.u8(0..12) {
                0..6 => {
                    let content = "z".repeat(rng.usize(1..LONGEST));
                    admin.push(&name, &content).await
                }
                6 => ask(&mut admin, format!("{}?cname={name}", hub.admin("close"))).await,
                7 => ask(&mut admin, format!("{}?cname={name}", hub.admin("clear"))).await,
                8 => {
                    let target = format!("{}?cname={name}&expires=1", hub.admin("sign"));
                    ask(&mut admin, target).await
                }
                9 => {
                    ask(
                        &mut admin,
                        format!("{}?content=all", hub.admin("broadcast")),
                    )
                    .await
                }
                10 => listen(hub, hub.admin("psub"), &mut rng).await,
                _ => {
                    let endpoint = rng.choice(["sub", "stream", "sse", "iframe"]);
                    let front = hub.front(endpoint.unwrap_or("sub"), &name);
                    let seq = rng.u8(0..3);
                    listen(hub, format!("{front}&seq={seq}"), &mut rng).await
                }
            })
        };
        match within("a scrambler", one).await? {
            Ok(()) | Err(HttpError::Cut(_) | HttpError::Refused(_)) => {}
            Err(error) => bail!("{name}: {error}"),
        }
    }
}

async fn ask(admin: &mut Admin, target: String) -> Result<(), HttpError> {
    match admin.get(&target).await?.head.status {
        200 | 404 => Ok(()),
        507 => Err(HttpError::Refused(507)),
        status => Err(HttpError::Malformed(format!("{target}: {status}"))),
    }
}

/// Listens for a moment, and leaves.
async fn listen(hub: HubAddress, target: String, rng: &mut Rng) -> Result<(), HttpError> {
    let mut connection = Connection::open(hub.address).await?;
    connection.get(&target, "").await?;
    let patience = Duration::from_millis(rng.u64(0..200));
    let read = async {
        loop {
            connection.fill().await?;
        }
    };
    match timeout(patience, read).await {
        Ok(Err(error)) => Err(HttpError::Cut(error)),
        Ok(Ok(())) | Err(_) => Ok(()),
    }
}

/// Waits until all channels have expired and all clients are gone.
pub async fn over(hub: HubAddress) -> Result<()> {
    let admin = tokio::sync::Mutex::new(Admin::new(hub));
    crate::wait::until("brief channels expire", || async {
        let info = admin.lock().await.info().await?;
        ensure!(
            info.0 <= NAMES as u64,
            "{} channels of {NAMES} names",
            info.0
        );
        Ok((info != (0, 0)).then(|| format!("{info:?} channels and subscribers counted")))
    })
    .await
}
