//! What this worker tells back ends (`hook`): each event goes into the queue of every hook that wants it.
//!
//! Life cycle: `init_process` starts the thread, if a hub has a hook ([`start`]); events are offered from
//! nginx's loop, which never waits for it; what the thread has to say rings an eventfd in the loop
//! ([`icomet_on_reports`]), because only this thread may write to nginx's log and the zone's counters;
//! `exit_process` gives what is queued a bounded time ([`finish`]).
//!
//! Each event is told by one worker: a channel's coming and going by the one whose operation it was
//! ([`icomet_engine::journal`]), a subscriber's by the one that it came to and the one it ended on, which
//! after a reload may be two; a message by the one that took it.

use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use icomet_engine::{HookCounts, Published, journal};
use icomet_hooks::{About, Event, Hook, Kind, Kinds, Level, Names, Report, Service};
use icomet_protocol::frame::Transport;
use rustix::event::{EventfdFlags, eventfd};

use super::{Worker, with};
use crate::config::hook::host_name;
use crate::ffi::guard::guarded;
use crate::ffi::socket::LoopSocket;
use crate::ffi::{event, log};

/// How long what is queued may take to leave at the end of a worker.
const GRACE: Duration = Duration::from_secs(5);

/// The same when nginx is stopped at once: its master kills a worker after some one and a half seconds.
const SHORT_GRACE: Duration = Duration::from_secs(1);

/// Milliseconds between two lines about one hook's full queue.
const SAY_AGAIN: u64 = 10_000;

/// The hooks of this worker.
pub struct Hooks {
    service: Service,
    lanes: Vec<Lane>,
    /// What the hooks of each hub want, by the hub's index.
    wanted: Vec<Kinds>,
}

/// One hook.
struct Lane {
    /// Index of its hub.
    hub: usize,
    kinds: Kinds,
    /// How it is called in the log.
    shown: String,
    /// Number of its last event.
    seq: u64,
    /// Events that have not arrived yet.
    queued: u32,
    /// Events left out that no line has told of.
    untold: u64,
    /// When the last line did, in milliseconds.
    told: Option<u64>,
}

/// Starts the hooks of a worker that has its hubs. `Err` says why it goes on without.
pub fn start(worker: &mut Worker) -> Result<(), String> {
    let mut hooks: Vec<(Hook, Names)> = Vec::new();
    let mut lanes = Vec::new();
    let mut wanted = vec![Kinds::default(); worker.hubs.len()];
    for (index, attached) in worker.hubs.iter().enumerate() {
        let hub = &attached.hub;
        for hook in &hub.hooks {
            let life = getrandom::u64().map_err(|e| format!("no random numbers for hooks: {e}"))?;
            wanted[index] = wanted[index].union(hook.kinds);
            lanes.push(Lane {
                hub: index,
                kinds: hook.kinds,
                shown: format!("hub \"{}\": hook {}", hub.name, hook.target),
                seq: 0,
                queued: 0,
                untold: 0,
                told: None,
            });
            let names = Names {
                node: hub.node.clone().unwrap_or_else(host_name),
                hub: hub.name.clone(),
                epoch: format!("{:016x}", attached.zone.epoch()),
                worker: format!("{life:016x}"),
            };
            hooks.push((hook.clone(), names));
        }
    }
    if hooks.is_empty() {
        return Ok(());
    }
    let bell = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)
        .and_then(|fd| Ok((rustix::io::fcntl_dupfd_cloexec(&fd, 0)?, fd)));
    let (ring, bell) = bell.map_err(|e| format!("no eventfd for hooks: {e}"))?;
    LoopSocket::open(bell, 0, icomet_on_reports)
        .ok_or("cannot watch the hooks' eventfd: raise worker_connections")?;
    let service = Service::start(hooks, ring).map_err(|e| format!("no thread for hooks: {e}"))?;
    journal::begin();
    worker.hooks = Some(Hooks {
        service,
        lanes,
        wanted,
    });
    Ok(())
}

/// nginx calls it when the hooks' thread has rung.
pub unsafe extern "C" fn icomet_on_reports(event: *mut nginx_sys::ngx_event_t) {
    guarded("hooks", (), || {
        // SAFETY: nginx passes the read event of the socket that start() opened.
        if let Some((socket, _)) = unsafe { LoopSocket::of_event(event) } {
            // Read, because not every way of waiting reports changes only.
            let _ = rustix::io::read(socket.fd(), &mut [0u8; 8]);
        }
        for line in with(Worker::take_reports).unwrap_or_default() {
            write(&line);
        }
    });
}

