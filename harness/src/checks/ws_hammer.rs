//! Clients of WebSockets that send commands as fast as they are taken, and what others wait meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use crate::config::{Config, Hub};
use crate::feed::{Transport, UPGRADE};
use crate::http::Connection;
use crate::hub::{Admin, HubAddress};
use crate::latency::Latencies;
use crate::nginx::Setup;
use crate::subscriber::{Step, Subscriber};
use crate::wait;

const ATTACKERS: usize = 20;
const CHANNEL: &str = "quiet";
/// The rate and burst of the hub that says another than the default.
const RATE: u64 = 40;
const BURST: u64 = 60;
/// Publishes whose way is measured, and how many at full size.
const SHORT: usize = 200;
const LONG: usize = 3_000;
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
    let nginx = setup.start(Config::new(1, [hub])).await?;
    let hub = HubAddress {
        address: nginx.address,
        name,
    };
    let count = if setup.full { LONG } else { SHORT };
    let mut listener = Subscriber::new(hub, CHANNEL, Transport::Stream, 1);
    listener.open().await?;
    let mut admin = Admin::new(hub);
    admin.await_subscribers(Some(CHANNEL), 1).await?;
    let before = measure(&mut admin, &mut listener, count).await?;

    let mut attackers = JoinSet::new();
    let start = Instant::now();
    for _ in 0..ATTACKERS {
        attackers.spawn(attack(hub));
    }
    // All are at it before the others are measured.
    wait::until("the attackers are there", || async {
        let (_, subscribers) = Admin::new(hub).info().await?;
        Ok((subscribers < 2).then(|| format!("{subscribers} subscribers")))
    })
    .await?;
    let meanwhile =
        wait::first_error(&mut attackers, measure(&mut admin, &mut listener, count)).await?;
    for status in 0..3 {
        let answer = admin.try_push("other", &status.to_string()).await?;
        ensure!(answer == 200, "a publish was answered {answer}");
    }
    admin.must_push("churn", "the end").await?;
    attackers.abort_all();
    let elapsed = start.elapsed();
    drop((admin, listener));
    while attackers.join_next().await.is_some() {}

    // What a limited client gets in so much time is bounded from above, however slow the machine is.
    let mut rate = String::new();
    if name == "limited" {
        let taken = wait::within("a limited client", taken(hub, elapsed)).await?;
        rate = format!(
            ", {taken} commands taken of one in {:.1} s",
            elapsed.as_secs_f64()
        );
    }
    if setup.full && name != "unlimited" {
        let (old, new) = (before.percentile(50.0), meanwhile.percentile(50.0));
        ensure!(
            new <= 2.0 * old.max(0.5),
            "median {old:.2} ms, then {new:.2} ms"
        );
    }
    nginx.stop(&[]).await?;
    Ok(format!(
        "{name}: others' median {:.2} ms before, {:.2} ms while {ATTACKERS} hammer, 99 % {:.2} and {:.2} ms{rate}",
        before.percentile(50.0),
        meanwhile.percentile(50.0),
        before.percentile(99.0),
        meanwhile.percentile(99.0),
    ))
}

/// From before a publish until it has come.
async fn measure(admin: &mut Admin, listener: &mut Subscriber, count: usize) -> Result<Latencies> {
    let mut latencies = Latencies::default();
    for number in 0..count {
        let content = format!("m{number}");
        let start = Instant::now();
        admin.must_push(CHANNEL, &content).await?;
        loop {
            match wait::within("a message", listener.next()).await? {
                Step::Message(message) if message.content == content => break,
                _ => {}
            }
        }
        latencies.add(start.elapsed());
    }
    Ok(latencies)
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
async fn attack(hub: HubAddress) -> Result<()> {
    let mut connection = open(hub).await?;
    let (mut input, mut output) = connection.socket().split();
    let frames = frames(500);
    let write = async {
        loop {
            output.write_all(&frames).await?;
        }
    };
    let read = async {
        let mut buffer = vec![0; 1 << 16];
        while input.read(&mut buffer).await? > 0 {}
        anyhow::Ok(())
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
