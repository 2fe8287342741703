//! `history`: what a channel has buffered.

use std::rc::Rc;

use icomet_engine::{Kind, MessageRef, Page};
use icomet_protocol::api::answer::{self, HistoryMessage};
use icomet_protocol::api::{Problem, query};
use icomet_protocol::resume::Epoch;

use super::{JSON, no_such_channel, no_worker};
use crate::answer::Answer;
use crate::config::hub::Hub;
use crate::context::Context;
use crate::ffi::event;
use crate::ffi::request::Request;
use crate::worker::{Worker, with};

/// Bytes of content after which an answer ends, as a long poll's batch does.
const BYTES: usize = 256 << 10;

/// `history`.
pub fn history(request: &Request, context: &Context) -> Result<Answer, Problem> {
    let asked = query::history(request.query())?;
    context.set_channel(request, &asked.channel);
    history_of(context, &asked)
}

/// The same, once it is known what is asked for.
pub fn history_of(context: &Context, asked: &query::History<'_>) -> Result<Answer, Problem> {
    let told = with(|worker| body(worker, &context.hub, asked)).flatten();
    let body = told.ok_or_else(no_worker)?;
    Ok(Answer::new(200, JSON, body.ok_or_else(no_such_channel)?))
}

/// What the channel has of what is asked for, as JSON; `Some(None)`: there is no such channel. None: the
/// hub is not this worker's.
pub fn body(
    worker: &mut Worker,
    hub: &Rc<Hub>,
    asked: &query::History<'_>,
) -> Option<Option<Vec<u8>>> {
    let index = worker.hub_index(hub)?;
    let zone = worker.hubs.get(index)?.zone;
    let reading = zone.reading(worker.id);
    let mut found: Vec<(u64, MessageRef)> = Vec::new();
    // One more than wanted tells whether there are more.
    let page = Page {
        name: asked.channel.as_bytes(),
        after: asked.since,
        max: asked.limit + 1,
        reverse: asked.reverse,
    };
    let now = event::now();
    let Some(history) = reading.history(&page, &hub.limits, now, &mut found) else {
        return Some(None);
    };
    let (mut bytes, mut taken) = (0, 0);
    for (_, message) in found.iter().take(asked.limit) {
        bytes += reading.message(*message).content.len();
        if taken > 0 && bytes > BYTES {
            break;
        }
        taken += 1;
    }
    let wanted_from = asked.since.saturating_add(1);
    let head = answer::History {
        channel: &asked.channel,
        epoch: Epoch {
            zone: zone.epoch(),
            incarnation: history.incarnation,
        },
        first_seq: history.first,
        next_seq: history.next,
        lost: history.first.saturating_sub(wanted_from),
        more: found.len() > taken,
    };
    let messages = found.iter().take(taken).map(|(seq, message)| {
        let message = reading.message(*message);
        HistoryMessage {
            seq: *seq,
            is_broadcast: message.kind == Kind::Broadcast,
            age: message.age(now),
            content: message.content,
            event: core::str::from_utf8(message.options.event).unwrap_or_default(),
        }
    });
    Some(Some(answer::history(&head, messages)))
}
