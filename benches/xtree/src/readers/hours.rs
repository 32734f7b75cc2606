//! How long calls took.

use std::time::Duration;

/// Calls by how long they took, in steps of a sixteenth.
#[derive(Clone, Default)]
pub(crate) struct Hours {
    calls: u64,
    total: Duration,
    longest: Duration,
    /// Calls of a length: its power of two, and the four bits behind the first.
    lengths: Vec<u64>,
}

impl Hours {
    pub(crate) fn note(&mut self, length: Duration) {
        self.calls += 1;
        self.total += length;
        self.longest = self.longest.max(length);
        let place = place(u64::try_from(length.as_nanos()).unwrap_or(u64::MAX));
        if self.lengths.len() <= place {
            self.lengths.resize(place + 1, 0);
        }
        self.lengths[place] += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.total += other.total;
        self.longest = self.longest.max(other.longest);
        self.lengths.resize(self.lengths.len().max(other.lengths.len()), 0);
        self.lengths.iter_mut().zip(&other.lengths).for_each(|(sum, more)| *sum += more);
    }

    pub(crate) fn calls(&self) -> u64 {
        self.calls
    }

    /// Nanoseconds.
    pub(crate) fn mean(&self) -> f64 {
        self.total.as_secs_f64() * 1e9 / self.calls as f64
    }

    /// Nanoseconds that all but one call in a thousand stay below.
    fn of_thousand(&self) -> u64 {
        let mut beyond = self.calls / 1000;
        for (place, &calls) in self.lengths.iter().enumerate().rev() {
            if calls > beyond {
                return end(place);
            }
            beyond -= calls;
        }
        0
    }

    pub(crate) fn print(&self, name: &str, time: Duration) {
        if self.calls == 0 {
            return;
        }
        println!("metric {name} {:.0} calls/s", self.calls as f64 / time.as_secs_f64());
        println!("metric {name}_p99.9 {:.1} us", self.of_thousand() as f64 / 1e3);
        println!("metric {name}_longest {:.1} us", self.longest.as_secs_f64() * 1e6);
    }
}

fn place(nanoseconds: u64) -> usize {
    let length = nanoseconds.max(16);
    let power = length.ilog2();
    (power as usize - 4) * 16 + (length >> (power - 4)) as usize - 16
}

/// The first length that is too long for a place.
fn end(place: usize) -> u64 {
    (place as u64 % 16 + 17) << (place / 16)
}
