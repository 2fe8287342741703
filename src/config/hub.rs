//! A hub: one world of channels, with its limits and its shared-memory zone.

use core::cell::Cell;
use std::path::PathBuf;

use icomet_engine::{ChannelLimits, Limits, OnFull, Once, Rules, SubscribeError, Zone};
use icomet_hooks::Hook;
use icomet_protocol::origin::AllowedOrigins;
use icomet_websocket::rate::Rate;

use crate::ffi::log;

/// The hub that exists without an `icomet_hub` of that name.
pub const DEFAULT_HUB: &str = "main";

/// Who may subscribe (`auth`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Everybody; a subscribe creates its channel.
    None,
    /// Who has the token that `sign` gave for the channel.
    Token,
}

/// A hub of one configuration.
///
/// Limits belong to the configuration and may change over a reload; what the channels hold lives
/// in the zone and goes on.
#[derive(Debug)]
pub struct Hub {
    /// Its name in the configuration.
    pub name: String,
    /// Where it was defined, as `file:line`; empty for the hub "main" that nobody defined.
    pub place: String,
    /// Size of its zone in bytes.
    pub zone_size: u64,
    /// Who may subscribe.
    pub auth: Auth,
    /// What the engine is told at each operation: the limits of each channel.
    pub limits: Rules,
    /// Most subscribers of one client address, over all workers; 0: no limit, and nothing is counted.
    pub max_subscribers_per_ip: u32,
    /// Most channels of one subscriber.
    pub max_channels_per_subscriber: usize,
    /// How long the id of a publish is remembered, in milliseconds.
    pub idempotency_window: u64,
    /// How many are remembered, about.
    pub max_idempotency_ids: u32,
    /// Most publishes in one request of the API.
    pub max_batch: u32,
    /// Idle time of a subscriber before a noop, in milliseconds.
    pub polling_timeout: u64,
    /// Whose pages may open a WebSocket, ask by JSONP or in a frame, and reach the admin side.
    pub allowed_origins: AllowedOrigins,
    /// Whether answers come as a script where `cb` asks for one.
    pub jsonp: bool,
    /// Longest message of a WebSocket's client, in bytes.
    pub ws_max_message_size: usize,
    /// How fast each WebSocket's client may send; none: as fast as it is read.
    pub ws_rate: Option<Rate>,
    /// Where its channels are kept while nginx is away.
    pub state_file: Option<PathBuf>,
    /// Back ends that are told what happens in it.
    pub hooks: Vec<Hook>,
    /// What this nginx is called there; else by the machine's name.
    pub node: Option<String>,
    /// Set by the master when it has mapped the zone, before it forks.
    pub zone: Cell<Option<Zone>>,
    /// The zone was made for this configuration, and holds nothing that an earlier one left.
    pub zone_is_new: Cell<bool>,
}

impl Hub {
    /// How a publish of that id is made sure to be done once here.
    pub fn once<'a>(&self, id: &'a str) -> Once<'a> {
        Once {
            id: id.as_bytes(),
            window: self.idempotency_window,
            most: self.max_idempotency_ids,
            client: false,
        }
    }

    /// A hub with iComet's own defaults (icomet.conf of 0.2.x), but for the subscribers of a channel, and a
    /// 256 MB zone.
    pub fn with_defaults(name: &str, place: String) -> Hub {
        Hub {
            name: name.to_owned(),
            place,
            zone_size: 256 << 20,
            auth: Auth::None,
            limits: Rules::from(Limits {
                max_channels: 1_000_000,
                empty_channels: 50,
                max_subscribers_per_channel: 1_000_000,
                channel_buffer_size: 10,
                channel_timeout: 30_000,
                message_ttl: 0,
                max_message_size: 1 << 20,
                on_full: OnFull::Refuse,
            }),
            max_subscribers_per_ip: 0,
            max_channels_per_subscriber: 64,
            idempotency_window: 120_000,
            max_idempotency_ids: 100_000,
            max_batch: 1000,
            polling_timeout: 30_000,
            allowed_origins: AllowedOrigins::SameOrigin,
            jsonp: true,
            ws_max_message_size: 64 << 10,
            ws_rate: Some(Rate::new(100, 256)),
            state_file: None,
            hooks: Vec::new(),
            node: None,
            zone: Cell::new(None),
            zone_is_new: Cell::new(false),
        }
    }

    /// Says in the log that a publisher or subscriber of a channel was refused for a limit, and which; those
    /// that only the client can mend are not said.
    pub fn log_refusal(&self, channel: &str, error: &SubscribeError) {
        let limits = self.limits.of(channel.as_bytes());
        match error {
            // The one who stands still has a line of its own.
            SubscribeError::WrongToken | SubscribeError::Busy => {}
            SubscribeError::TooManyChannels => {
                log::too_many_channels(&self.name, self.limits.of_hub().max_channels);
            }
            SubscribeError::TooManyEmpty => {
                log::too_many_empty(&self.name, self.limits.of_hub().empty_channels);
            }
            SubscribeError::TooManySubscribers => {
                log::too_many_subscribers(&self.name, channel, limits.max_subscribers_per_channel);
            }
            SubscribeError::ZoneFull => log::zone_full(&self.name),
        }
    }

    /// polling_timeout in whole seconds, as `sign` and `ping` tell it.
    pub fn sub_timeout(&self) -> u64 {
        self.polling_timeout.div_ceil(1000)
    }
}
