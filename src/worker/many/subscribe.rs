//! A client asks for several channels at once.

use icomet_engine::{ChannelRef, Request as EngineRequest, Stay, SubscribeError, WakeSet};
use icomet_protocol::frame::Transport;
use icomet_protocol::message::{Kind, Message};
use icomet_protocol::resume::Position;
use icomet_websocket::{CloseCode, frame};

use super::delivery::{Writer, refusal};
use super::{Many, Place, etag};
use crate::config::hub::Hub;
use crate::ffi::event;
use crate::ffi::output::Frame;
use crate::sink::Held;
use crate::worker::Worker;
use crate::worker::delivery::{poll_answer_at, room};
use crate::worker::frames::Batch;
use crate::worker::subscribe::{Ask, Outcome, Wanted, authority, engine_epoch, head_of, status_of};
use icomet_tables::NONE;

/// Who asks for channels.
pub struct Client<'a> {
    /// Index of the hub on this worker.
    pub hub_index: usize,
    /// The hub.
    pub hub: &'a Hub,
    /// Who it is, if that is known.
    pub user: Option<&'a str>,
}

/// What a client is sent at once, as it grows from channel to channel.
pub struct Begin<'a, 'b> {
    /// The channel's place among those that the client named.
    pub place: usize,
    /// Bytes of content that there is room for.
    pub room: usize,
    /// Where it is written.
    pub writer: &'a mut Writer<'b>,
    /// Workers that have to look.
    pub wake: WakeSet,
}

/// A channel that let a client in, or what it is told instead.
pub struct Entered {
    /// The channel, if the client is counted there.
    pub reference: Option<ChannelRef>,
    /// The channel's incarnation.
    pub incarnation: u64,
    /// The next seq that it is sent.
    pub cursor: u64,
    /// The channel's next seq.
    pub channel_next: u64,
    /// Something was written for the client.
    pub wrote: bool,
}

