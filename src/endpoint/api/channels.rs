//! What back ends ask of channels: `presence`, `channels`, `disconnect`.

use icomet_engine::{ListCursor, WakeSet};
use icomet_protocol::api::{Problem, answer, query};

use super::{JSON, no_such_channel, no_worker, refused};
use crate::answer::Answer;
use crate::context::Context;
use crate::ffi::event;
use crate::ffi::request::Request;
use crate::worker::with;

/// What one page of a list may cost ([`icomet_engine::Zone::list`]): some two milliseconds.
const BUDGET: usize = 1 << 20;

/// `presence`: a channel that is not there has nobody.
pub fn presence(request: &Request, context: &Context) -> Result<Answer, Problem> {
    let name = query::presence(request.query())?;
    context.set_channel(request, &name);
    let channel = with(|worker| {
        let hub = worker.hub_index(&context.hub)?;
        Some(worker.hubs[hub].zone.channel(name.as_bytes()))
    });
    let channel = channel.flatten().ok_or_else(no_worker)?;
    let subscribers = channel.map_or(0, |channel| channel.subscribers);
    Ok(Answer::new(200, JSON, answer::presence(&name, subscribers)))
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
    let done = with(|worker| {
        let hub = worker.hub_index(&context.hub)?;
        let zone = worker.hubs[hub].zone;
        let prefix = asked.prefix.as_bytes();
        let is_last = zone.list(&mut cursor, prefix, asked.limit, BUDGET, &mut listed);
        Some((is_last, zone.epoch()))
    });
    let (is_last, epoch) = done.flatten().ok_or_else(no_worker)?;
    let channels: Vec<_> = listed
        .into_iter()
        .map(|channel| answer::Channel {
            channel: String::from_utf8_lossy(&channel.name).into_owned(),
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

/// `disconnect`: the channel's subscribers are told `close` and ended; the channel goes on.
pub fn disconnect(request: &Request, context: &Context, name: &str) -> Result<Answer, Problem> {
    context.set_channel(request, name);
    let ended = with(|worker| {
        let hub = worker.hub_index(&context.hub)?;
        let zone = worker.hubs[hub].zone;
        let mut wake = WakeSet::default();
        let limits = &context.hub.limits;
        let ended = zone.disconnect(name.as_bytes(), limits, event::now(), &mut wake);
        worker.ring(&wake);
        Some(ended)
    });
    let ended = ended.flatten().ok_or_else(no_worker)?;
    let ended = ended
        .map_err(|error| refused(&context.hub, name, &error))?
        .ok_or_else(no_such_channel)?;
    Ok(Answer::new(200, JSON, answer::disconnected(name, ended)))
}
