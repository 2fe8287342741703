//! The command line of `chaos`.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::disturb::Event;

/// What is done, for how long, and how large it is.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long rounds are begun.
    pub time: Duration,
    /// How many rounds at most.
    pub rounds: u64,
    /// How long a round disturbs.
    pub round: Duration,
    /// So many disturbances end a round as well.
    pub each: u64,
    /// The seed of all choices.
    pub seed: u64,
    /// `worker_processes`.
    pub workers: usize,
    /// Channels whose buffer holds more than a round.
    pub channels: usize,
    /// Subscribers of each channel.
    pub subscribers: usize,
    /// What may happen.
    pub events: Vec<Event>,
    /// Whether the module was built for fault injection.
    pub fault: bool,
    /// Bytes by which a process may grow once it has warmed up.
    pub growth: u64,
    /// Whether subscribers are parked.
    pub park: bool,
    /// Seconds between two lines about a round.
    pub tell: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(60),
            rounds: u64::MAX,
            round: Duration::from_secs(6),
            each: u64::MAX,
            seed: fastrand::u64(1..1_000_000),
            workers: 3,
            channels: 20,
            subscribers: 10,
            events: Event::ALL.to_vec(),
            fault: false,
            growth: 4 << 20,
            park: true,
            tell: Duration::ZERO,
        }
    }
}

impl Options {
    /// Takes one option of the command line.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let seconds = || Ok::<_, anyhow::Error>(Duration::from_secs_f64(value.parse()?));
        match name {
            "seconds" => self.time = seconds()?,
            "rounds" => self.rounds = value.parse()?,
            "round-seconds" => self.round = seconds()?,
            "each" => self.each = value.parse()?,
            "seed" => self.seed = value.parse()?,
            "workers" => self.workers = value.parse()?,
            "channels" => self.channels = value.parse()?,
            "subscribers" => self.subscribers = value.parse()?,
            "growth-mb" => self.growth = value.parse::<u64>()? << 20,
            "tell" => self.tell = seconds()?,
            "park" => {
                self.park = match value {
                    "on" => true,
                    "off" => false,
                    _ => bail!("must be on or off"),
                }
            }
            "events" => {
                let named = |name| Event::named(name).with_context(|| format!("no event {name}"));
                self.events = value.split(',').map(named).collect::<Result<_>>()?;
            }
            _ => bail!("there is no such option"),
        }
        ensure!(!self.events.is_empty(), "must name an event");
        ensure!(
            self.workers > 0 && self.channels > 0 && self.subscribers > 0 && self.each > 0,
            "must be at least 1"
        );
        Ok(())
    }

    /// The events that this build of the module allows.
    pub fn events(&self) -> Vec<Event> {
        let mut events = self.events.clone();
        events.retain(|event| self.fault || !matches!(event, Event::Fault | Event::Panic));
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_bad_ones_refused() {
        let mut options = Options::default();
        options.set("events", "kill,fault,panic").unwrap();
        options.set("seconds", "1.5").unwrap();
        options.set("park", "off").unwrap();
        assert_eq!(
            options.events(),
            [Event::Kill],
            "no fault without its module"
        );
        options.fault = true;
        assert_eq!(options.events(), [Event::Kill, Event::Fault, Event::Panic]);
        assert_eq!(options.time, Duration::from_millis(1500));
        for (name, value) in [
            ("events", "rain"),
            ("workers", "0"),
            ("rains", "1"),
            ("park", "?"),
        ] {
            assert!(options.set(name, value).is_err(), "{name} {value}");
        }
    }
}
