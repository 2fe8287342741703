//! Listeners of channels coming and going (`psub`).
//!
//! Each shard of the zone keeps a log of such events; a worker with listeners reads all of them, and
//! makes lines that all its listeners are sent. A listener that falls behind by more than
//! [`QUEUE`] frames is told all live channels instead of what it missed.

use std::collections::VecDeque;
use std::rc::Rc;

use icomet_engine::{ChannelRef, Kind, Rules, ScanCursor, SubscribeError, WorkerId, Zone};
use icomet_protocol::frame::presence_line;
use rustc_hash::FxHashMap;

use super::leaving::Leaving;
use super::{Worker, with};
use crate::ffi::output::{Frame, Sent};
use crate::ffi::{event, log};
use crate::sink::{Held, Sink};
use icomet_tables::Slab;

/// Frames that wait for one listener, at most.
const QUEUE: usize = 64;

/// Names looked at in one step of a repetition.
const NAMES: usize = 512;

/// Events taken from one log in one step.
const EVENTS: usize = 1024;

/// Frames one listener is sent before others have a turn.
const ROUNDS: usize = 8;

struct Listener {
    sink: Held,
    busy: bool,
    queue: VecDeque<Frame>,
    /// Where the repetition of all online lines stands, while one is on its way.
    scan: Option<ScanCursor>,
    /// When the next repetition begins, in milliseconds.
    repeat: u64,
}

struct Log {
    reference: ChannelRef,
    next: u64,
}

/// The listeners of one hub on this worker.
#[derive(Default)]
pub struct Presence {
    listeners: Slab<Listener>,
    logs: Vec<Log>,
    by_reference: FxHashMap<ChannelRef, usize>,
    /// Logs that got something.
    dirty: VecDeque<usize>,
    /// Listeners that may be sent something.
    ready: VecDeque<u32>,
}

/// The request of a listener has ended.
pub fn gone(hub: usize, index: u32) {
    with(|worker| worker.remove_listener(hub, index));
}

/// A listener has taken all that was sent.
pub fn drained(hub: usize, index: u32) {
    pump(hub, index);
}

/// Sends a listener what waits for it.
pub fn pump(hub: usize, index: u32) {
    for _ in 0..ROUNDS {
        let Some((sink, frame)) = with(|worker| worker.next_lines(hub, index)).flatten() else {
            return;
        };
        if sink.send(&frame, 0) != Sent::Whole {
            return;
        }
    }
    with(|worker| {
        let presence = &mut worker.hubs.get_mut(hub)?.presence;
        presence.listeners.get_mut(index)?.busy = false;
        presence.ready.push_back(index);
        worker.fanout.post();
        Some(())
    });
}

/// Begins the repetitions that are due.
pub fn repeat(now: u64) {
    with(|worker| {
        for attached in &mut worker.hubs {
            let timeout = attached.hub.limits.hub.channel_timeout;
            let presence = &mut attached.presence;
            for index in 0..presence.listeners.capacity() {
                let Some(listener) = presence.listeners.get_mut(index) else {
                    continue;
                };
                if listener.repeat <= now {
                    listener.repeat = now + timeout;
                    if listener.scan.is_none() {
                        listener.scan = Some(ScanCursor::default());
                        presence.ready.push_back(index);
                        worker.fanout.post();
                    }
                }
            }
        }
    });
}

/// Ends all listeners, because the worker exits.
pub fn end_all() {
    while let Some(sink) = with(Worker::take_idle_listener).flatten() {
        let leaving = Leaving {
            user: None,
            sink: Sink::Held(sink),
            seq: None,
            parked: None,
        };
        leaving.finish(Frame::default());
    }
}

impl Presence {
    /// Whether nobody listens.
    pub fn is_empty(&self) -> bool {
        self.listeners.is_empty()
    }

    /// Whether the fan-out has something to do here.
    pub fn has_work(&self) -> bool {
        !self.dirty.is_empty() || !self.ready.is_empty()
    }

    /// A log got something.
    pub fn look_at(&mut self, reference: ChannelRef) {
        if let Some(&log) = self.by_reference.get(&reference) {
            self.dirty.push_back(log);
        }
    }

    /// Every log may have got something.
    pub fn look_at_all(&mut self) {
        self.dirty = (0..self.logs.len()).collect();
    }

    /// Reads the logs that got something, and gives a listener that can be sent more.
    pub fn next_listener(&mut self, zone: &Zone, limits: &Rules, worker: WorkerId) -> Option<u32> {
        while let Some(log) = self.dirty.pop_front() {
            self.read(zone, limits, worker, log);
        }
        while let Some(index) = self.ready.pop_front() {
            if self
                .listeners
                .get(index)
                .is_some_and(|listener| !listener.busy)
            {
                return Some(index);
            }
        }
        None
    }

