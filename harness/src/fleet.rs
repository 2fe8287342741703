//! Thousands of subscribers on threads whose descriptor tables are their own: the limit of open files
//! counts for each thread, not for the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::crowd::Gate;
use crate::subscriber::{Step, Subscriber};

/// Subscribers of one thread, at most.
const EACH: usize = 10_000;

/// What all of a fleet's subscribers came to.
#[derive(Debug, Default)]
pub struct Tally {
    /// Subscribers that have been opened.
    pub open: AtomicU64,
    /// Messages received.
    pub received: AtomicU64,
    /// Streams that the server ended, long polls that it answered without a message.
    pub ended: AtomicU64,
    /// Connections that broke while a subscriber waited for a message.
    pub broken: AtomicU64,
    /// Connections of long polls that were closed between an answer and the next poll.
    pub idle_closed: AtomicU64,
}

/// Called with each message: the subscriber's number, the message's seq and content.
pub type Note = dyn Fn(usize, u64, &str) -> Result<()> + Send + Sync;

/// The subscribers, until it is dropped.
pub struct Fleet {
    /// What they came to.
    pub tally: Arc<Tally>,
    threads: Vec<JoinHandle<Result<()>>>,
    stop: Arc<AtomicBool>,
}

impl Fleet {
    /// Opens `count` subscribers, made by `make`.
    pub fn start(
        count: usize,
        make: impl Fn(usize) -> Subscriber + Send + Sync + 'static,
        note: Arc<Note>,
    ) -> Result<Self> {
        let make = Arc::new(make);
        let mut fleet = Self {
            tally: Arc::default(),
            threads: Vec::new(),
            stop: Arc::default(),
        };
        let mut first = 0;
        while first < count {
            let numbers = first..count.min(first + EACH);
            first = numbers.end;
            let (tally, stop) = (Arc::clone(&fleet.tally), Arc::clone(&fleet.stop));
            let (make, note) = (Arc::clone(&make), Arc::clone(&note));
            let thread = std::thread::Builder::new().name("fleet".to_owned());
            fleet.threads.push(thread.spawn(move || {
                own_files()?;
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()?;
                runtime.block_on(async {
                    let gate = Gate::new();
                    let mut tasks = JoinSet::new();
                    for number in numbers {
                        tasks.spawn(follow(
                            number,
                            make(number),
                            gate.clone(),
                            Arc::clone(&note),
                            Arc::clone(&tally),
                        ));
                    }
                    loop {
                        tokio::select! {
                            Some(ended) = tasks.join_next() => {
                                ended.context("a subscriber panicked")??;
                                bail!("a subscriber was done before its time");
                            }
                            () = sleep(Duration::from_millis(50)) => {
                                if stop.load(Relaxed) {
                                    return Ok(());
                                }
                            }
                        }
                    }
                })
            })?);
        }
        Ok(fleet)
    }

    /// The fault of the first subscriber that met one.
    pub fn check(&mut self) -> Result<()> {
        match self.threads.iter().position(JoinHandle::is_finished) {
            Some(place) => match self.threads.swap_remove(place).join() {
                Ok(result) => result.and_then(|()| bail!("subscribers ended before their time")),
                Err(_) => bail!("a thread of subscribers panicked"),
            },
            None => Ok(()),
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

async fn follow(
    number: usize,
    mut subscriber: Subscriber,
    gate: Gate,
    note: Arc<Note>,
    tally: Arc<Tally>,
) -> Result<()> {
    gate.open(&mut subscriber).await?;
    tally.open.fetch_add(1, Relaxed);
    loop {
        let counter = match subscriber.next().await? {
            Step::Message(message) => match message.kind.as_str() {
                "data" => {
                    note(number, message.seq, &message.content)?;
                    &tally.received
                }
                // There is none but the polite end of a long poll: the hub's polling_timeout is long.
                "noop" => &tally.ended,
                _ => continue,
            },
            Step::Retry(_) => continue,
            Step::Ended => &tally.ended,
            Step::Cut(_, what) if what.contains("between polls") => &tally.idle_closed,
            Step::Cut(..) => &tally.broken,
            Step::Refused => bail!("{}: refused", subscriber.name()),
        };
        counter.fetch_add(1, Relaxed);
    }
}

/// Gives this thread a descriptor table of its own, with copies of what is open.
fn own_files() -> std::io::Result<()> {
    // SAFETY: takes an integer only; every descriptor stays what it was.
    match unsafe { libc::unshare(libc::CLONE_FILES) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}
