//! All subscribers of a measurement, over the generator threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use hdrhistogram::Histogram;

use crate::content::Content;
use crate::http::Client;
use crate::process;
use crate::subscriber::{Plan, Tally, Thread, histogram};
use crate::sys;
use crate::target::{Target, Transport};

/// Subscribers of one thread, at most: its descriptor table holds 20,000 where the limit is low.
const PER_THREAD: usize = 17_500;

/// What is given up on when nothing more happens.
const STALL: Duration = Duration::from_secs(30);

/// Opening ends before the machine has less memory than this.
const MEMORY_LEFT: u64 = 1 << 30;

/// What a crowd is.
#[derive(Debug, Clone, Copy)]
pub struct Want {
    /// How many subscribers.
    pub count: usize,
    /// How they listen.
    pub transport: Transport,
    /// Whose header fields they send.
    pub client: Client,
    /// Whether each has a channel of its own.
    pub own_channels: bool,
}

/// Sums over all threads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sums {
    /// Subscribers that listen.
    pub live: u64,
    /// Those that never did.
    pub failed: u64,
    /// Those whose connection ended.
    pub gone: u64,
    /// Messages received.
    pub received: u64,
    /// Messages left out when a later one came.
    pub skipped: u64,
    /// Messages that came again, or late.
    pub repeated: u64,
    /// Messages of another channel.
    pub foreign: u64,
    /// Bytes received, heads included.
    pub bytes: u64,
    /// When the last message came.
    pub last: u64,
}

/// The subscribers, until it is dropped.
pub struct Crowd {
    /// What it is.
    pub want: Want,
    /// How long it took to open.
    pub opened_in: Duration,
    target: Target,
    tallies: Vec<Arc<Tally>>,
    threads: Vec<JoinHandle<std::io::Result<()>>>,
    stop: Arc<AtomicBool>,
    /// The number of the last message of each channel.
    numbers: Vec<AtomicU32>,
    published: AtomicU64,
}

impl Crowd {
    /// Opens them all, and waits until they listen.
    pub fn open(target: Target, want: Want) -> Result<Self> {
        let threads = want.count.div_ceil(PER_THREAD).max(1);
        let channels = if want.own_channels { want.count } else { 1 };
        let mut crowd = Self {
            want,
            opened_in: Duration::ZERO,
            target,
            tallies: Vec::new(),
            threads: Vec::new(),
            stop: Arc::default(),
            numbers: (0..channels).map(|_| AtomicU32::new(0)).collect(),
            published: AtomicU64::new(0),
        };
        let start = Instant::now();
        let mut first = 0;
        for thread in 0..threads {
            let count = want.count / threads + usize::from(thread < want.count % threads);
            let plan = Plan {
                target,
                transport: want.transport,
                client: want.client,
                thread,
                count,
                first_channel: if want.own_channels {
                    u32::try_from(first)?
                } else {
                    0
                },
                own_channels: want.own_channels,
            };
            first += count;
            let tally = Arc::<Tally>::default();
            crowd.tallies.push(tally.clone());
            let stop = crowd.stop.clone();
            crowd.threads.push(
                std::thread::Builder::new()
                    .name(format!("subscribers-{thread}"))
                    .stack_size(256 * 1024)
                    .spawn(move || Thread::run(plan, tally, stop))?,
            );
        }
        crowd.listen()?;
        crowd.opened_in = start.elapsed();
        Ok(crowd)
    }

    fn listen(&self) -> Result<()> {
        let wanted = self.want.count as u64;
        let mut seen = (0, Instant::now());
        for turn in 0u64.. {
            if turn % 50 == 0 {
                let left = process::available_memory();
                ensure!(
                    left > MEMORY_LEFT,
                    "only {} MB of memory are left",
                    left >> 20
                );
            }
            let sums = self.sums();
            let done = sums.live + sums.failed;
            if done >= wanted {
                let errno = self.errno();
                ensure!(
                    sums.failed == 0,
                    "{} of {wanted} subscribers failed (last connect error: {errno})",
                    sums.failed
                );
                return Ok(());
            }
            if done > seen.0 {
                seen = (done, Instant::now());
            }
            if seen.1.elapsed() > STALL || self.threads.iter().any(JoinHandle::is_finished) {
                bail!(
                    "only {} of {wanted} subscribers listen, {} failed (last connect error: {})",
                    sums.live,
                    sums.failed,
                    self.errno()
                );
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn errno(&self) -> std::io::Error {
        let number = self
            .tallies
            .iter()
            .map(|tally| tally.errno.load(Relaxed))
            .max()
            .unwrap_or(0);
        std::io::Error::from_raw_os_error(number.cast_signed())
    }

    /// How it stands.
    pub fn sums(&self) -> Sums {
        let mut sums = Sums::default();
        for tally in &self.tallies {
            sums.live += tally.live.load(Relaxed);
            sums.failed += tally.failed.load(Relaxed);
            sums.gone += tally.gone.load(Relaxed);
            sums.received += tally.received.load(Relaxed);
            sums.skipped += tally.skipped.load(Relaxed);
            sums.repeated += tally.repeated.load(Relaxed);
            sums.foreign += tally.foreign.load(Relaxed);
            sums.bytes += tally.bytes.load(Relaxed);
            sums.last = sums.last.max(tally.last.load(Relaxed));
        }
        sums
    }

    /// The server.
    pub fn target(&self) -> Target {
        self.target
    }

    /// How many channels there are.
    pub fn channels(&self) -> u32 {
        u32::try_from(self.numbers.len()).unwrap_or(u32::MAX)
    }

    /// The next message of a channel, as of now. It counts as published.
    pub fn next(&self, channel: u32) -> Content {
        let number = match self.numbers.get(channel as usize) {
            Some(number) => number.fetch_add(1, Relaxed) + 1,
            None => 0,
        };
        self.published.fetch_add(1, Relaxed);
        Content {
            channel,
            number,
            time: sys::now(),
        }
    }

    /// Messages that all subscribers together are to have by now.
    pub fn due(&self) -> u64 {
        let each = if self.want.own_channels {
            1
        } else {
            self.want.count as u64
        };
        self.published.load(Relaxed) * each
    }

    /// Waits until every message is with everyone, and answers how many are not.
    pub fn settle(&self, patience: Duration) -> u64 {
        let due = self.due();
        let mut seen = (0, Instant::now());
        loop {
            let received = self.sums().received;
            if received >= due {
                return 0;
            }
            if received != seen.0 {
                seen = (received, Instant::now());
            }
            if seen.1.elapsed() > patience {
                return due - received;
            }
            std::thread::sleep(Duration::from_micros(500));
        }
    }

    /// The latencies since the last time.
    pub fn take_latency(&self) -> Histogram<u64> {
        let mut all = histogram();
        for tally in &self.tallies {
            if let Some(one) = tally.take_latency() {
                // The bounds are the same, so that this cannot fail.
                let _ = all.add(one);
            }
        }
        all
    }

    /// Fails if any message was lost, came twice, out of order or on the wrong channel, or if a
    /// subscriber was cut off.
    pub fn verify(&self) -> Result<()> {
        let sums = self.sums();
        let lost = (self.due() + sums.repeated).saturating_sub(sums.received);
        ensure!(
            lost == 0 && sums.skipped == 0 && sums.repeated == 0 && sums.foreign == 0,
            "of {} messages {lost} were lost, {} skipped, {} repeated or late, {} foreign",
            self.due(),
            sums.skipped,
            sums.repeated,
            sums.foreign
        );
        ensure!(sums.gone == 0, "{} subscribers were cut off", sums.gone);
        Ok(())
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
