//! What a client says on its WebSocket, and what becomes of it.

use std::rc::Rc;

use icomet_engine::{Once, Publication, SubscribeError};
use icomet_protocol::api::answer;
use icomet_protocol::command::{self, Action, Command, Failure};
use icomet_protocol::frame::{Socket, socket_text};

use super::api::{channels, history, no_such_channel, no_worker, publish};
use crate::config::hub::{Auth, Hub};
use crate::worker::many::JoinError;
use crate::worker::subscribe::Wanted;
use crate::worker::subscriber::Marks;
use crate::worker::with;

/// Does what a text message of that subscriber's client says, and writes the answer, and what follows it,
/// as frames.
pub fn answer(index: u32, socket: Socket, text: &str, out: &mut Vec<u8>) {
    let mut follows = Vec::new();
    let reply = match command::read(text) {
        Err((id, failure)) => command::failed(id, &failure),
        Ok(Command { id, action }) => match perform(index, &action, &mut follows) {
            Ok(answer) => command::reply(id, action.name(), &answer),
            Err(failure) => command::failed(id, &failure),
        },
    };
    socket_text(socket, &reply, out);
    out.extend_from_slice(&follows);
}

fn perform(index: u32, action: &Action<'_>, follows: &mut Vec<u8>) -> Result<Vec<u8>, Failure> {
    let known = with(|worker| {
        let subscriber = worker.subscribers.get(index)?;
        let attached = worker.hubs.get(usize::from(subscriber.hub))?;
        Some((Rc::clone(&attached.hub), subscriber.marks))
    });
    let (hub, marks) = known.flatten().ok_or_else(no_worker)?;
    // Who has shown a channel's token, or got a channel by the configuration, may use that one.
    let may_use = |name: &str| {
        let is_open = hub.auth == Auth::None && !marks.has(Marks::BOUND);
        let has_it = || with(|worker| worker.has_channel(index, name)) == Some(true);
        (is_open || has_it())
            .then_some(())
            .ok_or_else(not_subscribed)
    };
    match action {
        Action::Ping => Ok(b"{}".to_vec()),
        Action::Subscribe {
            channel,
            seq,
            epoch,
            token,
        } => {
            if marks.has(Marks::BOUND) {
                return Err(not_allowed(
                    "this connection has the channel of its location",
                ));
            }
            let wanted = Wanted {
                name: channel,
                seq: *seq,
                epoch: *epoch,
                tells: false,
                token: token.as_bytes(),
            };
            let joined = with(|worker| {
                let joined = worker.join(index, &wanted);
                if joined.as_ref().is_ok_and(|joined| joined.is_behind) {
                    worker.resume_later(index);
                }
                joined
            });
            let joined = joined.ok_or_else(no_worker)?;
            let joined = joined.map_err(|error| not_joined(&hub, channel, error))?;
            follows.extend_from_slice(&joined.frames);
            Ok(command::subscribed(channel, joined.epoch, joined.next))
        }
        Action::Unsubscribe { channel } => match with(|worker| worker.part(index, channel)) {
            Some(true) => Ok(command::unsubscribed(channel)),
            _ => Err(not_subscribed()),
        },
        Action::Publish {
            channel,
            content,
            once,
            ttl,
            event,
            exclude,
        } => {
            if !marks.has(Marks::PUBLISHES) {
                return Err(not_allowed("this location takes no messages of clients"));
            }
            may_use(channel)?;
            let tag = || with(|worker| worker.tag_for_itself(index)).unwrap_or_default();
            let publication = Publication {
                content,
                event: event.as_deref().unwrap_or_default().as_bytes(),
                exclude: exclude.then(tag).unwrap_or_default(),
                ttl: *ttl,
                once: once.as_deref().map(|id| Once {
                    client: true,
                    ..hub.once(id)
                }),
            };
            let published = publish::publish_to(&hub, channel, &publication)?;
            Ok(answer::published(channel, &published))
        }
        Action::Presence(asked) => {
            if !marks.has(Marks::PRESENCE) {
                return Err(not_allowed("this location tells nobody who is there"));
            }
            may_use(&asked.channel)?;
            Ok(channels::presence_body(&hub, asked)?)
        }
        Action::History(asked) => {
            if !marks.has(Marks::HISTORY) {
                return Err(not_allowed("this location tells nobody what was before"));
            }
            may_use(&asked.channel)?;
            let body = with(|worker| history::body(worker, &hub, asked)).flatten();
            Ok(body.ok_or_else(no_worker)?.ok_or_else(no_such_channel)?)
        }
    }
}

fn not_allowed(content: &'static str) -> Failure {
    Failure::new("not_allowed", content)
}

fn not_subscribed() -> Failure {
    Failure::new("not_subscribed", "this connection has no such channel")
}

fn not_joined(hub: &Hub, channel: &str, error: JoinError) -> Failure {
    if let JoinError::Refused(error) = &error {
        hub.log_refusal(channel, error);
    }
    match error {
        JoinError::AlreadySubscribed => Failure::new(
            "already_subscribed",
            "this connection has the channel already",
        ),
        JoinError::TooManySubscriptions => Failure {
            code: "too_many_subscriptions",
            content: format!(
                "this connection has {} channels, as many as it may",
                hub.max_channels_per_subscriber
            )
            .into(),
        },
        JoinError::Refused(SubscribeError::WrongToken) => {
            Failure::new("wrong_token", "Token error")
        }
        JoinError::Refused(SubscribeError::TooManyChannels | SubscribeError::TooManyEmpty) => {
            Failure::new("too_many_channels", "Too many channels")
        }
        JoinError::Refused(SubscribeError::TooManySubscribers) => {
            Failure::new("too_many_subscribers", "Too many subscribers")
        }
        JoinError::Refused(SubscribeError::Busy) => {
            Failure::new("busy", "a worker of this server stands still: try again")
        }
        JoinError::Refused(SubscribeError::ZoneFull) => {
            Failure::new("zone_full", "the zone of this hub is full")
        }
    }
}
