//! Clients of WebSockets that send commands as fast as they are taken, and what others wait meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use crate::config::Hub;
use crate::feed::UPGRADE;
use crate::http::Connection;
use crate::hub::{Admin, HubAddress};
use crate::nginx::Setup;
use crate::wait;

use super::attacks;
use super::attacks::bystander::Bystander;
use super::attacks::commands::Frames;
use super::attacks::rounds::{self, Bound, Rounds};

const ATTACKERS: usize = 20;
/// The rate and burst of the hub that says another than the default.
const RATE: u64 = 40;
const BURST: u64 = 60;
/// What each attacker sends, and what comes back to each of them.
const COMMANDS: [&str; 2] = [
    r#"{"type":"subscribe","channel":"churn"}"#,
    r#"{"type":"unsubscribe","channel":"churn"}"#,
];
const REPLY: &[u8] = br#""type":"reply""#;

pub async fn run(setup: Arc<Setup>) -> Result<String> {
    let limit = format!("{RATE}/s burst={BURST}");
    let hubs = [
        ("default", None),
        ("limited", Some(limit.as_str())),
        ("unlimited", Some("off")),
    ];
    let mut told = Vec::new();
    for (name, rate) in hubs {
        let mut hub = Hub::new(name).set("zone", "32m");
        if let Some(rate) = rate {
            hub = hub.set("ws_rate", rate);
        }
        told.push(hammer(&setup, name, hub).await.context(name)?);
    }
    Ok(told.join("; "))
}

async fn hammer(setup: &Setup, name: &'static str, hub: Hub) -> Result<String> {
    let nginx = setup.start(attacks::config(hub, "")).await?;
    let hub = HubAddress {
        address: nginx.address,
        name,
    };
    let mut admin = Admin::new(hub);
    let bystander = Bystander::start(hub, None).await?;
    let start = Instant::now();
    let bound = match name {
        "unlimited" => Bound::Told,
        _ => Bound::Twice,
    };
    let mut rounds = Rounds::new(setup.full, bound, &[200], &nginx.serving_workers());
    while rounds.go_on()? {
        rounds.before(&bystander).await?;
        let done = Arc::new(AtomicU64::new(0));
        let mut attackers = JoinSet::new();
        for _ in 0..ATTACKERS {
            attackers.spawn(attack(hub, Arc::clone(&done)));
        }
        // All are at it, and have used up their bursts.
        let done = || done.load(Ordering::Relaxed);
        rounds::begun(&mut attackers, done, ATTACKERS as u64 * 280).await?;
        rounds.meanwhile(&bystander, attackers).await?;
        admin.must_push("churn", "the end").await?;
    }
    let elapsed = start.elapsed();
    drop((admin, bystander));

    // What a limited client gets in so much time is bounded from above, however slow the machine is.
    let mut rate = String::new();
    if name == "limited" {
        let taken = wait::within("a limited client", taken(hub, elapsed)).await?;
        rate = format!(", {taken} commands taken of one");
    }
    nginx.stop(&[]).await?;
    Ok(format!("{name}: {}{rate}", rounds.told()))
}

async fn open(hub: HubAddress) -> Result<Connection> {
    let mut connection = Connection::open(hub.address).await?;
    let target = format!("/{}/ws", hub.name);
    connection.get(&target, UPGRADE).await?;
    let head = connection.head().await?;
    ensure!(head.status == 101, "{}", head.status);
    Ok(connection)
}

/// The commands as a client's frames, masked with zeroes.
fn frames(times: usize) -> Vec<u8> {
    let mut frames = Vec::new();
    for command in COMMANDS.iter().cycle().take(times * COMMANDS.len()) {
        // All are shorter than 126 bytes.
        frames.extend([0x81, 0x80 | command.len() as u8, 0, 0, 0, 0]);
        frames.extend(command.as_bytes());
    }
    frames
}

/// Sends commands as fast as they are taken, and reads what comes, for ever.
async fn attack(hub: HubAddress, done: Arc<AtomicU64>) -> Result<()> {
    let mut connection = open(hub).await?;
    let (mut input, mut output) = connection.socket().split();
    let frames = frames(500);
    let write = async {
        loop {
            output.write_all(&frames).await?;
        }
    };
    let read = async {
        let (mut buffer, mut replies) = (vec![0; 1 << 16], Frames::default());
        loop {
            let n = input.read(&mut buffer).await?;
            ensure!(n > 0, "it was closed");
            done.fetch_add(replies.count(&buffer[..n]), Ordering::Relaxed);
        }
    };
    tokio::select! {
        done = write => done,
        done = read => done,
    }
}

/// How many commands one client gets done in at least so much time; more than its rate allows is a fault.
async fn taken(hub: HubAddress, time: Duration) -> Result<u64> {
    let mut connection = open(hub).await?;
    let start = Instant::now();
    connection.socket().write_all(&frames(100)).await?;
    let (mut taken, mut seen, mut buffer) = (0, Vec::new(), vec![0; 1 << 16]);
    let most = time.min(Duration::from_secs(3));
    while start.elapsed() < most && taken < 200 {
        let n = connection.socket().read(&mut buffer).await?;
        ensure!(n > 0, "it was closed");
        seen.extend_from_slice(buffer.get(..n).unwrap_or_default());
        taken = seen.windows(REPLY.len()).filter(|w| *w == REPLY).count() as u64;
        let allowed = BURST + RATE * (start.elapsed().as_millis() as u64 + 1) / 1000 + 1;
        ensure!(taken <= allowed, "{taken} commands, {allowed} allowed");
    }
    ensure!(taken >= BURST, "only {taken} of its burst");
    Ok(taken)
}
