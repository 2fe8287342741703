//! Fan-out: what was published is taken from the zone and handed to the subscribers of this worker,
//! in slices, channel by channel in turn, so that one huge channel does not stall the others.

use std::rc::Rc;
use std::time::{Duration, Instant};

use icomet_engine::Lost;
use icomet_protocol::frame::{Socket, Transport};
use icomet_tables::NONE;

use crate::answer::Answer;

use super::ahead::Ahead;
use super::channel::{PLACES, place};
use super::delivery::{self, Step, poll_answer};
use super::frames::{self, Batch, Joined};
use super::{Worker, with};
use crate::ffi::event;
use crate::ffi::guard::guarded;
use crate::ffi::output::Frame;
use crate::worker::broadcast;

/// How long one turn goes on before nginx looks for I/O again.
const TURN: Duration = Duration::from_millis(2);

/// The clock is looked at once in so many steps.
const STEPS_BETWEEN_LOOKS: u32 = 16;

/// Subscribers that one channel serves before the next has its turn.
const SLICE: u32 = 256;

/// Channels whose fan-out is on its way at one time, at most.
const JOBS: usize = 64;

/// All transports but long polls, as their frames differ.
const ENDLESS: [Transport; 5] = [
    Transport::Stream,
    Transport::Sse,
    Transport::Iframe,
    Transport::WebSocket(Socket::Plain),
    Transport::WebSocket(Socket::Deflate),
];

/// A fan-out of one channel's new messages to its subscribers here.
pub struct Job {
    channel: u32,
    /// The cursor of those who wait; the frames begin there.
    from: u64,
    /// The seq of the first message in the frames (later than `from` when some were lost).
    first: u64,
    /// What those who wait are told to be lost.
    lost: Option<Lost>,
    /// The cursor of those who were served.
    next: u64,
    /// The channel was closed: each subscriber is ended by itself.
    closes: bool,
    /// All of it has expired: cursors move, and nobody is sent anything.
    silent: bool,
    /// The tags of users whom some of it is kept from: they need frames of their own.
    excluded: Vec<u64>,
    streams: [Option<Joined>; PLACES],
    poll: Option<Rc<Answer>>,
    served: u32,
    ahead: Ahead,
}

/// What one step of the fan-out asks for, once the worker's state is let go.
enum Turn {
    /// Nothing is left to do.
    Idle,
    /// Something was done.
    Worked,
    /// Serve a subscriber.
    Serve(u32, Step),
    /// A subscriber that needs frames of its own.
    CatchUp(u32),
    /// A listener of presence events can be sent more.
    Listener(usize, u32),
    /// A broadcast has reached every channel.
    Broadcast(broadcast::Done),
}

/// Runs a turn of the fan-out; nginx calls it after a doorbell or a post.
pub unsafe extern "C" fn icomet_on_fanout(_event: *mut nginx_sys::ngx_event_t) {
    guarded("fan-out", (), turn);
}

fn turn() {
    let start = Instant::now();
    let mut steps = 0u32;
    loop {
        match with(Worker::next_turn).unwrap_or(Turn::Idle) {
            Turn::Idle => return,
            Turn::Worked => {}
            Turn::Serve(index, step) => step.perform(index),
            Turn::CatchUp(index) => delivery::catch_up(index),
            Turn::Listener(hub, index) => super::presence::pump(hub, index),
            Turn::Broadcast(done) => done.answer(),
        }
        steps += 1;
        if steps.is_multiple_of(STEPS_BETWEEN_LOOKS) && start.elapsed() > TURN {
            with(|worker| worker.fanout.post());
            return;
        }
    }
}

impl Worker {
    /// Lets a subscriber catch up in a later turn.
    pub fn resume_later(&mut self, index: u32) {
        self.resume.push_back(index);
        self.fanout.post();
    }

