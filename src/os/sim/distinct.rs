//! Telling states apart, without keeping them.

use super::crash::CrashState;
use crate::base::Digest;
use std::collections::HashSet;

/// The states that have been seen: 16 bytes of each.
#[derive(Debug, Clone, Default)]
pub struct Distinct {
    seen: HashSet<Digest>,
}

impl Distinct {
    /// Whether the state was not there yet. Two are the same if they have the same names with
    /// the same bytes.
    pub fn insert(&mut self, state: &CrashState) -> bool {
        self.seen.insert(state.fingerprint())
    }

    /// Adds those that another has seen.
    pub fn extend(&mut self, other: Self) {
        self.seen.extend(other.seen);
    }

    /// How many different ones there were.
    #[must_use]
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// Whether there was none yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }
}
