//! The newer side of a hand-over: subscribers of an older worker come here.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::rc::Rc;

use icomet_engine::WorkerId;
use icomet_handover::{Packet, Passage, Place, Resume, Subscription};
use icomet_protocol::callback::Callback;
use icomet_protocol::frame::Transport;
use icomet_protocol::message::Message;
use icomet_protocol::resume::Position;
use rustc_hash::FxHashMap;

use super::{Handover, PACKETS, forget, wire};
use crate::config::hub::Hub;
use crate::config::kept;
use crate::config::main::MainConf;
use crate::config::places::Place as ConfiguredPlace;
use crate::endpoint::{self, Side};
use crate::ffi::connection::{Kept, request_handler, tell_request_handler};
use crate::ffi::output::Frame;
use crate::ffi::passage::{Fresh, Refusal};
use crate::ffi::socket::LoopSocket;
use crate::ffi::{cycle, event, log};
use crate::sink::Sink;
use crate::worker::frames::enveloped;
use crate::worker::many::Writer;
use crate::worker::parking::Rest;
use crate::worker::subscriber::{Marks, Subscriber};
use crate::worker::wheel::{Place as WheelPlace, tick, ticks};
use crate::worker::{Worker, generation, many, with};
use icomet_tables::NONE;

/// The longest frame that is taken along, in bytes: one message of the largest max_message_size there is
/// (256m), what precedes it in the frame, and their framing.
const LONGEST_FRAME: u64 = 512 << 20;

/// An older worker has sent something, or is gone.
pub fn on_packets(socket: LoopSocket, index: u32) {
    let mut buffer = vec![0; wire::LONGEST];
    for _ in 0..PACKETS {
        if !take_one(socket, index, &mut buffer) {
            return;
        }
    }
    socket.again();
}

/// This worker ends itself: older ones find that it takes nobody any more, and what they had sent goes
/// back to them.
pub fn close() {
    let predecessors = with(|worker| worker.handover.predecessors()).unwrap_or_default();
    for (index, socket) in predecessors {
        if wire::take_no_more(socket.fd()).is_err() {
            forget(index);
            continue;
        }
        let mut buffer = vec![0; wire::LONGEST];
        while take_one(socket, index, &mut buffer) {}
        // It was forgotten at the end of what there was; else it stays until the other is gone.
    }
}

/// Takes one packet and answers it; whether there may be another.
fn take_one(socket: LoopSocket, index: u32, buffer: &mut [u8]) -> bool {
    let received = match wire::receive(socket.fd(), buffer) {
        Ok(received) if received.len > 0 => received,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
        _ => {
            forget(index);
            return false;
        }
    };
    let answer = if event::exiting() || received.is_cut {
        Err(Refusal::Full)
    } else {
        match buffer.get(..received.len).map(Packet::decode) {
            Some(Ok(Packet::Passage(passage))) => take(&passage, received.fds),
            Some(Err(error)) => {
                log::warn(&format!(
                    "an older worker's subscriber cannot move here: {error}"
                ));
                Err(Refusal::NoPlace)
            }
            _ => return true,
        }
    };
    let answer = match answer {
        Ok(()) => Packet::Taken,
        Err(refusal) => Packet::Refused {
            elsewhere: refusal == Refusal::Full,
        },
    };
    let mut bytes = Vec::new();
    if answer.encode(&mut bytes).is_ok()
        && let Err(error) = wire::send(socket.fd(), &bytes, &[])
        // One that was killed needs no answer.
        && error.kind() != io::ErrorKind::BrokenPipe
        && error.kind() != io::ErrorKind::ConnectionReset
    {
        log::os_error(
            "cannot answer an older worker, whose clients may have to come anew",
            &error,
        );
    }
    true
}

/// Where a subscriber is going to be served.
struct Destination<'a> {
    hub: Rc<Hub>,
    hub_index: usize,
    places: Vec<&'a ConfiguredPlace>,
    transport: Transport,
}

