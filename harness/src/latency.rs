//! How long things took, told as percentiles.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Microseconds; what takes longer counts as this.
const LONGEST: u64 = 60_000_000;

/// Durations, to a thousandth of each.
#[derive(Debug, Clone)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST, 3);
        Self(histogram.unwrap_or_else(|_| unreachable!("bounds and digits are right")))
    }
}

impl Latencies {
    /// Adds one.
    pub fn add(&mut self, duration: Duration) {
        self.0
            .saturating_record(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    }

    /// Adds all of another.
    pub fn merge(&mut self, other: &Latencies) {
        let _ = self.0.add(&other.0);
    }

    /// So many per cent took no longer, in milliseconds.
    pub fn percentile(&self, percent: f64) -> f64 {
        self.0.value_at_percentile(percent) as f64 / 1000.0
    }

    /// The longest, in milliseconds.
    pub fn longest(&self) -> f64 {
        self.0.max() as f64 / 1000.0
    }
}

/// Nanoseconds of CLOCK_MONOTONIC, which is one clock for all threads.
pub fn now() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the structure is ours and valid for the call.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}
