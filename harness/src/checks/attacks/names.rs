//! Names that nobody has heard of: one connection asks for as many as it can.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::MissedTickBehavior;

use super::commands::Frames;
use super::{Attack, Bound, Field, config};
use crate::config::{Config, Hub};
use crate::feed::UPGRADE;
use crate::http::Connection;

/// In a request, and requests that are sent before an answer is read.
const NAMES: usize = 30;
const AHEAD: usize = 16;
/// From one such burst to the next: 72,000 names a second, so that 650,000 take 9 seconds.
const PACE: Duration = Duration::from_micros(6_667);
/// What makes a name as long as it may be.
const PADDING: usize = 232;
/// The zone, and how many names fill it more than once.
const SHORT: (&str, u64) = ("16m", 60_000);
const LONG: (&str, u64) = ("256m", 650_000);

/// A name that was never asked for.
fn name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{number:08}{}", "a".repeat(PADDING))
}

fn hub(full: bool, on_full: &str) -> Hub {
    let (zone, _) = if full { LONG } else { SHORT };
    Hub::new("main").set("zone", zone).set("on_full", on_full)
}

/// Asks by polls that do not wait, at a steady rate.
async fn poll(field: &Field) -> Result<()> {
    let mut connection = Connection::open(field.hub.address).await?;
    let mut due = tokio::time::interval(PACE);
    due.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        due.tick().await;
        let mut requests = String::new();
        for _ in 0..AHEAD {
            let names: Vec<_> = (0..NAMES).map(|_| name()).collect();
            let _ = write!(
                requests,
                "GET /main/sub?cname={}&wait=0 HTTP/1.1\r\nHost: harness\r\n\r\n",
                names.join(",")
            );
        }
        connection.socket().write_all(requests.as_bytes()).await?;
        for _ in 0..AHEAD {
            connection.response().await?;
            field.did(NAMES as u64);
        }
    }
}

/// One connection, 30 names a request; the zone refuses when it is full.
pub struct Refused;

impl Attack for Refused {
    const NAME: &'static str = "attack_names";
    const ABOUT: &'static str =
        "one connection asks for names by poll without an end: publishers are never refused";
    const BEGUN: u64 = SHORT.1;
    const BEGUN_FULL: u64 = LONG.1;

    fn config(full: bool) -> Config {
        config(hub(full, "refuse"), "")
    }

    async fn strike(field: Arc<Field>) -> Result<()> {
        poll(&field).await
    }
}

/// The same, where messages give way when the zone is full.
pub struct Evicted;

impl Attack for Evicted {
    const NAME: &'static str = "attack_names_evict";
    const ABOUT: &'static str =
        "the same with on_full evict: channels that have nothing to do with it keep their history";
    const BEGUN: u64 = SHORT.1;
    const BEGUN_FULL: u64 = LONG.1;

    fn config(full: bool) -> Config {
        config(hub(full, "evict"), "")
    }

    async fn strike(field: Arc<Field>) -> Result<()> {
        poll(&field).await
    }
}

/// By commands of a WebSocket, where they are not limited.
pub struct Socket;

impl Attack for Socket {
    const NAME: &'static str = "attack_names_ws";
    const ABOUT: &'static str =
        "the same by subscribe and unsubscribe on a WebSocket, with on_full evict and ws_rate off";
    const BEGUN: u64 = SHORT.1;
    const BEGUN_FULL: u64 = LONG.1;
    // Whoever lets everybody send as much as he can has said so.
    const BOUND: Bound = Bound::Told;

    fn config(full: bool) -> Config {
        config(hub(full, "evict").set("ws_rate", "off"), "")
    }

    async fn strike(field: Arc<Field>) -> Result<()> {
        let mut connection = Connection::open(field.hub.address).await?;
        connection.get("/main/ws", UPGRADE).await?;
        let head = connection.head().await?;
        ensure!(head.status == 101, "{}", head.status);
        let (mut input, mut output) = connection.socket().split();
        let write = async {
            loop {
                let mut frames = Vec::new();
                for _ in 0..200 {
                    let name = name();
                    for what in ["subscribe", "unsubscribe"] {
                        let command = format!(r#"{{"type":"{what}","channel":"{name}"}}"#);
                        // Longer than 125 bytes; masked with zeroes.
                        frames.extend([0x81, 0xfe]);
                        frames.extend((command.len() as u16).to_be_bytes());
                        frames.extend([0; 4]);
                        frames.extend(command.as_bytes());
                    }
                }
                output.write_all(&frames).await?;
            }
        };
        let read = async {
            let mut buffer = vec![0; 1 << 16];
            let (mut replies, mut half) = (Frames::default(), 0);
            loop {
                let n = input.read(&mut buffer).await?;
                ensure!(n > 0, "it was closed");
                half += replies.count(&buffer[..n]);
                field.did(half / 2);
                half %= 2;
            }
        };
        tokio::select! {
            done = write => done,
            done = read => done,
        }
    }
}