fn take(passage: &Passage<'_>, fds: Vec<OwnedFd>) -> Result<(), Refusal> {
    let mut fds = fds.into_iter();
    // Without a free descriptor nothing came.
    let connection = fds.next().ok_or(Refusal::Full)?;
    let main = MainConf::running().ok_or(Refusal::NoPlace)?;
    let destination = destination(main, passage)?;
    if request_handler() == 0 {
        let address = generation::request_handler().ok_or(Refusal::Full)?;
        // SAFETY: an older worker, which is a fork of the same master, has noted it.
        unsafe { tell_request_handler(address) };
    }
    let rest = rest_of(passage, fds.next())?;
    let fresh = Fresh::adopt(connection, &passage.socket, passage.origin.listening)?;
    let place = destination
        .places
        .iter()
        .find(|place| fresh.reaches(place.origin));
    let Some(place) = place else {
        fresh.give_up();
        return Err(Refusal::NoPlace);
    };
    let request = &passage.request;
    let kept = Kept {
        http_connection: fresh.http_connection(),
        origin: place.origin,
        start: request.start,
        request_length: request.length,
        header_size: request.header_size as usize,
        err_status: request.err_status,
        is_http_10: request.flags.is_http_10,
        keepalive: request.flags.keepalive,
        head_sent: request.flags.head_sent,
        chunked: request.flags.chunked,
        upgraded: request.flags.upgraded,
        request_line: request.line,
        unparsed_uri: request.unparsed_uri,
        uri: request.uri,
        args: request.args,
    };
    let entered = with(|worker| worker.take_over(passage, &destination, place, &kept, fresh, rest));
    entered.unwrap_or(Err(Refusal::Full))
}

/// Finds hub and location in this worker's configuration.
fn destination<'a>(main: &'a MainConf, passage: &Passage<'_>) -> Result<Destination<'a>, Refusal> {
    let Resume {
        hub,
        epoch,
        transport,
        callback,
        ..
    } = &passage.resume;
    // Whether it compresses is the client's choice, not the location's.
    let asked = match *transport {
        Transport::WebSocket(socket) => Transport::WebSocket(socket.deflating(false)),
        other => other,
    };
    if callback.is_some_and(|name| Callback::new(name.as_bytes().into()).is_err()) {
        return Err(Refusal::NoPlace);
    }
    let serves = |place: &&ConfiguredPlace| {
        let location = place.location();
        let endpoint = endpoint::of_path(location, passage.request.uri);
        location.side() == Some(Side::Front)
            && location.parks()
            && location.hub().is_some_and(|found| found.name == *hub)
            && endpoint.and_then(|endpoint| endpoint.transport()) == Some(asked)
    };
    let places: Vec<_> = main
        .places()
        .called(passage.origin.location)
        .iter()
        .filter(serves)
        .collect();
    let hub = places.first().and_then(|place| place.location().hub());
    let hub = Rc::clone(hub.ok_or(Refusal::NoPlace)?);
    let hub_index = with(|worker| {
        let index = worker.hub_index(&hub)?;
        // Another zone has other channels, whatever they are called.
        (worker.hubs.get(index)?.zone.epoch() == *epoch).then_some(index)
    });
    let hub_index = hub_index.flatten().ok_or(Refusal::NoPlace)?;
    Ok(Destination {
        hub,
        hub_index,
        places,
        transport: *transport,
    })
}

/// The channel as the engine tells it from others of its place and of its name.
fn life_of(it: &Subscription<'_>) -> (u32, u64) {
    (it.number, it.incarnation)
}

/// What the subscriber has not taken of a frame.
fn rest_of(passage: &Passage<'_>, file: Option<OwnedFd>) -> Result<Option<Rest>, Refusal> {
    let Some(from) = passage.resume.rest else {
        return Ok(None);
    };
    let file = file.ok_or(Refusal::Full)?;
    let frame = with(|worker| worker.handover.frame_of(file));
    let frame = frame.ok_or(Refusal::Full)?.map_err(|_| Refusal::Full)?;
    let from = from as usize;
    if from > frame.len() {
        return Err(Refusal::NoPlace);
    }
    Ok(Some(Rest::new(frame, from)))
}

