//! What a waiting subscriber costs in its worker, parked and held.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};

use crate::config::{Config, Hub};
use crate::crowd::open_all;
use crate::feed::Transport;
use crate::hub::{Admin, HubAddress};
use crate::nginx::{Nginx, Setup};
use crate::process::{private_memory, signal};
use crate::subscriber::{Step, Subscriber};
use crate::wait;

const CLIENTS: usize = 6_000;
/// Bytes that a parked subscriber may cost beside its connection's slot, and that a held one costs at
/// least: its request's pool and its header buffer.
const PARKED: u64 = 1_024;
const HELD: u64 = 4_096;

pub async fn run(setup: Arc<Setup>) -> Result<String> {
    setup.need_files(CLIENTS as u64 + 1_000)?;
    let mut told = Vec::new();
    for transport in Transport::ALL {
        let mut cost = Crowd::gather(&setup, transport, "").await?;
        cost.expect_parked(transport).await?;
        told.push(format!("{transport:?} {}", cost.each()?));
        if transport.is_poll() {
            cost.ask_again_at_once().await?;
            cost.expect_parked(transport).await?;
            told.push(format!("after polling at once {}", cost.each()?));
        }
        cost.end().await?;
    }
    // An SSE subscriber would have been parked before it was counted.
    let mut held = Vec::new();
    for http in [
        "icomet_park off;\n",
        "limit_conn_zone $binary_remote_addr zone=one:1m;\nlimit_conn one 60000;\n",
    ] {
        let cost = Crowd::gather(&setup, Transport::Sse, http).await?;
        let each = cost.each()?;
        ensure!(each > HELD, "{http}: only {each} bytes for a held one");
        held.push(each.to_string());
        cost.end().await?;
    }
    Ok(format!(
        "bytes of a parked subscriber: {}; with icomet_park off {}",
        told.join(", "),
        held.join(", with limit_conn ")
    ))
}

/// Many waiting subscribers on one worker.
struct Crowd {
    nginx: Nginx,
    admin: Admin,
    worker: i32,
    /// Bytes of the worker's memory before they came.
    before: u64,
    subscribers: Vec<Subscriber>,
}

impl Crowd {
    async fn gather(setup: &Setup, transport: Transport, http: &'static str) -> Result<Self> {
        let hub = Hub::new("main")
            .set("max_subscribers_per_channel", CLIENTS * 2)
            .set("channel_timeout", "300s")
            .set("polling_timeout", "300s");
        let mut config = Config::new(1, [hub]);
        config.http = http;
        let nginx = setup.start(config).await?;
        let hub = HubAddress {
            address: nginx.address,
            name: "main",
        };
        let mut admin = Admin::new(hub);
        let subscriber = |_| Subscriber::new(hub, "one", transport, 1);
        // The first ones bring in what all share.
        let mut subscribers = open_all((0..CLIENTS / 10).map(subscriber)).await?;
        admin.await_subscribers(None, subscribers.len()).await?;
        let worker = *nginx.serving_workers().first().context("no worker")?;
        let before = private_memory(worker).context("no RssAnon")?;
        subscribers.extend(open_all((0..CLIENTS).map(subscriber)).await?);
        admin.await_subscribers(None, subscribers.len()).await?;
        Ok(Crowd {
            nginx,
            admin,
            worker,
            before,
            subscribers,
        })
    }

    async fn expect_parked(&self, transport: Transport) -> Result<()> {
        wait::until("memory of parked subscribers", || async {
            let each = self.each()?;
            Ok((each >= PARKED).then(|| format!("{each} bytes for each {transport:?} subscriber")))
        })
        .await
    }

    /// Answers all polls, and lets the worker find the next ones of all waiting for it.
    async fn ask_again_at_once(&mut self) -> Result<()> {
        self.admin.must_push("one", "hello").await?;
        for subscriber in &mut self.subscribers {
            let step = subscriber.next().await?;
            ensure!(
                matches!(step, Step::Message(_)),
                "{}: no message",
                subscriber.name()
            );
        }
        ensure!(signal(self.worker, libc::SIGSTOP), "no worker to stop");
        let asked = self.ask_all().await;
        ensure!(signal(self.worker, libc::SIGCONT), "no worker to continue");
        asked?;
        let count = self.subscribers.len();
        self.admin.await_subscribers(None, count).await
    }

    async fn ask_all(&mut self) -> Result<()> {
        for subscriber in &mut self.subscribers {
            subscriber.open().await?;
        }
        Ok(())
    }

    /// Bytes of the worker's memory that each of them takes.
    fn each(&self) -> Result<u64> {
        let now = private_memory(self.worker).context("no RssAnon")?;
        Ok(now.saturating_sub(self.before) / CLIENTS as u64)
    }

    async fn end(self) -> Result<()> {
        drop((self.subscribers, self.admin));
        self.nginx.stop(&[]).await
    }
}
