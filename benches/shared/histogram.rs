//! How long single operations took, by and large.

/// Counts of durations, in steps of an eighth of their size.
pub(crate) struct Histogram {
    counts: [u64; 8 * 64],
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self { counts: [0; 8 * 64] }
    }

    pub(crate) fn note(&mut self, nanoseconds: u64) {
        let power = (nanoseconds | 8).ilog2();
        let eighth = ((nanoseconds | 8) >> (power - 3)) & 7;
        self.counts[(power * 8) as usize + eighth as usize] += 1;
    }

    /// Counts what another has counted, too.
    pub(crate) fn add(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(sum, more)| *sum += more);
    }

    /// The duration that this part of all does not exceed, in microseconds.
    pub(crate) fn quantile(&self, part: f64) -> f64 {
        let total: u64 = self.counts.iter().sum();
        let wanted = (total as f64 * part).ceil() as u64;
        let mut sum = 0;
        let reached = |&count: &u64| {
            sum += count;
            sum >= wanted
        };
        let place = self.counts.iter().position(reached).unwrap_or(0);
        let power = (place / 8) as f64;
        2_f64.powf(power) * (1.0 + (place % 8 + 1) as f64 / 8.0) / 1000.0
    }
}
