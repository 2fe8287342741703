//! The older side of a hand-over: this worker ends, and its subscribers move.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use icomet_handover::{Flags, Origin, Packet, Passage, Place, Request, Resume, Variable};
use icomet_protocol::resume::Position;
use nginx_sys::ngx_event_t;
use rustix::io::Errno;

use super::ending::PoliteEnd;
use super::{HUNG, Handover, PACKETS, WINDOW, forget, named, wire};
use crate::config::main::MainConf;
use crate::ffi::connection::{Kept, request_handler};
use crate::ffi::guard::guarded;
use crate::ffi::output::Frame;
use crate::ffi::socket::LoopSocket;
use crate::ffi::{cycle, event, log};
use crate::sink::Sink;
use crate::worker::leaving::Leaving;
use crate::worker::many::Subscription;
use crate::worker::subscriber::{Marks, Subscriber};
use crate::worker::wheel::{tick, ticks};
use crate::worker::{Worker, generation, with};

/// How long one turn goes on before nginx looks for I/O again.
const TURN: Duration = Duration::from_millis(2);

/// Milliseconds in which a worker of a new generation must have said hello.
const PATIENCE: u64 = 3000;

/// Milliseconds after which nothing is waited for any more, however many generations follow.
const LONGEST: u64 = 10_000;

/// A subscriber that has left this worker's tables to move. Its connection is out of the event loop.
#[must_use = "the connection would hang"]
pub struct Moving {
    /// Its connection and its request.
    pub leaving: Leaving,
    /// Index of its hub.
    pub hub: usize,
    /// Its channels, where it counts until another worker has it; of several with where it stands in those
    /// that it has no more.
    pub subscriptions: Vec<Result<Subscription, Option<Position>>>,
    /// It may have any number of them.
    pub is_many: bool,
    packet: Vec<u8>,
    /// What it has not taken of a frame, from that byte on.
    pub rest: Option<(Frame, usize)>,
    /// For its end, if nobody takes it.
    pub end: PoliteEnd,
}

/// How far this worker has come with moving its subscribers.
pub struct Exodus {
    /// Refused by one successor; another may take them.
    waiting: VecDeque<Moving>,
    began: u64,
    /// When nobody will come any more who takes somebody.
    until: u64,
    /// The newest generation that is known of.
    newest: u32,
    /// Index of the subscriber to look at next.
    next: u32,
    /// Index of the successor whose turn it is.
    turn: u32,
    /// Subscribers that another worker took.
    pub moved: u64,
    /// Subscribers that came to their end instead.
    pub ended: u64,
    is_over: bool,
}

/// What is to be done next, once the worker's state is let go.
enum Departure {
    Send(u32, LoopSocket, Moving),
    End(Moving),
}

impl Exodus {
    /// Whether somebody waits for another successor.
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }
}

/// nginx calls it in the turn after something was answered, or a worker said hello.
pub unsafe extern "C" fn icomet_on_moving(_event: *mut ngx_event_t) {
    guarded("moving", (), turn);
}

/// Moves as many as there is room for.
pub fn turn() {
    let start = Instant::now();
    // Who is ordered to end does not move: this worker has taken the order, and its packet would say so.
    while let Some((index, step)) = with(Worker::next_to_end).flatten() {
        step.perform(index);
        if start.elapsed() > TURN {
            with(|worker| worker.moving.post());
            return;
        }
    }
    while let Some(departure) = with(Worker::next_departure).flatten() {
        match departure {
            Departure::Send(index, socket, moving) => {
                if !send(index, socket, moving) {
                    return;
                }
            }
            Departure::End(moving) => moving.end_politely(),
        }
        if start.elapsed() > TURN {
            with(|worker| worker.moving.post());
            return;
        }
    }
}

