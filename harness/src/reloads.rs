//! Many parked subscribers, publishing, and one reload after the other.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::config::{Config, Hub};
use crate::feed::Transport;
use crate::fleet::Fleet;
use crate::http::HttpError;
use crate::hub::{Admin, HubAddress};
use crate::nginx::{Nginx, Setup};
use crate::subscriber::Subscriber;
use crate::wait::{self, within};

/// Back ends that share the rate.
const PUBLISHERS: usize = 16;

/// How large it is.
#[derive(Debug, Clone)]
pub struct Options {
    /// Subscribers, each with a channel of its own.
    pub subscribers: usize,
    /// Messages a second.
    pub rate: u64,
    /// How often nginx is reloaded.
    pub reloads: usize,
    /// `worker_processes`.
    pub workers: usize,
    /// Whether a connection that ends is a fault.
    pub expect_unbroken: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            subscribers: 20_000,
            rate: 2_000,
            reloads: 20,
            workers: 4,
            expect_unbroken: false,
        }
    }
}

impl Options {
    /// Takes one option of the command line.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        match name {
            "subscribers" => self.subscribers = value.parse()?,
            "rate" => self.rate = value.parse()?,
            "reloads" => self.reloads = value.parse()?,
            "workers" => self.workers = value.parse()?,
            _ => bail!("there is no such option"),
        }
        ensure!(
            self.subscribers > 0 && self.rate > 0 && self.workers > 0,
            "must be at least 1"
        );
        Ok(())
    }
}

/// A channel: what was tried, and what its subscriber got.
#[derive(Debug, Default)]
struct Channel {
    /// Whether each message was acknowledged, by its number.
    tried: Vec<bool>,
    /// The numbers of the messages that came, in their order.
    got: Vec<usize>,
}

type Channels = Arc<Vec<Mutex<Channel>>>;

