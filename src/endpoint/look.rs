//! What a location lets its subscribers know of a channel without waiting: who is there
//! (`icomet_sub_presence`), and what it has buffered (`icomet_sub_history`).

use icomet_engine::Authority;
use icomet_protocol::api::{Problem, query};
use icomet_protocol::params::Params;

use super::api::{channels, history, problem};
use super::{Endpoint, input};
use crate::answer::Answer;
use crate::config::hub::Auth;
use crate::context::Context;
use crate::ffi::request::Request;
use crate::worker::with;

/// Answers as the API does, for the channel that the location says, to who may subscribe to it.
pub fn answer(request: &Request, context: &Context, endpoint: Endpoint) -> Answer {
    looked(request, context, endpoint).unwrap_or_else(|answer| answer)
}

fn looked(request: &Request, context: &Context, endpoint: Endpoint) -> Result<Answer, Answer> {
    let params = Params::new(request.query(), None);
    let name = input::channel_name(request, context, &params)?;
    let token = params.token().unwrap_or_default();
    let authority = match context.hub.auth {
        Auth::None => Authority::Open,
        Auth::Token => Authority::Token(&token),
    };
    let allowed = with(|worker| {
        let hub = worker.hub_index(&context.hub)?;
        Some(worker.hubs[hub].zone.is_allowed(name.as_bytes(), authority))
    });
    if icomet_engine::was_refused() {
        return Err(problem(&super::api::busy()));
    }
    if allowed.flatten() != Some(true) {
        let what = Problem::new(401, "wrong_token", "this is not the token of the channel");
        return Err(problem(&what));
    }
    let answered = if endpoint == Endpoint::Presence {
        query::presence_of(name, &params).and_then(|asked| channels::presence_of(context, &asked))
    } else {
        query::history_of(name, &params).and_then(|asked| history::history_of(context, &asked))
    };
    answered.map_err(|what| problem(&what))
}
