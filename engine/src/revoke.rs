//! A channel's token is taken away: who comes with it is refused until `sign` has given another.

use crate::channel::SIGNED;
use crate::publish::PublishError;
use crate::wake::WakeSet;
use crate::zone::Zone;

impl Zone {
    /// Takes a channel's token away. Whether it had one; `None` when there is no such channel.
    /// Subscribers that are there stay.
    ///
    /// # Errors
    ///
    /// [`PublishError::Busy`]: somebody holds a lock for too long, and nothing was done.
    ///
    /// Crash: one store, of the flag without which no token is right.
    pub fn revoke(&self, name: &[u8]) -> Result<Option<bool>, PublishError> {
        let address = self.address(name);
        let guard = self
            .lock(address.shard, &mut WakeSet::default())
            .ok_or(PublishError::Busy)?;
        let Some((_, channel)) = guard.find(address, name) else {
            return Ok(None);
        };
        let had = channel.is(SIGNED);
        channel.unflag(SIGNED);
        Ok(Some(had))
    }
}