fn write((level, text): &(Level, String)) {
    match level {
        Level::Alert => log::alert(text),
        Level::Error => log::error(text),
        Level::Notice => log::notice(text),
    }
}

/// Ends the hooks of a worker that exits, and has left its zones' tables but not its slot yet.
pub fn finish(worker: &mut Worker) {
    worker.tell_of_rest();
    let Some(Hooks {
        service, mut lanes, ..
    }) = worker.hooks.take()
    else {
        return;
    };
    let grace = if event::terminating() {
        SHORT_GRACE
    } else {
        GRACE
    };
    let mut counts = vec![HookCounts::default(); lanes.len()];
    let ended = service.finish(grace, |report| match report {
        Report::Line(level, text) => write(&(level, text)),
        Report::Counts(hook, more) => {
            if let (Some(lane), Some(counts)) = (lanes.get_mut(hook), counts.get_mut(hook)) {
                lane.arrived(more.sent + more.rejected);
                counts.sent += more.sent;
                counts.failed += more.failed;
                counts.dropped += more.rejected;
            }
        }
    });
    if !ended {
        log::error("the hooks' thread did not end in time, and was left behind");
    }
    for (mut lane, mut counts) in lanes.into_iter().zip(counts) {
        lane.say_what_was_dropped();
        if lane.queued > 0 {
            counts.dropped += u64::from(lane.queued);
            log::error(&format!(
                "{} did not take {} events before this worker had to exit: they are lost",
                lane.shown, lane.queued
            ));
        }
        if let Some(attached) = worker.hubs.get(lane.hub) {
            attached.zone.count_hooks(worker.id, counts, 0);
        }
    }
}

impl Lane {
    fn arrived(&mut self, events: u64) {
        self.queued = self
            .queued
            .saturating_sub(u32::try_from(events).unwrap_or(u32::MAX));
    }

    /// Says how many events were left out since the last line; whether there were any.
    fn say_what_was_dropped(&mut self) -> bool {
        let untold = std::mem::take(&mut self.untold);
        if untold > 0 {
            log::error(&format!(
                "{} does not take events fast enough, and its queue is full: {untold} were left out",
                self.shown
            ));
        }
        untold > 0
    }
}

/// How a transport is called.
fn name_of(transport: Transport) -> &'static str {
    match transport {
        Transport::LongPoll => "poll",
        Transport::Stream => "stream",
        Transport::Sse => "sse",
        Transport::Iframe => "iframe",
        Transport::WebSocket(_) => "ws",
    }
}

impl Worker {
    /// Whether a hook of that hub wants to know.
    pub fn is_told(&self, hub: usize, kind: Kind) -> bool {
        self.hooks
            .as_ref()
            .is_some_and(|hooks| hooks.wanted.get(hub).is_some_and(|kinds| kinds.has(kind)))
    }

    /// A message was taken, whose JSON-escaped content has so many bytes.
    pub fn tell_publish(&mut self, hub: usize, channel: &str, size: usize, published: &Published) {
        if self.is_told(hub, Kind::Publish) {
            let about = About::Message {
                message_seq: published.seq,
                size,
                subscribers: published.subscribers,
            };
            self.tell(hub, Kind::Publish, Some(channel), about);
        }
    }

    /// A broadcast was taken.
    pub fn tell_broadcast(&mut self, hub: usize, size: usize) {
        if self.is_told(hub, Kind::Publish) {
            let broadcast = true;
            self.tell(
                hub,
                Kind::Publish,
                None,
                About::Broadcast { broadcast, size },
            );
        }
    }

    /// A subscriber came to, or left, this worker and no other one.
    pub fn tell_subscriber(
        &mut self,
        hub: usize,
        kind: Kind,
        channel: &str,
        transport: Transport,
        user: Option<&str>,
    ) {
        if self.is_told(hub, kind) {
            // A channel comes before what happens in it.
            self.tell_changes();
            let transport = name_of(transport);
            let about = About::Subscriber { transport };
            self.offer(hub, kind, Some(channel), user, about);
        }
    }

    /// Tells which channels came and went in operations of this worker.
    pub fn tell_changes(&mut self) {
        self.tell_changes_by(None);
    }

