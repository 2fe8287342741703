//! What a hub's configuration says; told with each operation, because it may change.

use crate::glob::Glob;

/// What a publish gets when the zone has no memory, and no empty channel to let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFull {
    /// An error.
    Refuse,
    /// Room: the oldest messages go.
    Evict,
}

/// The limits of a hub, or of some of its channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most channels; the hub's alone counts.
    pub max_channels: u64,
    /// How much of the zone, and of `max_channels`, channels may take that never had a message, in percent;
    /// the hub's alone counts.
    pub empty_channels: u32,
    /// Most subscribers of one channel, over all workers.
    pub max_subscribers_per_channel: u32,
    /// Messages that a channel keeps.
    pub channel_buffer_size: u32,
    /// How long a channel lives after its last subscriber or a publish, in milliseconds.
    pub channel_timeout: u64,
    /// How long a channel keeps a message, in milliseconds; 0: as long as there is room in its buffer.
    pub message_ttl: u64,
    /// Largest message in bytes.
    pub max_message_size: usize,
    /// What happens when the zone is full; the hub's alone counts.
    pub on_full: OnFull,
}

/// The limits of every channel of a hub. They are looked up by the channel's name in each operation, and
/// nothing of them stands in the zone: other limits hold from the next operation on, for channels that
/// are there as well.
pub trait ChannelLimits {
    /// Those of the hub.
    fn of_hub(&self) -> &Limits;

    /// Those of the channel of that name.
    fn of(&self, name: &[u8]) -> &Limits;
}

/// The same for every channel.
impl ChannelLimits for Limits {
    fn of_hub(&self) -> &Limits {
        self
    }

    fn of(&self, _name: &[u8]) -> &Limits {
        self
    }
}

/// Limits by channel name: those of the first rule whose pattern the name matches, else the hub's.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Those of all channels that no rule is for.
    pub hub: Limits,
    /// Patterns of names, and the whole limits of the channels that match.
    pub rules: Vec<(Glob, Limits)>,
}

impl From<Limits> for Rules {
    fn from(hub: Limits) -> Rules {
        Rules {
            hub,
            rules: Vec::new(),
        }
    }
}

impl ChannelLimits for Rules {
    fn of_hub(&self) -> &Limits {
        &self.hub
    }

    fn of(&self, name: &[u8]) -> &Limits {
        let rule = self.rules.iter().find(|(glob, _)| glob.matches(name));
        rule.map_or(&self.hub, |(_, limits)| limits)
    }
}
