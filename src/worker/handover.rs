//! Hand-over: at a reload, parked subscribers move to the new workers, and their clients notice nothing.
//!
//! Life cycle:
//!
//! * A new worker says hello to each older one that lives: it connects to that one's inbox
//!   ([`super::generation`]). They are successor and predecessor from here on.
//! * When a worker begins to exit and there is a newer generation, it withdraws its parked subscribers
//!   from its event loop, one by one, and passes each to a successor of the newest generation that said
//!   hello ([`moving`]): a packet ([`icomet_handover`]) with the connection's descriptor. Some
//!   [`WINDOW`] of them are under way to each successor; its answers set the pace.
//! * The successor makes a connection of it, finds hub and location in its own configuration, takes the
//!   subscriber over in the zone ([`icomet_engine::Zone::pass_on`]), and answers ([`taking`]). From there
//!   the subscriber catches up like one that was slow: what was published meanwhile is in the ring.
//! * Taken: the old worker forgets it. Refused, because the configuration has nothing in its place, or
//!   its channel was closed meanwhile: it ends politely there, or is told so ([`ending`]). Refused, because that worker ends as well, or is full: another one is tried.
//! * A successor that dies leaves those under way to it to be closed, because nobody knows how far it
//!   came; their clients resume. One that does not answer for [`HUNG`] keeps what is under way to it:
//!   it has their descriptors.
//! * What cannot move, and what nobody takes, ends politely in batches ([`super::shutdown`]).
//!
//! Nobody owns a subscriber twice: between sending it and the answer the old worker touches neither its
//! connection nor its count.

pub mod ending;
pub mod moving;
pub mod taking;
pub mod wire;

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;

use icomet_engine::WorkerId;
use icomet_tables::Slab;
use nginx_sys::ngx_event_t;
use rustc_hash::FxHashMap;

use super::generation::Joined;
use super::{generation, with};
use crate::ffi::guard::guarded;
use crate::ffi::output::Frame;
use crate::ffi::socket::LoopSocket;
use crate::ffi::{event, log};
use moving::{Exodus, Moving};

/// Subscribers under way to one successor, at most.
const WINDOW: usize = 32;

/// Packets that one turn receives from one socket before others have a turn.
const PACKETS: usize = 32;

/// Frames in memory files that are remembered, because several slow subscribers have the same.
const FRAMES: usize = 8;

/// Milliseconds without an answer after which a successor is given up.
const HUNG: u64 = 5000;

/// What another worker is to this one.
enum Role {
    /// It is older, and passes its subscribers on to this one.
    Predecessor,
    /// It is newer, and takes them.
    Successor(Successor),
}

struct Successor {
    generation: u32,
    /// Not answered yet, in the order in which they were sent.
    unanswered: VecDeque<Moving>,
    /// When it last answered, or had nothing to answer.
    heard: u64,
    /// It takes no more.
    is_done: bool,
}

struct Peer {
    /// None while it is being made.
    socket: Option<LoopSocket>,
    role: Role,
}

/// What a worker knows of older and newer ones.
#[derive(Default)]
pub struct Handover {
    /// This worker's generation; 0: without one nothing moves.
    generation: u32,
    inbox: Option<LoopSocket>,
    /// Somebody waits at the inbox who could not be heard.
    is_deaf: bool,
    peers: Slab<Peer>,
    /// How far this worker has come with moving its own; once it ends.
    exodus: Option<Exodus>,
    /// Frames that came or were sent, with their files: as long as a file is open no other has its number.
    frames: VecDeque<(OwnedFd, Frame)>,
    /// The variables that are kept of a request, by name; found when the first one comes with some.
    names: Option<FxHashMap<&'static [u8], u16>>,
}

/// Joins the generation of this process, and says hello to older workers; in a new process,
/// once it is a worker.
pub fn join() {
    let joined = with(|worker| generation::join(worker.id, event::now())).flatten();
    let Some(Joined { generation, inbox }) = joined else {
        return;
    };
    let inbox = inbox.and_then(|inbox| {
        let full = || io::Error::other("all worker_connections are in use");
        LoopSocket::open(inbox, 0, icomet_on_inbox).ok_or_else(full)
    });
    if let Err(error) = &inbox {
        log::warn(&format!(
            "this worker has no inbox, so that the next reload ends its subscriptions: {error}"
        ));
    }
    with(|worker| {
        worker.handover.generation = generation;
        worker.handover.inbox = inbox.ok();
    });
    greet_elders();
}

/// Says hello to older workers that have not had one, and hears who could not be heard before.
pub fn greet_elders() {
    let elders = with(|worker| {
        if core::mem::take(&mut worker.handover.is_deaf)
            && let Some(inbox) = worker.handover.inbox
        {
            inbox.again();
        }
        generation::elders(&worker.registry, event::now())
    });
    for elder in elders.unwrap_or_default() {
        match generation::greet(&elder) {
            Ok(socket) => add(socket, Role::Predecessor),
            // It has ended meanwhile.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(error) => log::os_error(
                "cannot reach an older worker now, whose clients may have to come anew",
                &error,
            ),
        }
    }
}