impl Handover {
    /// The variables that are kept of a request, by name.
    fn names(&mut self) -> &FxHashMap<&'static [u8], u16> {
        self.names.get_or_insert_with(|| {
            let kept = kept::variables(cycle::variable_at).into_iter();
            kept.filter_map(|kept| Some((cycle::variable_at(kept.index)?.0, kept.index)))
                .collect()
        })
    }

    /// The frame in that file; several slow subscribers may have the same.
    fn frame_of(&mut self, file: OwnedFd) -> io::Result<Frame> {
        let number = |file: &OwnedFd| {
            let file = std::fs::File::from(file.try_clone()?);
            let metadata = file.metadata()?;
            io::Result::Ok((metadata.dev(), metadata.ino()))
        };
        let wanted = number(&file)?;
        for (known, frame) in &self.frames {
            if number(known)? == wanted {
                return Ok(Frame::clone(frame));
            }
        }
        let (file, bytes) = wire::bytes_of(file, LONGEST_FRAME)?;
        let frame = Frame::new(bytes);
        self.remember(file, &frame);
        Ok(frame)
    }
}

impl Worker {
    /// Takes a subscriber into the tables, and over in the zone.
    fn take_over(
        &mut self,
        passage: &Passage<'_>,
        destination: &Destination<'_>,
        place: &ConfiguredPlace,
        kept: &Kept<'_>,
        fresh: Fresh,
        rest: Option<Rest>,
    ) -> Result<(), Refusal> {
        let Resume {
            ref places,
            is_many,
            tells_epochs,
            noop,
            deadline,
            idle,
            callback,
            user,
            orders,
            tag,
            worker: (slot, incarnation),
            ..
        } = passage.resume;
        let known = &self.hubs[destination.hub_index].orders;
        let open = places.iter().filter_map(Place::open);
        let names = open.map(|subscription| subscription.channel);
        let Ok(orders) = user.map_or(Ok(Vec::new()), |user| known.since(orders, user, names))
        else {
            fresh.give_up();
            return Err(Refusal::NoPlace);
        };
        let names = self.handover.names();
        let variables = passage.variables.iter();
        let variables =
            variables.filter_map(|variable| Some((*names.get(variable.name)?, variable.value)));
        let Some(record) = self.records.write(kept, variables) else {
            fresh.give_up();
            return Err(Refusal::NoPlace);
        };
        let from = WorkerId { slot, incarnation };
        let attached = &mut self.hubs[destination.hub_index];
        let zone = attached.zone;
        let pass_on = |it: &Subscription<'_>| {
            let (name, user) = (it.channel.as_bytes(), user.map(str::as_bytes));
            zone.pass_on(name, life_of(it), it.cursor, user, from, self.id)
        };
        // Of several channels all must be there: in part it could not be given back.
        let can_pass =
            |it: &Subscription<'_>| zone.can_pass_on(it.channel.as_bytes(), life_of(it), it.cursor);
        let (channel, cursor) = match places.as_slice() {
            all if is_many && all.iter().filter_map(Place::open).all(can_pass) => (NONE, 0),
            [Place::Open(it)] if !is_many && let Some(reference) = pass_on(it) => {
                let incarnation = it.incarnation;
                let local = attached.local(reference, it.channel, incarnation, it.cursor);
                (local, it.cursor)
            }
            _ => {
                self.records.forget(record);
                fresh.give_up();
                return Err(Refusal::NoPlace);
            }
        };
        let usual = ticks(destination.hub.polling_timeout);
        let idle = idle.map_or(usual, |idle| idle.min(usual));
        let now = tick(event::now());
        let (previous, next) = Subscriber::UNLINKED;
        let index = self.subscribers.next_index();
        let connection = fresh.settle(index);
        let record = self.records.insert(connection, record);
        let subscriber = Subscriber {
            sink: Sink::Parked(connection, record),
            cursor,
            noop,
            channel,
            deadline: deadline.min(now + 1 + idle),
            idle,
            previous,
            next,
            wheel: WheelPlace::default(),
            hub: destination.hub_index as u16,
            transport: destination.transport,
            chunked: kept.chunked,
            // It has to catch up.
            busy: true,
            parking: false,
            has_more: callback.is_some(),
            marks: place
                .location()
                .marks()
                .with(Marks::MANY, is_many)
                .with(Marks::TELLS, tells_epochs),
        };
        let index = self.take_in(subscriber, callback);
        if let Some(user) = user {
            self.user_came(index, destination.hub_index, user);
        } else if tag != 0 {
            self.set_unnamed(index, tag);
        }
        let mut rest = rest;
        if is_many {
            let hub = destination.hub_index;
            let closes = self.take_over_many(index, hub, places, user, from);
            if !closes.is_empty() {
                let (frame, sent) = rest.map(Rest::parts).unwrap_or_default();
                let left = frame.get(sent..).unwrap_or_default();
                let closes = enveloped(closes, kept.chunked);
                rest = Some(Rest::new(Frame::new([left, &closes].concat()), 0));
            }
        }
        for order in orders {
            self.end_later(index, order);
        }
        if let Some(address) = connection.address() {
            self.readmit(destination.hub_index, index, address.into());
        }
        match rest {
            Some(rest) => {
                self.rests.insert(index, rest);
                connection.write_soon();
            }
            None => self.resume_later(index),
        }
        Ok(())
    }

    /// Takes the channels of a subscriber of several over, all of which were there a moment ago. Whoever
    /// was closed in this moment is told so by the bytes returned; a long poll finds out when it comes back.
    fn take_over_many(
        &mut self,
        owner: u32,
        hub: usize,
        places: &[Place<'_>],
        user: Option<&str>,
        from: WorkerId,
    ) -> Vec<u8> {
        let mut taken = Vec::with_capacity(places.len());
        let mut closed = Vec::new();
        for (index, place) in places.iter().enumerate() {
            taken.push(match place {
                Place::Ended(position) => many::Place::Ended(*position),
                Place::Open(it) => match self.take_over_one(owner, hub, it, user, from) {
                    Some(entry) => many::Place::Open(entry),
                    None => {
                        let zone = self.hubs.get(hub).map(|attached| attached.zone);
                        let name = it.channel.as_bytes();
                        let away = zone.is_some_and(|zone| zone.stays_away(name, life_of(it).0));
                        closed.push((index, Message::close(it.channel, it.cursor, away)));
                        many::Place::Ended(Some(Position {
                            incarnation: it.incarnation,
                            seq: it.cursor.saturating_sub(1),
                        }))
                    }
                },
            });
        }
        self.many.insert(owner, many::Many::new(taken));
        let mut bytes = Vec::new();
        let subscriber = self.subscribers.get(owner);
        let transport = subscriber.map(|subscriber| subscriber.transport);
        if let Some(transport) = transport.filter(|transport| *transport != Transport::LongPoll) {
            // What closes a channel changes no position, so none is needed.
            let mut writer = Writer::new(transport, 0, Vec::new(), None, &mut bytes);
            for (place, message) in closed {
                writer.push(place, 0, &message);
            }
        }
        bytes
    }

    fn take_over_one(
        &mut self,
        owner: u32,
        hub: usize,
        it: &Subscription<'_>,
        user: Option<&str>,
        from: WorkerId,
    ) -> Option<u32> {
        let attached = self.hubs.get_mut(hub)?;
        let name = it.channel.as_bytes();
        let reference = attached.zone.pass_on(
            name,
            life_of(it),
            it.cursor,
            user.map(str::as_bytes),
            from,
            self.id,
        )?;
        let local = attached.local(reference, it.channel, it.incarnation, it.cursor);
        self.take_in_subscription(owner, local, it.cursor)
    }
}