    /// Who waits for a turn of its own, and the hubs, by turns; no one holds another up.
    fn next_turn(&mut self) -> Turn {
        self.turns = self.turns.wrapping_add(1);
        let alone = |worker: &mut Worker| {
            if let Some((index, step)) = worker.next_to_end() {
                return Some(Turn::Serve(index, step));
            }
            match worker.resume.pop_front() {
                Some(index) => Some(Turn::CatchUp(index)),
                None => {
                    let index = worker.overdue.pop_front()?;
                    Some(Turn::Serve(index, worker.remind(index)))
                }
            }
        };
        if self.turns.is_multiple_of(2)
            && let Some(turn) = alone(self)
        {
            return turn;
        }
        for _ in 0..self.hubs.len() {
            let hub = self.turn_of % self.hubs.len();
            self.turn_of = hub + 1;
            let turn = self.turn_in(hub);
            if !matches!(turn, Turn::Idle) {
                return turn;
            }
        }
        alone(self).unwrap_or(Turn::Idle)
    }

    fn turn_in(&mut self, hub: usize) -> Turn {
        if self.take_orders(hub) {
            return Turn::Worked;
        }
        let attached = &mut self.hubs[hub];
        if attached.jobs.len() < JOBS {
            if attached.dirty.is_none() && attached.zone.has_dirty(self.id) {
                if attached.zone.take_resync(self.id) {
                    attached.to_look_at = (0..attached.channels.capacity()).collect();
                    attached.presence.look_at_all();
                }
                attached.dirty = Some(attached.zone.take_dirty(self.id));
            }
            if let Some(list) = &mut attached.dirty {
                match list.next(&attached.zone) {
                    None => attached.dirty = None,
                    Some(dirty) => {
                        if let Some(&channel) = attached.by_reference.get(&dirty) {
                            return self.open_job(hub, channel);
                        }
                        attached.presence.look_at(dirty);
                    }
                }
                return Turn::Worked;
            }
            if let Some(channel) = attached.to_look_at.pop_front() {
                return self.open_job(hub, channel);
            }
        }
        for kind in self.turns..self.turns + 3 {
            let turn = match kind % 3 {
                0 => self.turn_of_listeners(hub),
                1 => self
                    .step_broadcast(hub)
                    .map(|done| done.map_or(Turn::Worked, Turn::Broadcast)),
                _ => {
                    let job = self.hubs[hub].jobs.pop_front();
                    job.map(|job| self.step_job(hub, job))
                }
            };
            if let Some(turn) = turn {
                return turn;
            }
        }
        Turn::Idle
    }

    fn turn_of_listeners(&mut self, hub: usize) -> Option<Turn> {
        let attached = &mut self.hubs[hub];
        let listener =
            attached
                .presence
                .next_listener(&attached.zone, &attached.hub.limits, self.id)?;
        Some(Turn::Listener(hub, listener))
    }

    /// Begins to hand out what a channel got, if it got something. A lone subscriber needs no frames
    /// that others share: it is sent what it has not had.
    fn open_job(&mut self, hub: usize, channel: u32) -> Turn {
        let attached = &mut self.hubs[hub];
        let Some(local) = attached.channels.get_mut(channel) else {
            return Turn::Worked;
        };
        if local.sweeping {
            local.again = true;
            return Turn::Worked;
        }
        let first = local.first();
        if first == NONE {
            return Turn::Worked;
        }
        if local.count == 1 {
            return Turn::CatchUp(first);
        }
        let epoch = local.epoch;
        let reading = attached.zone.reading(self.id);
        let batch = Batch::read(
            &reading,
            &attached.hub.limits,
            local.reference,
            local.next,
            frames::SHARED,
        );
        if batch.is_empty() {
            return Turn::Worked;
        }
        let silent = !batch.shows(&reading, 0);
        let wanted = |transport: Transport| !silent && local.by_transport[place(transport)] > 0;
        let mut streams = [const { None }; PLACES];
        for transport in ENDLESS {
            if wanted(transport) {
                let joined = batch.stream(&reading, transport, epoch, &local.name, 0);
                streams[place(transport)] = Some(joined);
            }
        }
        let poll = wanted(Transport::LongPoll)
            .then(|| Frame::new(batch.poll(&reading, &local.name, None, false, 0, None)));
        let poll = poll.map(|body| Rc::new(poll_answer(epoch, batch.next, false, body)));
        let job = Job {
            channel,
            from: local.next,
            first: batch.first,
            lost: batch.lost,
            next: batch.next,
            closes: batch.closes(),
            silent,
            excluded: batch.excluded(&reading),
            streams,
            poll,
            served: 0,
            ahead: Ahead::new(&self.subscribers, first),
        };
        local.next = batch.next;
        local.again = batch.next < batch.channel_next;
        local.sweeping = true;
        local.sweep = first;
        attached.jobs.push_back(Box::new(job));
        Turn::Worked
    }

