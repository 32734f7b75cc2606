//! Whether a delta will be much smaller than the heap: if not, a full segment is the better
//! choice, which needs no chain.

use crate::snapshot::SaveCounts;

/// What tells whether a delta will be much smaller than the heap.
#[derive(Clone, Copy, Debug)]
pub(super) struct Forecast {
    /// Pages of the heap.
    pub(super) in_use: u64,
    /// Pages in the units that had been dirtied by the last freeze.
    pub(super) dirtied: u64,
    /// The part of such pages that differed, in the last snapshot.
    share: f64,
}

impl Forecast {
    /// Before anything is known, half of what has been dirtied is taken to differ.
    pub(super) fn new() -> Self {
        Self { in_use: 0, dirtied: 0, share: 0.5 }
    }

    /// Whether a delta can be expected to hold at most half of the heap.
    pub(super) fn is_small(&self) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "a forecast")]
        let (dirtied, in_use) = (self.dirtied as f64, self.in_use as f64);
        dirtied * self.share <= in_use / 2.0
    }

    pub(super) fn learn(&mut self, counts: &SaveCounts, has_parent: bool) {
        self.in_use = counts.in_use;
        if has_parent && self.dirtied > 0 {
            #[expect(clippy::cast_precision_loss, reason = "a forecast")]
            let share = counts.differing as f64 / self.dirtied as f64;
            self.share = share.min(1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_deltas_are_foreseen() {
        let mut forecast = Forecast::new();
        (forecast.in_use, forecast.dirtied) = (1000, 1000);
        assert!(forecast.is_small(), "as nothing is known yet");
        let counts = SaveCounts { differing: 800, in_use: 1000, ..SaveCounts::default() };
        forecast.learn(&counts, true);
        assert!(!forecast.is_small());
        forecast.dirtied = 600;
        assert!(forecast.is_small());
        forecast.learn(&SaveCounts { differing: 600, ..counts }, false);
        assert!(forecast.is_small(), "a snapshot without one before it tells nothing");
    }
}
