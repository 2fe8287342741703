//! Whether the processes' memory goes back to its level.

use anyhow::{Result, ensure};

use crate::nginx::Nginx;
use crate::process::private_memory;

/// Rounds after which processes have warmed up.
const WARM: u64 = 2;

/// What the processes have of their own, in bytes: the zones do not count.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    /// Of the largest worker.
    pub worker: u64,
    /// Of the master, of which every worker begins as a copy.
    pub master: u64,
}

impl Memory {
    /// As it is now.
    pub fn now(nginx: &Nginx) -> Self {
        let workers = nginx.serving_workers();
        Self {
            worker: workers
                .into_iter()
                .filter_map(private_memory)
                .max()
                .unwrap_or(0),
            master: private_memory(nginx.master()).unwrap_or(0),
        }
    }
}

/// The level once warmed up.
#[derive(Debug, Default)]
pub struct Level(Memory);

impl Level {
    /// Holds a quiet moment after a round against the level: within `growth` bytes of it.
    pub fn check(&mut self, round: u64, now: Memory, growth: u64) -> Result<()> {
        if round <= WARM {
            self.0.worker = self.0.worker.max(now.worker);
            self.0.master = self.0.master.max(now.master);
            return Ok(());
        }
        for (who, now, level) in [
            ("a worker", now.worker, self.0.worker),
            ("the master", now.master, self.0.master),
        ] {
            ensure!(
                now <= level + growth,
                "{who} has {} KiB, and had {} KiB after {WARM} rounds",
                now / 1024,
                level / 1024
            );
        }
        Ok(())
    }
}
