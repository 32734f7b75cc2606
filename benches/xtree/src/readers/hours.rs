//! How long calls took.

use crate::histogram::Histogram;
use std::time::Duration;

/// Calls, and the time they took.
pub(crate) struct Hours {
    calls: u64,
    total: Duration,
    longest: Duration,
    lengths: Histogram,
}

impl Hours {
    pub(crate) fn new() -> Self {
        let (total, longest) = (Duration::ZERO, Duration::ZERO);
        Self { calls: 0, total, longest, lengths: Histogram::new() }
    }

    pub(crate) fn note(&mut self, length: Duration) {
        self.calls += 1;
        self.total += length;
        self.longest = self.longest.max(length);
        self.lengths.note(u64::try_from(length.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.total += other.total;
        self.longest = self.longest.max(other.longest);
        self.lengths.add(&other.lengths);
    }

    pub(crate) fn calls(&self) -> u64 {
        self.calls
    }

    /// Nanoseconds.
    pub(crate) fn mean(&self) -> f64 {
        self.total.as_secs_f64() * 1e9 / self.calls as f64
    }

    pub(crate) fn print(&self, name: &str, time: Duration) {
        if self.calls == 0 {
            return;
        }
        println!("metric {name} {:.0} calls/s", self.calls as f64 / time.as_secs_f64());
        println!("metric {name}_p99.9 {:.1} us", self.lengths.quantile(0.999));
        println!("metric {name}_longest {:.1} us", self.longest.as_secs_f64() * 1e6);
    }
}
