//! Which channels a subscriber asks for, and from where on in each.

use std::borrow::Cow;

use icomet_protocol::frame::Transport;
use icomet_protocol::params::{ChannelNames, Params};
use icomet_protocol::resume;

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
    epoch: Option<u64>,
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
        let epoch = params.epoch().map_err(input::bad)?;
        match names {
            ChannelNames::One(name) => {
                let (seq, epoch) = match resumed(request, transport) {
                    Some((epoch, last)) => (last.saturating_add(1), Some(epoch)),
                    None => (params.seq().map_err(input::bad)?, epoch),
                };
                let token = params.token().unwrap_or_default();
                Ok(Channels::One(Channel {
                    name,
                    seq,
                    epoch,
                    token,
                }))
            }
            ChannelNames::Many(names) => {
                let seqs = params.seqs(names.len()).map_err(input::bad)?;
                let tokens = params.tokens(names.len()).map_err(input::bad)?;
                let resumed = resumed_many(request, transport, names.len());
                let known = |place: usize| {
                    let (epoch, positions) = resumed.as_ref()?;
                    Some((*epoch, (*positions.get(place)?)?))
                };
                let all = names.into_iter().zip(seqs).zip(tokens).enumerate();
                let all = all.map(|(place, ((name, seq), token))| {
                    let (seq, epoch) = match known(place) {
                        Some((epoch, last)) => (last.saturating_add(1), Some(epoch)),
                        None => (seq, epoch),
                    };
                    Channel {
                        name,
                        seq,
                        epoch,
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
            token: &self.token,
        }
    }
}

/// Epoch, and the last seq that the client has, where a browser says so by itself.
fn resumed(request: &Request, transport: Transport) -> Option<(u64, u64)> {
    match transport {
        Transport::Sse => resume::parse_id(request.header("last-event-id")?),
        Transport::LongPoll => resume::parse_if_none_match(request.header("if-none-match")?),
        Transport::Stream | Transport::Iframe | Transport::WebSocket(_) => None,
    }
}

/// The same of several channels; an id of another number of them says nothing.
fn resumed_many(
    request: &Request,
    transport: Transport,
    channels: usize,
) -> Option<(u64, Vec<Option<u64>>)> {
    match transport {
        Transport::Sse => resume::parse_positions(request.header("last-event-id")?)
            .filter(|(_, positions)| positions.len() == channels),
        Transport::LongPoll => {
            resume::parse_if_none_match_of(request.header("if-none-match")?, channels)
        }
        Transport::Stream | Transport::Iframe | Transport::WebSocket(_) => None,
    }
}
