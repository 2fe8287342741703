//! The thread, its queues, and what comes back from it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use tokio::sync::{Notify, watch};

use crate::config::Hook;
use crate::delivery::Delivery;
use crate::event::{Event, Names};

/// Reports that may wait for the worker. Counts are kept back when there are more, lines left out.
const REPORTS: usize = 256;

/// How long past its time the thread is waited for: it looks at its clock, but may be between two looks.
const SLACK: Duration = Duration::from_millis(500);

/// How grave a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// A fault of this code.
    Alert,
    /// The operator should do something.
    Error,
    /// Good to know.
    Notice,
}

/// What became of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events that the back end took.
    pub sent: u64,
    /// POSTs that failed.
    pub failed: u64,
    /// Events that the back end refused for good, so that they were left out.
    pub rejected: u64,
}

/// What the thread has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// What became of a hook's events since its last report.
    Counts(usize, Counts),
    /// A line for the log.
    Line(Level, String),
}

/// Where a hook's delivery puts its reports.
pub struct Outbox {
    reports: Sender<Report>,
    ring: Arc<OwnedFd>,
    /// What did not fit yet.
    kept: Counts,
}

impl Outbox {
    pub fn say(&self, level: Level, text: String) {
        let _ = self.reports.try_send(Report::Line(level, text));
        self.ring();
    }

    pub fn count(&mut self, hook: usize, more: Counts) {
        self.kept.sent += more.sent;
        self.kept.failed += more.failed;
        self.kept.rejected += more.rejected;
        if !self.flush(hook) {
            self.ring();
        }
    }

    /// Reports what was kept back; whether nothing is any more.
    pub fn flush(&mut self, hook: usize) -> bool {
        if self.kept == Counts::default() {
            return true;
        }
        let report = Report::Counts(hook, self.kept);
        let is_taken = self.reports.try_send(report).is_ok();
        if is_taken {
            self.kept = Counts::default();
            self.ring();
        }
        is_taken
    }

    fn ring(&self) {
        // A counter that is full has rung already.
        let _ = rustix::io::write(self.ring.as_fd(), &1u64.to_ne_bytes());
    }
}

/// A hook's queue, as its owner sees it.
struct Lane {
    queue: Sender<Event>,
    bell: Arc<Notify>,
}

/// The hooks of one process. It must be finished, or its thread goes on.
pub struct Service {
    lanes: Vec<Lane>,
    reports: Receiver<Report>,
    stop: watch::Sender<bool>,
    /// How long after the stop the thread has.
    grace: Sender<Duration>,
    thread: JoinHandle<()>,
}

impl Service {
    /// Starts the thread, with all signals blocked in it. `ring` is an eventfd that does not block.
    pub fn start(hooks: Vec<(Hook, Names)>, ring: OwnedFd) -> io::Result<Service> {
        let (outbox, reports) = bounded(REPORTS);
        let (stop, stopping) = watch::channel(false);
        let (grace, graces) = bounded(1);
        let ring = Arc::new(ring);
        let mut lanes = Vec::new();
        let mut deliveries = Vec::new();
        for (number, (hook, names)) in hooks.into_iter().enumerate() {
            let (queue, events) = bounded(hook.queue);
            let bell = Arc::new(Notify::new());
            lanes.push(Lane {
                queue,
                bell: Arc::clone(&bell),
            });
            deliveries.push(Delivery {
                number,
                hook: Arc::new(hook),
                names,
                queue: events,
                bell,
                stopping: stopping.clone(),
                outbox: Outbox {
                    reports: outbox.clone(),
                    ring: Arc::clone(&ring),
                    kept: Counts::default(),
                },
            });
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            // For names that are looked up; they are rare.
            .max_blocking_threads(4)
            .build()?;
        let last = Outbox {
            reports: outbox,
            ring,
            kept: Counts::default(),
        };
        let thread = with_signals_blocked(|| {
            let builder = std::thread::Builder::new().name("icomet-hooks".to_owned());
            builder.spawn(move || {
                let work = || run(&runtime, deliveries, stopping, &graces);
                if std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err() {
                    let text =
                        "internal error in the hooks' thread, which has ended; please report this";
                    last.say(Level::Alert, text.to_owned());
                }
                // A name that is being looked up ends by itself, or with the process.
                runtime.shutdown_background();
            })
        })?;
        Ok(Service {
            lanes,
            reports,
            stop,
            grace,
            thread,
        })
    }

    /// Puts an event into a hook's queue, and never waits; `false` when the queue is full, or the thread
    /// has ended.
    pub fn offer(&self, hook: usize, event: Event) -> bool {
        let Some(lane) = self.lanes.get(hook) else {
            return false;
        };
        let taken = lane.queue.try_send(event).is_ok();
        lane.bell.notify_one();
        taken
    }

    /// What the thread has said since; empty it when the eventfd was rung.
    pub fn reports(&self) -> impl Iterator<Item = Report> + '_ {
        self.reports.try_iter()
    }

    /// Gives what is queued so much time to leave, and ends the thread. What it says meanwhile is given to
    /// `each`. `false`: it did not end in time, and was left behind.
    pub fn finish(self, grace: Duration, mut each: impl FnMut(Report)) -> bool {
        let Service {
            lanes,
            reports,
            stop,
            grace: graces,
            thread,
        } = self;
        let until = Instant::now() + grace + SLACK;
        let _ = graces.try_send(grace);
        let _ = stop.send(true);
        for Lane { queue, bell } in lanes {
            drop(queue);
            bell.notify_one();
        }
        loop {
            match reports.recv_deadline(until) {
                Ok(report) => each(report),
                Err(RecvTimeoutError::Disconnected) => return thread.join().is_ok(),
                Err(RecvTimeoutError::Timeout) => return false,
            }
        }
    }
}

fn run(
    runtime: &tokio::runtime::Runtime,
    deliveries: Vec<Delivery>,
    mut stopping: watch::Receiver<bool>,
    graces: &Receiver<Duration>,
) {
    runtime.block_on(async {
        let tasks: Vec<_> = deliveries
            .into_iter()
            .map(|delivery| tokio::spawn(delivery.run()))
            .collect();
        let aborts: Vec<_> = tasks
            .iter()
            .map(tokio::task::JoinHandle::abort_handle)
            .collect();
        let all = async {
            for task in tasks {
                if let Err(error) = task.await
                    && let Ok(panic) = error.try_into_panic()
                {
                    std::panic::resume_unwind(panic);
                }
            }
        };
        let too_late = async {
            // An error is the end of the owner, which is a stop.
            let _ = stopping.wait_for(|stop| *stop).await;
            tokio::time::sleep(graces.try_recv().unwrap_or_default()).await;
        };
        tokio::select! {
            () = all => {}
            () = too_late => aborts.iter().for_each(tokio::task::AbortHandle::abort),
        }
    });
}

/// A thread inherits its mask of signals: nginx's are for nginx's own thread.
fn with_signals_blocked<T>(work: impl FnOnce() -> T) -> T {
    // SAFETY: both sets are filled by the calls before they are read, and belong to this function.
    unsafe {
        let mut all: libc::sigset_t = core::mem::zeroed();
        let mut before: libc::sigset_t = core::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        let done = work();
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, core::ptr::null_mut());
        done
    }
}