/// Watches the socket of another worker. Without a connection for it the other one finds it closed.
fn add(socket: OwnedFd, role: Role) {
    let peer = Peer { socket: None, role };
    let Some(index) = with(|worker| worker.handover.peers.insert(peer)) else {
        return;
    };
    let socket = LoopSocket::open(socket, index, icomet_on_peer);
    with(|worker| {
        let peers = &mut worker.handover.peers;
        match socket {
            Some(_) => peers.get_mut(index)?.socket = socket,
            None => drop(peers.remove(index)),
        }
        Some(())
    });
}

impl Handover {
    /// Whether subscribers are under way, or wait to be.
    pub fn is_busy(&self) -> bool {
        let waiting = self.exodus.as_ref().is_some_and(Exodus::has_waiting);
        let mut successors = self.successors();
        waiting || successors.any(|(_, _, successor)| !successor.unanswered.is_empty())
    }

    /// Index and socket of each newer worker, and what is known of it.
    fn successors(&self) -> impl Iterator<Item = (u32, LoopSocket, &Successor)> {
        (0..self.peers.capacity()).filter_map(|index| {
            let peer = self.peers.get(index)?;
            match &peer.role {
                Role::Successor(successor) => Some((index, peer.socket?, successor)),
                Role::Predecessor => None,
            }
        })
    }

    /// Index and socket of each older worker.
    fn predecessors(&self) -> Vec<(u32, LoopSocket)> {
        let all = 0..self.peers.capacity();
        all.filter_map(|index| {
            let peer = self.peers.get(index)?;
            match peer.role {
                Role::Predecessor => Some((index, peer.socket?)),
                Role::Successor(_) => None,
            }
        })
        .collect()
    }

    /// Remembers a frame and the file that it is in.
    fn remember(&mut self, file: OwnedFd, frame: &Frame) {
        if self.frames.len() == FRAMES {
            self.frames.pop_front();
        }
        self.frames.push_back((file, Frame::clone(frame)));
    }

    fn successor(&mut self, index: u32) -> Option<&mut Successor> {
        match &mut self.peers.get_mut(index)?.role {
            Role::Successor(successor) => Some(successor),
            Role::Predecessor => None,
        }
    }
}

/// nginx calls it when a newer worker has said hello.
unsafe extern "C" fn icomet_on_inbox(event: *mut ngx_event_t) {
    guarded("inbox", (), || {
        // SAFETY: nginx passes the read event of the socket that it was set on.
        let Some((inbox, _)) = (unsafe { LoopSocket::of_event(event) }) else {
            return;
        };
        for _ in 0..PACKETS {
            let socket = match wire::accept(inbox.fd()) {
                Ok(socket) => socket,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Who connected and is gone.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(error) => {
                    with(|worker| worker.handover.is_deaf = true);
                    log::os_error("cannot hear a newer worker now; it is tried again", &error);
                    return;
                }
            };
            let newer = wire::process_of(&socket).ok().and_then(|process| {
                with(|worker| generation::of_newer(process, &worker.registry)).flatten()
            });
            // A stranger, or a worker that is dead already.
            let Some(generation) = newer else {
                continue;
            };
            add(
                socket,
                Role::Successor(Successor {
                    generation,
                    unanswered: VecDeque::new(),
                    heard: 0,
                    is_done: false,
                }),
            );
            with(|worker| worker.moving.post());
        }
        inbox.again();
    });
}

/// nginx calls it when an older or newer worker has sent something, or is gone.
unsafe extern "C" fn icomet_on_peer(event: *mut ngx_event_t) {
    guarded("hand-over", (), || {
        // SAFETY: nginx passes the read event of the socket that it was set on.
        let Some((socket, index)) = (unsafe { LoopSocket::of_event(event) }) else {
            return;
        };
        let is_successor = with(|worker| {
            let peer = worker.handover.peers.get(index)?;
            Some(matches!(peer.role, Role::Successor(_)))
        });
        match is_successor.flatten() {
            Some(true) => moving::on_answers(socket, index),
            Some(false) => taking::on_packets(socket, index),
            None => {}
        }
    });
}

/// The other end is gone, or of no use.
fn forget(index: u32) -> Option<VecDeque<Moving>> {
    let peer = with(|worker| {
        let peer = worker.handover.peers.remove(index);
        if worker.handover.peers.is_empty() {
            worker.handover.frames.clear();
        }
        peer
    });
    let peer = peer.flatten()?;
    if let Some(socket) = peer.socket {
        socket.close();
    }
    match peer.role {
        Role::Successor(successor) => Some(successor.unanswered),
        Role::Predecessor => None,
    }
}

/// This worker, as packets name it.
fn named(worker: WorkerId) -> (u16, u32) {
    (worker.slot, worker.incarnation)
}
