//! How much a shape is to do.

use crate::random::Random;

/// Threads and amounts.
pub struct Plan {
    /// Threads that work.
    pub threads: usize,
    /// Part of the full amount that is done.
    pub effort: f64,
}

impl Plan {
    /// What one thread is to do, if one alone did `full` in the full form. From two threads on all
    /// of them together do twice that, so that a run takes no longer on two cores.
    pub(crate) fn amount(&self, full: usize) -> usize {
        let share = (self.threads / 2).max(1) as f64;
        ((full as f64 * self.effort / share) as usize).max(1)
    }

    /// A thread's random numbers.
    pub(crate) fn random(&self, thread: usize) -> Random {
        Random::new(thread as u64)
    }
}