/// Sends a subscriber on its way; whether more can be sent now.
fn send(index: u32, socket: LoopSocket, moving: Moving) -> bool {
    let Sink::Parked(connection, _) = moving.leaving.sink else {
        return true;
    };
    let file = match &moving.rest {
        None => None,
        Some((frame, _)) => match with(|worker| worker.handover.file_of(frame)) {
            Some(Ok(file)) => Some(file),
            _ => {
                moving.end_politely();
                return true;
            }
        },
    };
    let mut fds: Vec<BorrowedFd<'_>> = vec![connection.fd()];
    fds.extend(file.as_ref().map(AsFd::as_fd));
    let error = match wire::send(socket.fd(), &moving.packet, &fds) {
        Ok(()) => {
            with(|worker| {
                let successor = worker.handover.successor(index)?;
                if successor.unanswered.is_empty() {
                    successor.heard = event::now();
                }
                successor.unanswered.push_back(moving);
                Some(())
            });
            return true;
        }
        Err(error) => error,
    };
    match Errno::from_io_error(&error) {
        // It is tried again when something was answered, or at the next tick.
        Some(Errno::AGAIN | Errno::TOOMANYREFS | Errno::NOBUFS) => {
            with(|worker| worker.wait_for_another(moving));
            false
        }
        Some(Errno::MSGSIZE) => {
            moving.end_politely();
            true
        }
        _ => {
            with(|worker| {
                worker.handover.successor(index)?.is_done = true;
                worker.wait_for_another(moving);
                Some(())
            });
            true
        }
    }
}

/// A successor has answered, or is gone.
pub fn on_answers(socket: LoopSocket, index: u32) {
    let mut buffer = [0; 64];
    for _ in 0..PACKETS {
        let received = match wire::receive(socket.fd(), &mut buffer) {
            Ok(received) if received.len > 0 => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                with(|worker| worker.moving.post_now());
                return;
            }
            _ => {
                lost(index);
                return;
            }
        };
        let answer = buffer.get(..received.len).map(Packet::decode);
        let moving = with(|worker| {
            let successor = worker.handover.successor(index)?;
            successor.heard = event::now();
            successor.unanswered.pop_front()
        });
        let Some(moving) = moving.flatten() else {
            continue;
        };
        match answer {
            Some(Ok(Packet::Taken)) => moving.taken(),
            Some(Ok(Packet::Refused { elsewhere: true })) => {
                with(|worker| {
                    worker.handover.successor(index)?.is_done = true;
                    worker.wait_for_another(moving);
                    Some(())
                });
            }
            Some(Ok(Packet::Refused { elsewhere: false })) => moving.end_politely(),
            // Not an answer of this version of the module: nothing is known of the subscriber.
            _ => moving.close(),
        }
    }
    socket.again();
    with(|worker| worker.moving.post_now());
}

/// A successor is gone, with what was under way to it: how far it came with those nobody knows.
fn lost(index: u32) {
    let unanswered = forget(index).unwrap_or_default();
    if !unanswered.is_empty() {
        log::warn(&format!(
            "a new worker died while it took over subscribers; {} of them must come anew",
            unanswered.len()
        ));
    }
    unanswered.into_iter().for_each(Moving::close);
    with(|worker| worker.moving.post_now());
}

/// Looks for subscribers that can move by now from the first on; else each answer would have all looked at.
pub fn look_again() {
    with(|worker| {
        let end = worker.subscribers.capacity();
        let exodus = worker.handover.exodus.as_mut()?;
        exodus.next = if exodus.next < end { exodus.next } else { 0 };
        Some(())
    });
}

/// Gives successors up that do not answer: what is under way to them is theirs.
pub fn give_up_hung() {
    let hung = with(|worker| {
        let now = event::now();
        let late = |heard: u64| now.saturating_sub(heard) > HUNG;
        let all = worker.handover.successors();
        all.filter(|(_, _, s)| !s.unanswered.is_empty() && late(s.heard))
            .map(|(index, _, _)| index)
            .collect::<Vec<_>>()
    });
    for index in hung.unwrap_or_default() {
        let unanswered = forget(index).unwrap_or_default();
        log::warn(&format!(
            "a new worker has not answered for {} s; {} subscribers are left to it",
            HUNG / 1000,
            unanswered.len()
        ));
        unanswered.into_iter().for_each(Moving::taken);
    }
}

impl Handover {
    /// Whether there are newer workers that who comes while this one ends can move to.
    pub fn can_move(&self) -> bool {
        match &self.exodus {
            Some(exodus) => !exodus.is_over,
            None => self.inbox.is_some() && generation::newest() > self.generation,
        }
    }