    /// The same, when the last of them was that a user subscribed to those channels.
    pub fn tell_changes_by(&mut self, subscriber: Option<(&[Rc<str>], &str)>) {
        if self.hooks.is_none() {
            return;
        }
        for change in journal::take() {
            let hub = self
                .hubs
                .iter()
                .position(|hub| hub.zone.is_same(&change.zone));
            let kind = if change.online {
                Kind::Online
            } else {
                Kind::Offline
            };
            if let Some(hub) = hub
                && self.is_told(hub, kind)
            {
                let about = About::Channel {
                    order: change.order,
                };
                let name = String::from_utf8_lossy(&change.name);
                let maker = subscriber.filter(|(channels, _)| {
                    change.online && channels.iter().any(|channel| **channel == *name)
                });
                let user = maker.map(|(_, user)| user);
                self.offer(hub, kind, Some(&name), user, about);
            }
        }
    }

    /// At the end of the worker: whoever is still here leaves with it.
    fn tell_of_rest(&mut self) {
        self.tell_changes();
        for index in 0..self.subscribers.capacity() {
            let Some(subscriber) = self.subscribers.get(index) else {
                continue;
            };
            let (hub, transport) = (usize::from(subscriber.hub), subscriber.transport);
            if !self.is_told(hub, Kind::Unsubscribe) {
                continue;
            }
            let local = self.hubs[hub].channels.get(subscriber.channel);
            if let Some(name) = local.map(|local| Rc::clone(&local.name)) {
                let user = self.users.get(index).map(|user| user.id.clone());
                let user = user.as_deref();
                self.tell_subscriber(hub, Kind::Unsubscribe, &name, transport, user);
            }
        }
    }

    fn tell(&mut self, hub: usize, kind: Kind, channel: Option<&str>, about: About) {
        // A channel comes before what happens in it.
        self.tell_changes();
        self.offer(hub, kind, channel, None, about);
    }

    fn offer(
        &mut self,
        hub: usize,
        kind: Kind,
        channel: Option<&str>,
        user: Option<&str>,
        about: About,
    ) {
        let (Some(hooks), Some(attached)) = (&mut self.hooks, self.hubs.get(hub)) else {
            return;
        };
        let time = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let time = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let mut dropped = 0;
        for (index, lane) in hooks.lanes.iter_mut().enumerate() {
            if lane.hub != hub || !lane.kinds.has(kind) {
                continue;
            }
            lane.seq += 1;
            let event = Event {
                kind,
                channel: channel.map(Into::into),
                user: user.map(Into::into),
                time,
                seq: lane.seq,
                about,
            };
            if hooks.service.offer(index, event) {
                lane.queued += 1;
            } else {
                lane.untold += 1;
                dropped += 1;
            }
        }
        let counts = HookCounts {
            dropped,
            ..HookCounts::default()
        };
        let queued = hooks.queued(hub);
        attached.zone.count_hooks(self.id, counts, queued);
    }

    /// Counts what the thread has reported; the lines that it wants in the log.
    fn take_reports(&mut self) -> Vec<(Level, String)> {
        let mut lines = Vec::new();
        let Some(hooks) = &mut self.hooks else {
            return lines;
        };
        let reports: Vec<_> = hooks.service.reports().collect();
        for report in reports {
            match report {
                Report::Line(level, text) => lines.push((level, text)),
                Report::Counts(index, more) => {
                    let Some(lane) = hooks.lanes.get_mut(index) else {
                        continue;
                    };
                    lane.arrived(more.sent + more.rejected);
                    let counts = HookCounts {
                        sent: more.sent,
                        failed: more.failed,
                        dropped: more.rejected,
                    };
                    let hub = lane.hub;
                    let queued = hooks.queued(hub);
                    if let Some(attached) = self.hubs.get(hub) {
                        attached.zone.count_hooks(self.id, counts, queued);
                    }
                }
            }
        }
        lines
    }

    /// Says how many events were left out, at most every ten seconds for each hook.
    pub fn say_what_was_dropped(&mut self) {
        let now = event::now();
        for lane in self.hooks.iter_mut().flat_map(|hooks| &mut hooks.lanes) {
            if lane.told.is_none_or(|told| now - told >= SAY_AGAIN) && lane.say_what_was_dropped() {
                lane.told = Some(now);
            }
        }
    }
}

impl Hooks {
    /// Events of a hub that have not arrived.
    fn queued(&self, hub: usize) -> u32 {
        let lanes = self.lanes.iter().filter(|lane| lane.hub == hub);
        lanes.map(|lane| lane.queued).sum()
    }
}
