//! What back ends ask of channels and users: `presence`, `channels`, `disconnect`.

use std::rc::Rc;

use icomet_engine::{ClientAddress, ListCursor, Members, PublishError, WakeSet, Zone};
use icomet_protocol::api::publication::{Disconnect, Whom};
use icomet_protocol::api::{Problem, answer, query};
use icomet_protocol::resume::Epoch;

use super::super::detail;
use super::{JSON, busy, no_such_channel, no_worker, refused};
use crate::answer::Answer;
use crate::config::hub::Hub;
use crate::context::Context;
use crate::ffi::event;
use crate::ffi::request::Request;
use crate::worker::with;

/// What one page of a list may cost ([`icomet_engine::Zone::list`]): some two milliseconds.
const BUDGET: usize = 1 << 20;

/// `info`: what there is to tell of the hub, as by the old endpoint's `detail=1`.
pub fn info(request: &Request, context: &Context) -> Result<Answer, Problem> {
    query::none(request.query())?;
    let told = with(|worker| {
        let hub = worker.hub_index(&context.hub)?;
        Some(detail::of(&context.hub, &worker.hubs[hub].zone))
    });
    told.flatten().ok_or_else(no_worker)
}

/// `presence`.
pub fn presence(request: &Request, context: &Context) -> Result<Answer, Problem> {
    let asked = query::presence(request.query())?;
    context.set_channel(request, &asked.channel);
    presence_of(context, &asked)
}

/// The same, once it is known what is asked for.
pub fn presence_of(context: &Context, asked: &query::Presence<'_>) -> Result<Answer, Problem> {
    Ok(Answer::new(200, JSON, presence_body(&context.hub, asked)?))
}

/// The same as JSON.
pub fn presence_body(hub: &Rc<Hub>, asked: &query::Presence<'_>) -> Result<Vec<u8>, Problem> {
    let name = &asked.channel;
    let members = with(|worker| {
        let hub = worker.hub_index(hub)?;
        let zone = worker.hubs[hub].zone;
        Some(zone.members(name.as_bytes(), asked.cursor, asked.limit))
    });
    if icomet_engine::was_refused() {
        return Err(busy());
    }
    let Members {
        subscribers,
        users,
        listed,
        cursor,
    } = members
        .flatten()
        .ok_or_else(no_worker)?
        .ok_or_else(no_such_channel)?;
    let members: Vec<_> = listed
        .into_iter()
        .map(|member| answer::Member {
            user: String::from_utf8_lossy(&member.user).into_owned(),
            connections: member.connections,
        })
        .collect();
    let told = answer::Presence {
        subscribers,
        users,
        members: &members,
        cursor,
    };
    Ok(answer::presence(name, &told))
}

/// `channels`: a page of the list.
pub fn list(request: &Request, context: &Context) -> Result<Answer, Problem> {
    let asked = query::channels(request.query())?;
    let [shard, bucket] = asked.cursor.place;
    let mut cursor = ListCursor {
        shard,
        bucket,
        after: asked.cursor.after,
    };
    let mut listed = Vec::new();
    icomet_engine::busy::begin();
    let done = with(|worker| {
        let hub = worker.hub_index(&context.hub)?;
        let zone = worker.hubs[hub].zone;
        let prefix = asked.prefix.as_bytes();
        let is_last = zone.list(&mut cursor, prefix, asked.limit, BUDGET, &mut listed);
        Some((is_last, zone.epoch()))
    });
    if icomet_engine::was_refused() {
        return Err(busy());
    }
    let (is_last, epoch) = done.flatten().ok_or_else(no_worker)?;
    let channels: Vec<_> = listed
        .into_iter()
        .map(|channel| answer::Channel {
            channel: String::from_utf8_lossy(&channel.name).into_owned(),
            epoch: Epoch {
                zone: epoch,
                incarnation: channel.incarnation,
            }
            .to_string(),
            subscribers: channel.subscribers,
            first_seq: channel.first_seq,
            next_seq: channel.next_seq,
        })
        .collect();
    let next = (!is_last).then(|| {
        let cursor = query::Cursor {
            place: [cursor.shard, cursor.bucket],
            after: cursor.after,
        };
        cursor.to_text()
    });
    Ok(Answer::new(
        200,
        JSON,
        answer::channels(epoch, &channels, next),
    ))
}

/// `disconnect`: subscribers are told `close` and ended; their channels go on.
pub fn disconnect(
    request: &Request,
    context: &Context,
    asked: &Disconnect<'_>,
) -> Result<Answer, Problem> {
    let (user, name) = match &asked.whom {
        Whom::Channel(name) => (None, Some(&**name)),
        Whom::User(user, name) => (Some(&**user), name.as_deref()),
    };
    if let Some(user) = user {
        context.set_user(request, user);
    }
    if let Some(name) = name {
        context.set_channel(request, name);
    }
    let ended = with(|worker| {
        let hub = worker.hub_index(&context.hub)?;
        let zone = worker.hubs[hub].zone;
        let mut revoked = None;
        if asked.revoke {
            // First, so that nobody who is ended comes in again with it.
            revoked = match zone.revoke(name.unwrap_or_default().as_bytes()) {
                Ok(None) => return Some(Ok(None)),
                Ok(had) => had,
                Err(error) => return Some(Err(error)),
            };
        }
        let mut wake = WakeSet::default();
        let ended = match user {
            Some(user) => end_user(&zone, user, name, asked.stay_away, &mut wake),
            None => {
                let (name, limits) = (name.unwrap_or_default(), &context.hub.limits);
                let (name, now) = (name.as_bytes(), event::now());
                let ended = zone.disconnect(name, asked.stay_away, limits, now, &mut wake);
                ended.map(|ended| ended.map(u64::from))
            }
        };
        worker.ring(&wake);
        Some(ended.map(|ended| Some((ended?, revoked))))
    });
    let (ended, revoked) = ended
        .flatten()
        .ok_or_else(no_worker)?
        .map_err(|error| refused(&context.hub, name.unwrap_or_default(), &error))?
        .ok_or_else(no_such_channel)?;
    let body = answer::disconnected(name, user, ended, revoked);
    Ok(Answer::new(200, JSON, body))
}

/// A user's subscribers, on one channel or on all: how many there are, which each worker ends now.
fn end_user(
    zone: &Zone,
    user: &str,
    name: Option<&str>,
    stay_away: bool,
    wake: &mut WakeSet,
) -> Result<Option<u64>, PublishError> {
    let (user, name) = (user.as_bytes(), name.map(str::as_bytes));
    let found = match name {
        Some(name) => zone.connections(name, user).map(u64::from),
        None => Some(zone.subscribers_of(ClientAddress::of_user(zone.user_tag(user)))),
    };
    if found.is_some() {
        zone.order_end(user, name, stay_away, wake)?;
    }
    Ok(found)
}
