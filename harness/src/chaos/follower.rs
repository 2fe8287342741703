//! A subscriber that follows its channels through everything, and is cut off by its own side at times.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::feed::Transport;
use crate::subscriber::{Step, Subscriber};

use super::world::{TIGHT, World};

/// What a client may do to its connection.
#[derive(Debug, Clone, Copy)]
pub enum Rudeness {
    /// Reset it.
    Reset,
    /// Close its sending side.
    HalfClose,
    /// Read a few bytes of what comes next, then reset it.
    MidFrame,
}

/// A follower's side of the run.
#[derive(Debug)]
pub struct Follower {
    /// Who it is.
    pub name: String,
    /// The last probe that it heard, of each of its channels.
    heard: Vec<Arc<AtomicU64>>,
    orders: UnboundedSender<Rudeness>,
}

impl Follower {
    /// Starts the `index`th follower of those channels, which are of one hub.
    pub fn start(
        world: &Arc<World>,
        channels: Range<usize>,
        index: usize,
        tasks: &mut JoinSet<Result<()>>,
    ) -> Self {
        let found = &world.channels[channels.start];
        let transport = Transport::of(channels.start + index);
        let all = &world.channels[channels.clone()];
        let names: Vec<_> = all.iter().map(|channel| channel.name.as_str()).collect();
        let mut subscriber = Subscriber::of_many(found.hub, &names, transport, 1)
            .by_id(index / Transport::ALL.len() % 2 == 1)
            .identified();
        if found.lossy {
            subscriber = subscriber.tolerating_lost();
        }
        // A small buffer: long messages are sent in pieces.
        if index % 4 == 3 {
            subscriber = subscriber.narrow(4096);
        }
        let heard: Vec<_> = all.iter().map(|_| Arc::<AtomicU64>::default()).collect();
        let (orders, receiver) = unbounded_channel();
        let name = format!("{transport:?} subscriber {index} of {}", names.join(","));
        let follow = Following {
            world: Arc::clone(world),
            channels,
            subscriber,
            heard: heard.clone(),
            opened: (0, 0),
            rude: false,
        };
        tasks.spawn(follow.run(receiver));
        Self {
            name,
            heard,
            orders,
        }
    }

    /// Whether it heard that probe in each of its channels.
    pub fn has_heard(&self, probe: u64) -> bool {
        self.heard.iter().all(|heard| heard.load(Relaxed) >= probe)
    }

    /// Has it do something to its connection.
    pub fn order(&self, rudeness: Rudeness) {
        // One whose task has ended has failed, which is found elsewhere.
        let _ = self.orders.send(rudeness);
    }
}

struct Following {
    world: Arc<World>,
    channels: Range<usize>,
    subscriber: Subscriber,
    heard: Vec<Arc<AtomicU64>>,
    /// How many kills and steps of reloads there had been when its connection was opened.
    opened: (u64, u64),
    /// Whether it closed its sending side.
    rude: bool,
}

impl Following {
    async fn run(mut self, mut orders: UnboundedReceiver<Rudeness>) -> Result<()> {
        loop {
            if !self.subscriber.is_connected() {
                let world = &self.world;
                self.opened = (world.kills.load(Relaxed), world.reloads.load(Relaxed));
                self.rude = false;
            }
            tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => self.misbehave(order).await,
                    None => return Ok(()),
                },
                step = self.subscriber.next() => self.take(step?)?,
            }
        }
    }

    fn take(&mut self, step: Step) -> Result<()> {
        let counts = &self.world.counts;
        let reloaded =
            self.opened.1 != self.world.reloads.load(Relaxed) || self.world.reloading.load(Relaxed);
        match step {
            Step::Message(message) => {
                let mut all = self.world.channels[self.channels.clone()].iter();
                let Some(place) = all.position(|channel| channel.name == message.cname) else {
                    // A noop of several channels; the subscriber has looked at it.
                    return Ok(());
                };
                let channel = &self.world.channels[self.channels.start + place];
                match message.kind.as_str() {
                    "data" | "broadcast" => {
                        counts.delivered.fetch_add(1, Relaxed);
                        channel.ledger().note(&message)?;
                        let probe = message.content.strip_prefix("probe-");
                        if let Some(probe) = probe.and_then(|probe| probe.parse().ok()) {
                            self.heard[place].store(probe, Relaxed);
                        }
                    }
                    "lost" => {
                        channel.ledger().check_lost(message.seq, TIGHT)?;
                        let count = message.content.parse().unwrap_or(0);
                        counts.lost.fetch_add(count, Relaxed);
                    }
                    _ => {}
                }
            }
            Step::Retry(_) => {}
            Step::Ended if reloaded || self.rude => {
                counts.ended.fetch_add(1, Relaxed);
            }
            Step::Ended => bail!("{}: ended without a reload", self.subscriber.name()),
            Step::Cut(worker, what) => {
                let killed = match worker {
                    Some(worker) => self.world.is_condemned(worker),
                    // Before it said which worker it was.
                    None => true,
                };
                // After a reload another worker may have it; and idle connections are closed then.
                let handed_on = reloaded
                    && (self.opened.0 != self.world.kills.load(Relaxed)
                        || what.contains("between polls"));
                if !(killed || handed_on || self.rude) {
                    bail!("worker {worker:?} lives, yet {what}");
                }
                counts.cut.fetch_add(1, Relaxed);
            }
            Step::Refused => {
                counts.refused.fetch_add(1, Relaxed);
            }
        }
        Ok(())
    }

    async fn misbehave(&mut self, rudeness: Rudeness) {
        let Some(connection) = self.subscriber.connection() else {
            return;
        };
        match rudeness {
            Rudeness::Reset => self.subscriber.reset(),
            Rudeness::HalfClose => {
                let _ = connection.socket().shutdown().await;
                self.rude = true;
            }
            Rudeness::MidFrame => {
                let socket = connection.socket();
                // When nothing comes, it is as good as an ordinary reset.
                let _ = timeout(Duration::from_millis(500), socket.readable()).await;
                let _ = socket.try_read(&mut [0; 7]);
                self.subscriber.reset();
            }
        }
    }
}