fn with<R>(channel: &Mutex<Channel>, work: impl FnOnce(&mut Channel) -> R) -> R {
    work(&mut channel.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Runs it; answers the summary line.
pub async fn run(setup: &Setup, options: &Options, say: impl Fn(&str)) -> Result<String> {
    let count = options.subscribers;
    // While old and new workers are there, each may have more than its share.
    setup.need_files((count * 3 / options.workers / 2 + 500) as u64)?;
    let hub = Hub::new("main")
        .set("zone", "256m")
        .set("channel_buffer_size", 1_000)
        .set("channel_timeout", "3600s")
        .set("polling_timeout", "3600s");
    let nginx = setup.start(Config::new(options.workers, [hub])).await?;
    let hub = HubAddress {
        address: nginx.address,
        name: "main",
    };
    let channels: Channels = Arc::new((0..count).map(|_| Mutex::default()).collect());
    let seen = Arc::clone(&channels);
    let mut fleet = Fleet::start(
        count,
        move |number| {
            let by_id = number / Transport::ALL.len() % 2 == 1;
            Subscriber::new(hub, &name(number), Transport::of(number), 1).by_id(by_id)
        },
        Arc::new(move |number, _, content| {
            let message = content.parse().context("not a number")?;
            with(&seen[number], |channel| channel.got.push(message));
            Ok(())
        }),
    )?;
    let mut admin = Admin::new(hub);
    counted(&mut fleet, &mut admin, count).await?;
    say(&format!("{count} subscribers wait"));

    let start = Instant::now();
    let (stop, stopped) = watch::channel(false);
    let published = Arc::<AtomicU64>::default();
    let mut publishers = JoinSet::new();
    for first in 0..PUBLISHERS {
        let task = publish(
            Admin::new(hub),
            first,
            options.rate,
            Arc::clone(&channels),
            Arc::clone(&published),
            stopped.clone(),
        );
        publishers.spawn(task);
    }
    let mut longest = 0.0f64;
    for reload in 1..=options.reloads {
        let step = reload_once(&nginx, &published, options.rate);
        let seconds = wait::first_error(&mut publishers, step)
            .await?
            .as_secs_f64();
        longest = longest.max(seconds);
        fleet.check()?;
        say(&format!(
            "reload {reload}, {seconds:.1} s: {}",
            told(&fleet)
        ));
    }
    stop.send_replace(true);
    wait::all("publishing", publishers).await?;
    let seconds = start.elapsed().as_secs_f64();
    counted(&mut fleet, &mut admin, count).await?;

    // The last message of each channel: who has it has had everything before.
    for number in 0..count {
        send(&mut admin, &channels, number).await?;
    }
    everything(&mut fleet, &channels).await?;
    let (acknowledged, unknown) = verify(&channels)?;
    let text = told(&fleet);
    let tally = Arc::clone(&fleet.tally);
    drop((fleet, admin));
    nginx.stop(&[]).await?;
    let closed = tally.ended.load(Relaxed) + tally.broken.load(Relaxed);
    ensure!(
        closed == 0 || !options.expect_unbroken,
        "{closed} waiting subscribers were ended: {text}"
    );
    Ok(format!(
        "{} reloads, {count} subscribers, {acknowledged} messages acknowledged ({:.0}/s), {unknown} unanswered; \
         0 lost, doubled or out of order; old workers gone after {longest:.1} s at most; {text}",
        options.reloads,
        published.load(Relaxed) as f64 / seconds,
    ))
}

fn name(number: usize) -> String {
    format!("channel-{number:06}")
}

/// Waits until all are open, and `info` counts each once.
async fn counted(fleet: &mut Fleet, admin: &mut Admin, count: usize) -> Result<()> {
    let cell = tokio::sync::Mutex::new((fleet, admin));
    wait::until("all subscribers wait", || async {
        let (fleet, admin) = &mut *cell.lock().await;
        fleet.check()?;
        let open = fleet.tally.open.load(Relaxed);
        let counted = admin.subscribers(None).await?;
        Ok((counted != count as u64).then(|| format!("{open} opened, {counted} counted")))
    })
    .await
}

/// Reloads under traffic, and waits until the old workers are gone; how long that took.
async fn reload_once(nginx: &Nginx, published: &AtomicU64, rate: u64) -> Result<Duration> {
    let goal = published.load(Relaxed) + rate;
    wait::until("publishing goes on", || async {
        let now = published.load(Relaxed);
        Ok((now < goal).then(|| format!("{now} of {goal}")))
    })
    .await?;
    let before = nginx.serving_workers();
    let start = Instant::now();
    nginx.send("reload").await?;
    nginx.renewed(&before).await?;
    Ok(start.elapsed())
}

/// A back end's share of the rate, to its share of the channels in turn.
async fn publish(
    mut admin: Admin,
    first: usize,
    rate: u64,
    channels: Channels,
    published: Arc<AtomicU64>,
    stopped: watch::Receiver<bool>,
) -> Result<()> {
    let mut pace = interval(Duration::from_nanos(
        1_000_000_000 * PUBLISHERS as u64 / rate,
    ));
    // A back end that was held up catches up, so that the rate is kept.
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut number = first;
    while !*stopped.borrow() {
        pace.tick().await;
        if number >= channels.len() {
            number = first;
        }
        if number < channels.len() {
            send(&mut admin, &channels, number).await?;
            published.fetch_add(1, Relaxed);
        }
        number += PUBLISHERS;
    }
    Ok(())
}

/// Publishes the next message of a channel. One whose connection is cut is followed by another.
async fn send(admin: &mut Admin, channels: &Channels, number: usize) -> Result<()> {
    loop {
        let message = with(&channels[number], |channel| {
            channel.tried.push(false);
            channel.tried.len() - 1
        });
        let push = async {
            let content = message.to_string();
            Ok::<_, HttpError>(admin.push(&name(number), &content).await)
        };
        match within("push", push).await? {
            Ok(()) => {
                with(&channels[number], |channel| channel.tried[message] = true);
                return Ok(());
            }
            Err(HttpError::Cut(_)) => {}
            Err(error) => bail!(error),
        }
    }
}

/// Waits until every subscriber has its channel's last message.
async fn everything(fleet: &mut Fleet, channels: &Channels) -> Result<()> {
    let fleet = tokio::sync::Mutex::new(fleet);
    wait::until("the last message at every subscriber", || async {
        fleet.lock().await.check()?;
        let waiting = channels.iter().filter(|channel| {
            with(channel, |channel| {
                channel
                    .got
                    .last()
                    .is_none_or(|last| last + 1 < channel.tried.len())
            })
        });
        let waiting = waiting.count();
        Ok((waiting > 0).then(|| format!("{waiting} wait for it")))
    })
    .await
}

/// Every acknowledged message came, and each at most once, in its order. How many were acknowledged,
/// and how many not.
fn verify(channels: &Channels) -> Result<(usize, usize)> {
    let (mut acknowledged, mut unknown) = (0, 0);
    for (number, channel) in channels.iter().enumerate() {
        with(channel, |channel| {
            let mut due = 0;
            for message in &channel.got {
                ensure!(
                    *message >= due && *message < channel.tried.len(),
                    "{}: message {message} came, {due} was due",
                    name(number)
                );
                let skipped = &channel.tried[due..*message];
                ensure!(
                    !skipped.contains(&true),
                    "{}: a message from {due} on was lost before {message}",
                    name(number)
                );
                due = message + 1;
            }
            ensure!(
                !channel.tried[due..].contains(&true),
                "{}: the last messages, from {due} on, are lost",
                name(number)
            );
            let known = channel.tried.iter().filter(|known| **known).count();
            acknowledged += known;
            unknown += channel.tried.len() - known;
            Ok(())
        })?;
    }
    Ok((acknowledged, unknown))
}

fn told(fleet: &Fleet) -> String {
    let tally = &fleet.tally;
    format!(
        "{} messages received; waiting subscribers ended {}, cut {}; idle connections of long polls closed {}",
        tally.received.load(Relaxed),
        tally.ended.load(Relaxed),
        tally.broken.load(Relaxed),
        tally.idle_closed.load(Relaxed),
    )
}
