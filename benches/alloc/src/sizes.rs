//! Random sizes of blocks, drawn from a table so that drawing costs little.

use crate::random::Random;
use std::ops::Range;

const ENTRIES: usize = 1024;

/// Sizes in words of eight bytes.
pub(crate) struct Sizes([u32; ENTRIES]);

impl Sizes {
    /// Each power of two between these bounds, in bytes, is as likely as any other.
    pub(crate) fn log_uniform(bytes: Range<u32>, random: &mut Random) -> Self {
        Self::mixed(bytes.clone(), bytes, 0, random)
    }

    /// The same; but `rare` in `ENTRIES` lie between the second bounds.
    pub(crate) fn mixed(
        bytes: Range<u32>,
        rare_bytes: Range<u32>,
        rare: usize,
        random: &mut Random,
    ) -> Self {
        let mut draw = |bytes: &Range<u32>| {
            let (low, high) = (f64::from(bytes.start).ln(), f64::from(bytes.end).ln());
            let size = (low + (high - low) * random.unit()).exp();
            (size as u32).div_ceil(8).max(1)
        };
        Self(std::array::from_fn(|entry| draw(if entry < rare { &rare_bytes } else { &bytes })))
    }

    /// One of them.
    #[inline]
    pub(crate) fn draw(&self, random: &mut Random) -> usize {
        self.0[random.below(ENTRIES)] as usize
    }
}