    /// This worker begins to end: its subscribers move, if there is a newer generation.
    pub fn begin(&mut self) {
        if self.exodus.is_some() || !self.can_move() {
            return;
        }
        // Only who has parked somebody knows it, and nobody else has anybody to move.
        generation::note_request_handler(request_handler());
        let now = event::now();
        self.exodus = Some(Exodus {
            waiting: VecDeque::new(),
            began: now,
            until: now + PATIENCE,
            newest: generation::newest(),
            next: 0,
            turn: 0,
            moved: 0,
            ended: 0,
            is_over: false,
        });
    }

    /// Says what became of them.
    pub fn log_outcome(&self) {
        if let Some(exodus) = &self.exodus {
            log::notice(&format!(
                "{} subscribers moved to newer workers, {} could not and were ended",
                exodus.moved, exodus.ended
            ));
        }
    }

    /// Whether that subscriber is going to move: until it has, nothing is sent to it here.
    pub fn is_to_move(&self, subscriber: &Subscriber) -> bool {
        self.exodus.is_some()
            && self.can_move()
            && subscriber.can_move()
            && matches!(subscriber.sink, Sink::Parked(connection, _) if connection.is_plain())
    }

    /// A successor of the newest generation there is, with room for one more. `Err`: there is no
    /// successor, and none will come.
    fn choose(&mut self) -> Result<Option<(u32, LoopSocket)>, ()> {
        let live = || {
            self.successors()
                .filter(|(_, _, successor)| !successor.is_done)
        };
        let generation = live().map(|(_, _, successor)| successor.generation).max();
        let Some(exodus) = &self.exodus else {
            return Ok(None);
        };
        let Some(generation) = generation else {
            return if event::now() < exodus.until {
                Ok(None)
            } else {
                Err(())
            };
        };
        let with_room =
            || live().filter(|(_, _, s)| s.generation == generation && s.unanswered.len() < WINDOW);
        let turn = exodus.turn;
        let chosen = with_room()
            .find(|(index, _, _)| *index >= turn)
            .or_else(|| with_room().next())
            .map(|(index, socket, _)| (index, socket));
        if let (Some((index, _)), Some(exodus)) = (chosen, &mut self.exodus) {
            exodus.turn = index + 1;
        }
        Ok(chosen)
    }

    /// The file with that frame.
    fn file_of(&mut self, frame: &Frame) -> io::Result<std::os::fd::OwnedFd> {
        if let Some((file, _)) = self
            .frames
            .iter()
            .find(|(_, known)| Rc::ptr_eq(known, frame))
        {
            return file.try_clone();
        }
        let file = wire::file_of(frame)?;
        let copy = file.try_clone()?;
        self.remember(file, frame);
        Ok(copy)
    }
}

impl Worker {
    fn wait_for_another(&mut self, moving: Moving) {
        if let Some(exodus) = &mut self.handover.exodus {
            exodus.waiting.push_back(moving);
            exodus.is_over = false;
        }
    }

    fn next_departure(&mut self) -> Option<Departure> {
        let now = event::now();
        let exodus = self.handover.exodus.as_mut()?;
        let newest = generation::newest();
        if newest > exodus.newest {
            exodus.newest = newest;
            exodus.until = (now + PATIENCE).min(exodus.began + LONGEST);
        }
        if exodus.is_over && exodus.waiting.is_empty() {
            return None;
        }
        match self.handover.choose() {
            Ok(Some((index, socket))) => {
                let waiting = self.handover.exodus.as_mut()?.waiting.pop_front();
                let moving = match waiting {
                    Some(moving) => moving,
                    None => match self.next_to_move()? {
                        Ok(moving) => moving,
                        Err(moving) => return Some(Departure::End(moving)),
                    },
                };
                Some(Departure::Send(index, socket, moving))
            }
            Ok(None) => None,
            Err(()) => {
                let exodus = self.handover.exodus.as_mut()?;
                exodus.is_over = true;
                exodus.waiting.pop_front().map(Departure::End)
            }
        }
    }

    /// Takes the next subscriber that can move out of the tables. `Err`: it turned out that it cannot.
    fn next_to_move(&mut self) -> Option<Result<Moving, Moving>> {
        let from = self.handover.exodus.as_ref()?.next;
        let end = self.subscribers.capacity();
        let found = (from..end).find(|index| {
            let subscriber = self.subscribers.get(*index);
            subscriber.is_some_and(|subscriber| self.handover.is_to_move(subscriber))
        });
        self.handover.exodus.as_mut()?.next = found.map_or(end, |index| index + 1);
        self.depart(found?)
    }

