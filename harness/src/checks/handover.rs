//! New workers that die, or stand still, while they take subscribers over.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::config::{Config, Hub};
use crate::feed::Transport;
use crate::follow::{FINAL, Watch, follow};
use crate::hub::{Admin, HubAddress};
use crate::ledger::Publisher;
use crate::nginx::{Nginx, Setup};
use crate::process::Stopped;
use crate::subscriber::Subscriber;
use crate::traffic::{Traffic, progress};
use crate::wait;

const WORKERS: usize = 4;
/// On each of two channels.
const SUBSCRIBERS: usize = 200;
/// Reloads of which new workers die.
const DEADLY: usize = 6;
/// How long a new worker stands still: first such that the old ones wait for it, then such that they
/// give it up, with what is under way to it (src/worker/handover.rs, HUNG).
const STANDSTILLS: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(7)];

/// Kills new workers in the middle of it.
pub async fn killed(setup: Arc<Setup>) -> Result<String> {
    let mut crowd = Crowd::gather(&setup).await?;
    for watch in [&crowd.busy, &crowd.quiet] {
        watch.may_be_cut(true);
    }
    for round in 0..DEADLY {
        let (old, new) = crowd.reload_begins().await?;
        let step = async {
            // Of the last reload none is left; of the others some.
            let dying = if round + 1 == DEADLY { new.len() } else { 2 };
            let (first, others) = new[..dying].split_first().unwrap_or((&0, &[]));
            // This one dies with subscribers on their way to it, that it has not looked at.
            let stopped = Stopped::new([*first])?;
            old.resume();
            crowd.nginx.exiting(&old.pids).await?;
            for pid in others {
                sleep(Duration::from_micros(fastrand::u64(0..5_000))).await;
                crowd.nginx.kill(*pid)?;
            }
            crowd.nginx.kill(*first)?;
            drop(stopped);
            crowd.nginx.renewed(&old.pids).await?;
            progress(&crowd.busy.transcript, 20).await
        };
        wait::first_error(&mut crowd.tasks, step).await?;
    }
    let amid = crowd.nginx.logged("died while it took over subscribers");
    ensure!(amid > 0, "no worker died in the middle of it");
    let told = crowd.end(&["exited on signal 9"]).await?;
    Ok(format!("{DEADLY} reloads with dying workers: {told}"))
}

/// Stops new workers, and continues them later.
pub async fn stopped(setup: Arc<Setup>) -> Result<String> {
    let mut crowd = Crowd::gather(&setup).await?;
    for watch in [&crowd.busy, &crowd.quiet] {
        watch.must_stay(true);
    }
    for standstill in STANDSTILLS {
        let (old, new) = crowd.reload_begins().await?;
        let step = async {
            let stopped = Stopped::new(new.into_iter().take(2))?;
            old.resume();
            crowd.nginx.exiting(&old.pids).await?;
            sleep(standstill).await;
            drop(stopped);
            crowd.nginx.renewed(&old.pids).await?;
            progress(&crowd.busy.transcript, 20).await
        };
        wait::first_error(&mut crowd.tasks, step).await?;
    }
    let told = crowd.end(&[]).await?;
    Ok(format!("new workers that stood still: {told}"))
}

/// Subscribers of all transports, and publishing.
struct Crowd {
    nginx: Nginx,
    admin: Admin,
    busy: Arc<Watch>,
    quiet: Arc<Watch>,
    tasks: JoinSet<Result<Subscriber>>,
    traffic: Traffic,
}

impl Crowd {
    async fn gather(setup: &Setup) -> Result<Self> {
        let hub = Hub::new("main")
            .set("zone", "64m")
            .set("max_subscribers_per_channel", 1000)
            .set("channel_buffer_size", 10_000)
            .set("channel_timeout", "300s")
            .set("polling_timeout", "300s");
        let nginx = setup.start(Config::new(WORKERS, [hub])).await?;
        let hub = HubAddress {
            address: nginx.address,
            name: "main",
        };
        let (busy, quiet) = (Arc::new(Watch::default()), Watch::quiet());
        let mut tasks = JoinSet::new();
        for (channel, watch) in [("busy", &busy), ("quiet", &quiet)] {
            for index in 0..SUBSCRIBERS {
                let by_id = index / Transport::ALL.len() % 2 == 1;
                let transport = Transport::of(index);
                let subscriber = Subscriber::new(hub, channel, transport, 1).by_id(by_id);
                tasks.spawn(follow(subscriber, Arc::clone(watch)));
            }
        }
        let mut admin = Admin::new(hub);
        let counted = admin.await_subscribers(None, 2 * SUBSCRIBERS);
        wait::first_error(&mut tasks, counted).await?;
        let publishers = ["p0", "p1"].map(|name| Publisher::new(hub, "busy", name));
        let traffic = Traffic::start(publishers, Duration::from_millis(20));
        Ok(Crowd {
            nginx,
            admin,
            busy,
            quiet,
            tasks,
            traffic,
        })
    }

    /// Begins a reload. The old workers stand still, so that nobody moves yet; the new ones serve.
    async fn reload_begins(&mut self) -> Result<(Stopped, Vec<i32>)> {
        let begin = async {
            progress(&self.busy.transcript, 20).await?;
            let before = self.nginx.serving_workers();
            let old = Stopped::new(before.iter().copied())?;
            self.nginx.send("reload").await?;
            self.nginx.reloaded(&before).await?;
            let mut new = self.nginx.serving_workers();
            new.retain(|pid| !before.contains(pid));
            fastrand::shuffle(&mut new);
            Ok((old, new))
        };
        wait::first_error(&mut self.tasks, begin).await
    }

    /// All are counted, hear the last message, and have missed none.
    async fn end(mut self, allowed: &[&str]) -> Result<String> {
        let attempts = self.traffic.finish().await?;
        let counted = async {
            let admin = &mut self.admin;
            admin.await_subscribers(Some("busy"), SUBSCRIBERS).await?;
            admin.await_subscribers(Some("quiet"), SUBSCRIBERS).await?;
            admin.await_subscribers(None, 2 * SUBSCRIBERS).await
        };
        wait::first_error(&mut self.tasks, counted).await?;
        for channel in ["busy", "quiet"] {
            self.admin.must_push(channel, FINAL).await?;
        }
        let all = wait::all("following", self.tasks);
        let crowd = wait::within("the final message", all).await?;
        self.busy.transcript.verify(&attempts, &[FINAL])?;
        drop(crowd);
        self.admin.await_subscribers(None, 0).await?;
        let told = format!(
            "of {} subscribers {} were cut off and {} ended, {} messages each of busy ones",
            2 * SUBSCRIBERS,
            self.busy.cut() + self.quiet.cut(),
            self.busy.ended() + self.quiet.ended(),
            self.busy.transcript.len()
        );
        drop(self.admin);
        self.nginx.stop(allowed).await?;
        Ok(told)
    }
}