    fn read(&mut self, zone: &Zone, limits: &Rules, worker: WorkerId, index: usize) {
        let Some(log) = self.logs.get_mut(index) else {
            return;
        };
        let mut events = Vec::new();
        let reading = zone.reading(worker);
        let window = reading.window(
            log.reference,
            log.next,
            EVENTS,
            limits,
            event::now(),
            &mut events,
        );
        let mut lines = Vec::new();
        for event in &events {
            let event = reading.message(*event);
            presence_line(event.kind == Kind::Online, event.content, &mut lines);
        }
        drop(reading);
        log.next = window.first + events.len() as u64;
        if log.next < window.next && !events.is_empty() {
            self.dirty.push_back(index);
        }
        if lines.is_empty() && window.lost == 0 {
            return;
        }
        if window.lost > 0 {
            log::warn(&format!(
                "{} presence events were overwritten before this worker read them; its psub \
                 listeners are told all live channels",
                window.lost
            ));
        }
        let frame = Rc::new(lines);
        for index in 0..self.listeners.capacity() {
            let Some(listener) = self.listeners.get_mut(index) else {
                continue;
            };
            if window.lost > 0 || listener.queue.len() >= QUEUE {
                listener.scan = Some(ScanCursor::default());
            }
            if listener.queue.len() >= QUEUE {
                listener.queue.clear();
            }
            listener.queue.push_back(Rc::clone(&frame));
            self.ready.push_back(index);
        }
    }
}

impl Worker {
    /// Begins to listen.
    pub fn listen(&mut self, hub: usize, sink: Held) -> Result<u32, SubscribeError> {
        let now = event::now();
        let Some(attached) = self.hubs.get_mut(hub) else {
            return Err(SubscribeError::ZoneFull);
        };
        let limits = &attached.hub.limits;
        let presence = &mut attached.presence;
        if presence.listeners.is_empty() {
            for shard in 0..attached.zone.shard_count() {
                match attached.zone.presence_log(self.id, shard, limits, now) {
                    Ok((reference, next)) => {
                        presence.by_reference.insert(reference, presence.logs.len());
                        presence.logs.push(Log { reference, next });
                    }
                    Err(error) => {
                        self.stop_listening(hub);
                        return Err(error);
                    }
                }
            }
        }
        let index = presence.listeners.insert(Listener {
            sink,
            busy: false,
            queue: VecDeque::new(),
            scan: None,
            repeat: now + limits.hub.channel_timeout,
        });
        self.keep_ticking();
        Ok(index)
    }

    /// Takes a listener out.
    pub fn remove_listener(&mut self, hub: usize, index: u32) {
        let Some(attached) = self.hubs.get_mut(hub) else {
            return;
        };
        attached.presence.listeners.remove(index);
        if attached.presence.is_empty() {
            self.stop_listening(hub);
        }
    }

    fn stop_listening(&mut self, hub: usize) {
        let Some(attached) = self.hubs.get_mut(hub) else {
            return;
        };
        let presence = &mut attached.presence;
        for log in presence.logs.drain(..) {
            let limits = &attached.hub.limits;
            attached
                .zone
                .unsubscribe(self.id, log.reference, 1, limits, event::now());
        }
        presence.by_reference.clear();
        presence.dirty.clear();
        presence.ready.clear();
    }

    fn take_idle_listener(&mut self) -> Option<Held> {
        for hub in 0..self.hubs.len() {
            let presence = &self.hubs[hub].presence;
            for index in 0..presence.listeners.capacity() {
                let Some(listener) = presence.listeners.get(index) else {
                    continue;
                };
                if !listener.busy && !listener.sink.is_busy() {
                    let sink = listener.sink;
                    self.remove_listener(hub, index);
                    return Some(sink);
                }
            }
        }
        None
    }

    fn next_lines(&mut self, hub: usize, index: u32) -> Option<(Held, Frame)> {
        let attached = self.hubs.get_mut(hub)?;
        let listener = attached.presence.listeners.get_mut(index)?;
        if listener.sink.is_busy() {
            return None;
        }
        let mut frame = listener.queue.pop_front();
        while frame.is_none() {
            let Some(scan) = &mut listener.scan else {
                break;
            };
            let mut lines = Vec::new();
            let done = attached.zone.scan(scan, NAMES, &mut |name| {
                presence_line(true, name, &mut lines);
            });
            if done {
                listener.scan = None;
            }
            if !lines.is_empty() {
                frame = Some(Rc::new(lines));
            }
        }
        listener.busy = frame.is_some();
        frame.map(|frame| (listener.sink, frame))
    }
}
