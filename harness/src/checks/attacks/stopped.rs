//! A worker that stands still inside a lock that all share.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;

use super::bystander::open_at;
use super::{Attack, Field, config};
use crate::config::{Config, Hub};
use crate::http::Connection;
use crate::process::{self, Stopped};
use crate::wait;

/// How long it stands still, at most.
const STILL: Duration = Duration::from_secs(8);

/// By SIGSTOP, as a freezer or a debugger does it.
pub struct Worker;

impl Attack for Worker {
    const NAME: &'static str = "attack_stopped";
    const ABOUT: &'static str = "one of two workers stands still inside a lock: the other serves, and refuses what needs it";
    // Refused is what needs the lock itself.
    const RIGHT: &'static [u16] = &[200, 503];

    fn config(_full: bool) -> Config {
        let mut config = config(Hub::new("main"), "");
        config.workers = 2;
        config
    }

    fn aside(workers: &[i32]) -> Option<i32> {
        workers.last().copied()
    }

    async fn strike(field: Arc<Field>) -> Result<()> {
        let victim = *field.workers.first().context("no worker")?;
        let busy = keep_busy(&field, victim);
        let stop = async {
            // A new connection might be the stopped one's.
            let other = open_at(field.hub.address, field.workers.last().copied()).await?;
            let stopped = stop_inside(victim).await?;
            field.did(1);
            let wanted = want_the_same(&field, other);
            if let Ok(ended) = tokio::time::timeout(STILL, wanted).await {
                return ended;
            }
            drop(stopped);
            std::future::pending::<Result<()>>().await
        };
        tokio::select! {
            done = busy => done,
            done = stop => done,
        }
    }
}

/// Publishes by that worker, without a pause.
async fn keep_busy(field: &Field, worker: i32) -> Result<()> {
    let mut connection = open_at(field.hub.address, Some(worker)).await?;
    let request = "GET /main-admin/push?cname=busy&content=x HTTP/1.1\r\nHost: harness\r\n\r\n";
    let requests = request.repeat(100);
    let (mut input, mut output) = connection.socket().split();
    let write = async {
        loop {
            output.write_all(requests.as_bytes()).await?;
        }
    };
    let read = async {
        let mut buffer = vec![0; 1 << 16];
        while input.read(&mut buffer).await? > 0 {}
        anyhow::bail!("it was closed")
    };
    tokio::select! {
        done = write => done,
        done = read => done,
    }
}

/// Another worker is asked for what that one holds.
async fn want_the_same(field: &Field, mut connection: Connection) -> Result<()> {
    loop {
        connection
            .post("/main-admin/push", "cname=busy&content=x")
            .await?;
        let head = connection.response().await?.head;
        let is_told = head.status == 503 && head.header("retry-after").is_some();
        ensure!(is_told || head.status == 200, "{head:?}");
        field.did(1);
        // How often is the load: nothing is waited for.
        sleep(Duration::from_millis(20)).await;
    }
}

/// Stops it, again and again, until it stands inside a lock.
async fn stop_inside(worker: i32) -> Result<Stopped> {
    wait::within("a worker inside a lock", async {
        loop {
            let stopped = Stopped::new([worker])?;
            while !process::is_stopped(worker) {
                tokio::task::yield_now().await;
            }
            if process::holds_lock(worker)? {
                return anyhow::Ok(stopped);
            }
            drop(stopped);
            // Another moment, whichever: nothing is waited for.
            sleep(Duration::from_micros(200 + fastrand::u64(..2_000))).await;
        }
    })
    .await
}