    /// Serves the next subscriber of a fan-out.
    fn step_job(&mut self, hub: usize, mut job: Box<Job>) -> Turn {
        let attached = &mut self.hubs[hub];
        let Some(local) = attached.channels.get_mut(job.channel) else {
            return Turn::Worked;
        };
        let index = local.sweep;
        let Some(subscriber) = self.subscribers.get(index) else {
            self.end_job(hub, job.channel);
            return Turn::Worked;
        };
        local.sweep = subscriber.next;
        job.served += 1;
        job.ahead.step(&self.subscribers);
        let has_it = subscriber.cursor >= job.next && !job.closes;
        let owner = subscriber
            .owner()
            .and_then(|owner| self.subscribers.get(owner));
        let turn = if has_it || self.handover.is_to_move(owner.unwrap_or(subscriber)) {
            Turn::Worked
        } else if job.closes {
            Turn::CatchUp(index)
        } else {
            job.serve(self, index)
        };
        let jobs = &mut self.hubs[hub].jobs;
        if job.served.is_multiple_of(SLICE) {
            jobs.push_back(job);
        } else {
            jobs.push_front(job);
        }
        turn
    }

    fn end_job(&mut self, hub: usize, channel: u32) {
        let attached = &mut self.hubs[hub];
        let Some(local) = attached.channels.get_mut(channel) else {
            return;
        };
        local.sweeping = false;
        if local.count == 0 {
            attached.channels.remove(channel);
        } else if core::mem::take(&mut local.again) {
            attached.to_look_at.push_back(channel);
        }
    }
}

impl Job {
    fn serve(&self, worker: &mut Worker, index: u32) -> Turn {
        let Some(subscriber) = worker.subscribers.get_mut(index) else {
            return Turn::Worked;
        };
        if !self.excluded.is_empty() {
            let who = subscriber.owner().unwrap_or(index);
            let tag = worker.users.tag(who);
            if self.excluded.contains(&tag) {
                return Turn::CatchUp(index);
            }
        }
        if self.silent && subscriber.cursor == self.from {
            subscriber.cursor = self.next;
            return Turn::Worked;
        }
        if !subscriber.shares_frames() {
            return Turn::CatchUp(index);
        }
        if subscriber.transport == Transport::LongPoll {
            let Some(answer) = &self.poll else {
                return Turn::CatchUp(index);
            };
            if subscriber.cursor != self.from || subscriber.has_more {
                return Turn::CatchUp(index);
            }
            subscriber.cursor = self.next;
            let hub = subscriber.hub;
            self.tell_lost(worker, hub);
            return match worker.remove_subscriber(index) {
                Some(leaving) => Turn::Serve(index, Step::Answer(leaving, Rc::clone(answer))),
                None => Turn::Worked,
            };
        }
        let Some(joined) = &self.streams[place(subscriber.transport)] else {
            return Turn::CatchUp(index);
        };
        let waited = subscriber.cursor == self.from;
        let first = if waited {
            0
        } else if subscriber.cursor > self.first {
            (subscriber.cursor - self.first) as usize
        } else {
            return Turn::CatchUp(index);
        };
        subscriber.cursor = self.next;
        let index = subscriber.owner().unwrap_or(index);
        let Some(subscriber) = worker.subscribers.get_mut(index) else {
            return Turn::Worked;
        };
        subscriber.touch(index, event::now());
        let (frame, from) = joined.since(first, subscriber.chunked);
        let (sink, hub) = (subscriber.sink, subscriber.hub);
        if waited {
            self.tell_lost(worker, hub);
        }
        Turn::Serve(index, Step::Send(sink, Frame::clone(frame), from))
    }

    fn tell_lost(&self, worker: &Worker, hub: u16) {
        if self.lost.is_some()
            && let Some(attached) = worker.hubs.get(usize::from(hub))
        {
            attached.zone.tell_lost(self.lost);
        }
    }
}
