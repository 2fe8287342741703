//! How fast a client may send: a bucket for each connection, as one number.
//!
//! A bucket holds `burst` commands and fills by `per_second`. It is kept as the moment at which it is
//! full again (the "generic cell rate algorithm"), so it needs no clock of its own, a full one is 0 or
//! any moment that has passed, and it can be given to another process of the machine.
//!
//! What a command costs is known only when it was read. So a command may be read as long as the bucket
//! has one, and its whole cost is taken off then: the bucket may be less than empty, by a bounded debt.

/// Each time so many bytes, of what a message has inflated by and its answer, cost as much as one command.
pub const UNIT: usize = 16 << 10;

/// Largest rate, in commands a second.
pub const MAX_PER_SECOND: u32 = 100_000;

/// Largest burst, in commands.
pub const MAX_BURST: u32 = 1_000_000;

/// A bucket is no emptier than empty and this, in microseconds: one command, however large it was, does
/// not make its client wait longer.
pub const MAX_DEBT: u64 = 5_000_000;

/// How fast each client of a hub may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    per_second: u32,
    burst: u32,
}

/// What one connection has used: the microsecond at which its bucket is full again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket(pub u64);

impl Rate {
    /// So many commands a second, and so many at once; both are brought into their bounds.
    pub fn new(per_second: u32, burst: u32) -> Rate {
        Rate {
            per_second: per_second.clamp(1, MAX_PER_SECOND),
            burst: burst.clamp(1, MAX_BURST),
        }
    }

    /// Commands a second.
    pub fn per_second(self) -> u32 {
        self.per_second
    }

    /// Commands at once.
    pub fn burst(self) -> u32 {
        self.burst
    }

    /// The time of one command in microseconds.
    fn command(self) -> u64 {
        1_000_000 / u64::from(self.per_second)
    }

    /// The time in which an empty bucket is full.
    fn room(self) -> u64 {
        self.command() * u64::from(self.burst)
    }

    /// Whether a command may be read at that microsecond.
    pub fn allows(self, bucket: Bucket, now: u64) -> bool {
        self.wait_for(1, bucket, now) == 0
    }

    /// How long after that microsecond the bucket has so many commands.
    fn wait_for(self, commands: u32, bucket: Bucket, now: u64) -> u64 {
        let used = bucket.0.saturating_sub(now);
        let wanted = self.command() * u64::from(commands);
        (used + wanted).saturating_sub(self.room())
    }

    /// How many microseconds a client waits that may not send now. It waits for some commands at a time,
    /// about a tenth of a second's: so it is looked at some ten times a second, and its rate stays.
    pub fn pause(self, bucket: Bucket, now: u64) -> u64 {
        let some = (self.per_second / 10).clamp(1, self.burst);
        self.wait_for(some, bucket, now)
    }

    /// Takes off what a command cost that was read at that microsecond: itself, and for these bytes.
    pub fn charge(self, bucket: Bucket, now: u64, bytes: usize) -> Bucket {
        let command = self.command();
        let bytes = command.saturating_mul((bytes / UNIT) as u64);
        let full_at = bucket.0.max(now).saturating_add(command + bytes);
        let latest = now.saturating_add(self.room()).saturating_add(MAX_DEBT);
        Bucket(full_at.min(latest))
    }
}
