//! What a hub's configuration says; told with each operation, because it may change.

/// What a publish gets when the zone has no memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFull {
    /// An error.
    Refuse,
    /// Room: the oldest messages go.
    Evict,
}

/// The limits of a hub.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most channels.
    pub max_channels: u64,
    /// Most subscribers of one channel, over all workers.
    pub max_subscribers_per_channel: u32,
    /// Messages that a channel keeps.
    pub channel_buffer_size: u32,
    /// How long a channel lives after its last subscriber or a publish, in milliseconds.
    pub channel_timeout: u64,
    /// Largest message in bytes.
    pub max_message_size: usize,
    /// What happens when the zone is full.
    pub on_full: OnFull,
}