impl Worker {
    /// Subscribes to several channels. Each lets the client in or not, by itself; only without memory in
    /// the zone nothing is done for any.
    pub fn subscribe_many(&mut self, ask: &Ask<'_>, wanted: &[Wanted<'_>], held: Held) -> Outcome {
        let Some(attached) = self.hubs.get(ask.hub) else {
            return Outcome::Refused(SubscribeError::ZoneFull);
        };
        let (hub, zone) = (std::rc::Rc::clone(&attached.hub), attached.zone.epoch());
        let poll = ask.transport == Transport::LongPoll;
        let positions = wanted.iter().map(|wanted| wanted.position(zone)).collect();
        let mut bytes = match ask.transport {
            Transport::LongPoll => Vec::new(),
            transport => head_of(transport),
        };
        let callback = ask.callback.as_ref();
        let mut writer = Writer::new(ask.transport, zone, positions, callback, &mut bytes);
        let client = Client {
            hub_index: ask.hub,
            hub: &hub,
            user: ask.user,
        };
        let mut begin = Begin {
            place: 0,
            room: room(ask.transport),
            writer: &mut writer,
            wake: WakeSet::default(),
        };
        let mut ready = ask.wait == Some(0);
        let mut entered: Vec<Option<Entered>> = Vec::with_capacity(wanted.len());
        let (mut full, mut refusals) = (None, Vec::new());
        for (place, wanted) in wanted.iter().enumerate() {
            let stay = match (poll, ready) {
                (false, _) => Stay::Always,
                (true, false) => Stay::UnlessReady,
                (true, true) => Stay::Never,
            };
            begin.place = place;
            match self.enter_channel(&client, wanted, stay, &mut begin) {
                Ok(channel) => {
                    ready |= channel.wrote;
                    entered.push(Some(channel));
                }
                Err(error @ (SubscribeError::ZoneFull | SubscribeError::Busy)) => {
                    full = Some(error);
                    break;
                }
                Err(error) => {
                    hub.log_refusal(wanted.name, &error);
                    let (status, content) = status_of(&error);
                    refusals.push(status);
                    let message = refusal(wanted.name, status, content);
                    // It changes no position.
                    begin.writer.push(place, 0, &message);
                    ready = true;
                    entered.push(None);
                }
            }
        }
        let wake = begin.wake;
        let positions = writer.finish();
        let nobody = !entered.is_empty() && entered.iter().all(Option::is_none);
        if full.is_some() || nobody || (poll && ready) {
            for reference in entered.iter().flatten().filter_map(|e| e.reference) {
                self.leave_channel(ask.hub, reference, ask.user);
            }
            self.ring(&wake);
            return if let Some(error) = full {
                Outcome::Refused(error)
            } else if poll {
                let jsonp = callback.is_some();
                let tag = etag(zone, positions);
                Outcome::Answer(poll_answer_at(&tag, jsonp, Frame::new(bytes)), None)
            } else {
                if matches!(ask.transport, Transport::WebSocket(_)) {
                    // Another try may go well where only a limit is in the way.
                    let code = match refusals.contains(&401) {
                        true => CloseCode::Policy,
                        false => CloseCode::TryAgainLater,
                    };
                    frame::close(code, "no channel lets it in", &mut bytes);
                }
                Outcome::Whole(bytes)
            };
        }
        let owner = self.hold(ask, held, NONE, 0, hub.polling_timeout);
        let all = wanted.iter().zip(entered).zip(positions);
        let places = all.map(|((wanted, channel), position)| {
            let entry =
                channel.and_then(|channel| self.take_in_channel(owner, wanted.name, &channel));
            entry.map_or(Place::Ended(position), Place::Open)
        });
        let places = places.collect();
        self.many.insert(owner, Many::new(places));
        if let Some(user) = ask.user {
            self.user_came(owner, ask.hub, user);
        }
        let names = self.names_of(owner);
        if let Some(user) = ask.user {
            self.tell_changes_by(Some((&names, user)));
        }
        for name in names {
            let kind = icomet_hooks::Kind::Subscribe;
            self.tell_subscriber(ask.hub, kind, &name, ask.transport, ask.user);
        }
        self.ring(&wake);
        Outcome::Held(
            owner,
            None,
            Frame::new(if poll { Vec::new() } else { bytes }),
        )
    }

    /// Lets a client into one channel, and writes what it has for it.
    pub fn enter_channel(
        &mut self,
        client: &Client<'_>,
        wanted: &Wanted<'_>,
        stay: Stay,
        begin: &mut Begin<'_, '_>,
    ) -> Result<Entered, SubscribeError> {
        let Client {
            hub_index,
            hub,
            user,
        } = *client;
        let Begin {
            place,
            room,
            writer,
            wake,
        } = begin;
        let place = *place;
        let attached = self.hubs.get(hub_index).ok_or(SubscribeError::ZoneFull)?;
        let zone = attached.zone;
        let request = EngineRequest {
            name: wanted.name.as_bytes(),
            seq: wanted.seq,
            epoch: wanted.epoch.map(engine_epoch),
            authority: authority(hub.auth, wanted.token),
            stay,
            user: user.map(str::as_bytes),
        };
        let tag = user.map_or(0, |user| zone.user_tag(user.as_bytes()));
        let mut messages = Vec::new();
        let reading = zone.reading(self.id);
        let now = event::now();
        let subscription = reading.subscribe(&request, &hub.limits, now, &mut messages, wake)?;
        let mut batch = Batch::of_subscription(&reading, &subscription, messages, (*room).max(1));
        if *room == 0 {
            batch.put_off();
        }
        let mut wrote = subscription.told;
        let life = subscription.incarnation;
        if wanted.tells {
            writer.tell(place, &wanted.told(attached.epoch(life), &subscription));
        }
        if subscription.told {
            writer.push(
                place,
                life,
                &Message::bare(Kind::NextSeq, wanted.name, batch.next),
            );
        } else {
            let seq = wanted.served_from(&subscription).saturating_sub(1);
            let incarnation = life;
            writer.stand(place, Position { incarnation, seq });
            batch.each(&reading, wanted.name, tag, |message| {
                *room = room.saturating_sub(message.content.len().max(1));
                wrote |= message.kind != Kind::Skipped;
                writer.push(place, life, message);
            });
        }
        Ok(Entered {
            reference: subscription.channel,
            incarnation: life,
            cursor: batch.next,
            channel_next: batch.channel_next,
            wrote,
        })
    }

    /// Takes the subscription to a channel that let the client in into the tables.
    pub fn take_in_channel(&mut self, owner: u32, name: &str, channel: &Entered) -> Option<u32> {
        let hub = usize::from(self.subscribers.get(owner)?.hub);
        let attached = self.hubs.get_mut(hub)?;
        let local = attached.local(
            channel.reference?,
            name,
            channel.incarnation,
            channel.channel_next,
        );
        self.take_in_subscription(owner, local, channel.cursor)
    }
}
