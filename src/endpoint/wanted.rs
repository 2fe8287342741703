//! Which channels a subscriber asks for, and from where on in each.

use std::borrow::Cow;

use icomet_protocol::frame::Transport;
use icomet_protocol::params::{ChannelNames, Params};
use icomet_protocol::resume::{self, Epoch, Positions, Stopped};

use super::input;
use crate::answer::Answer;
use crate::context::Context;
use crate::ffi::request::Request;
use crate::worker::subscribe::Wanted;

/// The channel of all who test the WebSocket protocol; nothing is published to it.
const ECHO_CHANNEL: &str = "ws_echo";

/// The channels of a request.
pub enum Channels<'a> {
    /// One, as clients of the original ask.
    One(Channel<'a>),
    /// Several; of a WebSocket also none, to begin with.
    Many(Vec<Channel<'a>>),
}

/// One channel of a request.
pub struct Channel<'a> {
    name: Cow<'a, str>,
    seq: u64,
    epoch: Option<Epoch>,
    tells: bool,
    token: Cow<'a, [u8]>,
}

impl<'a> Channels<'a> {
    /// Reads them from the query, and where the client stopped from the headers that tell it.
    pub fn read(
        request: &'a Request,
        context: &Context,
        params: &Params<'a>,
        transport: Transport,
    ) -> Result<Channels<'a>, Answer> {
        let socket = match transport {
            Transport::WebSocket(socket) => Some(socket),
            _ => None,
        };
        let names = match socket {
            Some(socket) if socket.echoes() => {
                context.set_channel(request, ECHO_CHANNEL);
                ChannelNames::One(ECHO_CHANNEL.into())
            }
            Some(_) if !input::names_channel(request, params) => ChannelNames::Many(Vec::new()),
            _ => {
                let max = context.hub.max_channels_per_subscriber;
                input::channel_names(request, context, params, max)?
            }
        };
        let tells = params.asks_epoch();
        match names {
            ChannelNames::One(name) => {
                let (seq, epoch) = match stopped(request, params, transport) {
                    Stopped::At((epoch, last)) => (last.saturating_add(1), Some(epoch)),
                    Stopped::Unplaced => (0, Some(Epoch::NONE)),
                    Stopped::Unsaid => (params.seq().map_err(input::bad)?, params.epoch()),
                };
                let token = params.token().unwrap_or_default();
                Ok(Channels::One(Channel {
                    name,
                    seq,
                    epoch,
                    tells,
                    token,
                }))
            }
            ChannelNames::Many(names) => {
                let seqs = params.seqs(names.len()).map_err(input::bad)?;
                let epochs = params.epochs(names.len()).map_err(input::bad)?;
                let tokens = params.tokens(names.len()).map_err(input::bad)?;
                let stopped = stopped_many(request, params, transport, names.len());
                let all = names.into_iter().zip(seqs).zip(epochs).zip(tokens);
                let all = all.enumerate();
                let all = all.map(|(place, (((name, seq), epoch), token))| {
                    let (seq, epoch) = match &stopped {
                        Stopped::At((zone, positions)) => match positions.get(place) {
                            Some(Some(position)) => (
                                position.seq.saturating_add(1),
                                Some(Epoch {
                                    zone: *zone,
                                    incarnation: position.incarnation,
                                }),
                            ),
                            _ => (seq, epoch),
                        },
                        Stopped::Unplaced => (0, Some(Epoch::NONE)),
                        Stopped::Unsaid => (seq, epoch),
                    };
                    Channel {
                        name,
                        seq,
                        epoch,
                        tells,
                        token,
                    }
                });
                Ok(Channels::Many(all.collect()))
            }
        }
    }

    /// The name in messages that are of no channel, or of the only one.
    pub fn name(&self) -> &str {
        match self {
            Channels::One(channel) => &channel.name,
            Channels::Many(_) => "",
        }
    }
}

impl Channel<'_> {
    /// As a worker is asked for it.
    pub fn wanted(&self) -> Wanted<'_> {
        Wanted {
            name: &self.name,
            seq: self.seq,
            epoch: self.epoch,
            tells: self.tells,
            token: &self.token,
        }
    }
}

/// Where a client stopped, as a browser says by itself, and else as an EventSource polyfill says in the query.
fn stopped(request: &Request, params: &Params<'_>, transport: Transport) -> Stopped<(Epoch, u64)> {
    let said = match transport {
        Transport::LongPoll => request.header("if-none-match").map(resume::if_none_match),
        _ => request.header("last-event-id").map(resume::last_event_id),
    };
    match said {
        None | Some(Stopped::Unsaid) => params
            .last_event_id()
            .map_or(Stopped::Unsaid, |id| resume::last_event_id(&id)),
        Some(said) => said,
    }
}

/// The same of several channels.
fn stopped_many(
    request: &Request,
    params: &Params<'_>,
    transport: Transport,
    channels: usize,
) -> Stopped<Positions> {
    let said = match transport {
        Transport::LongPoll => request
            .header("if-none-match")
            .map(|tags| resume::if_none_match_of(tags, channels)),
        _ => request
            .header("last-event-id")
            .map(|id| resume::last_event_id_of(id, channels)),
    };
    match said {
        None | Some(Stopped::Unsaid) => params.last_event_id().map_or(Stopped::Unsaid, |id| {
            resume::last_event_id_of(&id, channels)
        }),
        Some(said) => said,
    }
}