    fn depart(&mut self, index: u32) -> Option<Result<Moving, Moving>> {
        let subscriber = self.subscribers.get(index)?;
        let attached = self.hubs.get(usize::from(subscriber.hub))?;
        let zone = attached.zone.epoch();
        let tells_epochs = subscriber.marks.has(Marks::TELLS);
        let orders = attached.orders.last;
        let usual = ticks(attached.hub.polling_timeout);
        let end = PoliteEnd {
            transport: subscriber.transport,
            zone,
            tells_epochs,
            noop: subscriber.noop,
            tag: self.users.tag(index),
            callback: self
                .callbacks
                .get(&index)
                .filter(|_| subscriber.has_more)
                .cloned(),
        };
        // One that is overdue gets its noop there.
        let deadline = subscriber.deadline.max(tick(event::now()));
        let idle = (subscriber.idle != usual).then_some(subscriber.idle);
        let rest = self.rests.remove(&index).map(|rest| rest.parts());
        let from = rest.as_ref().map(|(_, from)| *from as u32);
        let worker = named(self.id);
        let is_many = subscriber.is_many();
        let subscriptions = self.subscriptions_of(index);
        let (leaving, hub, _) = self.take_out(index)?;
        let mut moving = Moving {
            leaving,
            hub,
            subscriptions,
            is_many,
            packet: Vec::new(),
            rest,
            end,
        };
        let places = moving.subscriptions.iter().map(|place| match place {
            Ok(subscription) => Place::Open(icomet_handover::Subscription {
                channel: &subscription.name,
                number: subscription.reference.number(),
                incarnation: subscription.epoch.incarnation,
                cursor: subscription.cursor,
            }),
            Err(position) => Place::Ended(*position),
        });
        let resume = |hub| Resume {
            hub,
            epoch: zone,
            places: places.collect(),
            is_many,
            transport: moving.end.transport,
            tells_epochs,
            noop: moving.end.noop,
            deadline,
            idle,
            callback: moving.end.callback.as_deref(),
            user: moving.leaving.user.as_deref(),
            orders,
            tag: match moving.leaving.user {
                Some(_) => 0,
                None => moving.end.tag,
            },
            rest: from,
            worker,
        };
        let mut packet = Vec::new();
        let written = write(&moving.leaving, resume, &mut packet);
        moving.packet = packet;
        if let Sink::Parked(connection, _) = moving.leaving.sink {
            connection.withdraw();
        }
        Some(match written {
            Some(()) => Ok(moving),
            None => Err(moving),
        })
    }
}

/// Writes the packet of a subscriber; `None` when it cannot move.
fn write<'a>(
    leaving: &'a Leaving,
    resume: impl FnOnce(&'a str) -> Resume<'a>,
    packet: &mut Vec<u8>,
) -> Option<()> {
    let Sink::Parked(connection, _) = &leaving.sink else {
        return None;
    };
    let parked = leaving.parked.as_ref()?;
    let (socket, listening) = connection.passage()?;
    let places = MainConf::running()?.places();
    let variables = parked.record.variables().filter_map(|(index, value)| {
        Some(Variable {
            name: cycle::variable_at(index)?.0,
            value,
        })
    });
    let variables = variables.collect();
    let resume = resume(&parked.hub.name);
    parked.record.with_kept(|kept| {
        let origin = Origin {
            listening,
            location: places.key_of(kept.origin)?,
        };
        let passage = Packet::Passage(Box::new(Passage {
            resume,
            origin,
            socket,
            request: request_of(kept)?,
            variables,
        }));
        passage.encode(packet).ok()
    })?
}

fn request_of<'a>(kept: &Kept<'a>) -> Option<Request<'a>> {
    Some(Request {
        start: kept.start,
        length: kept.request_length,
        header_size: u32::try_from(kept.header_size).ok()?,
        err_status: kept.err_status,
        flags: Flags {
            is_http_10: kept.is_http_10,
            keepalive: kept.keepalive,
            head_sent: kept.head_sent,
            chunked: kept.chunked,
            upgraded: kept.upgraded,
        },
        line: kept.request_line,
        unparsed_uri: kept.unparsed_uri,
        uri: kept.uri,
        args: kept.args,
    })
}
