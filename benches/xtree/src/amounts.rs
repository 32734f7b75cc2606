//! How often each thing is done: so often that it takes rstar seconds, and us some hundredths.

use crate::data::Kind;
use crate::reach::WANTED;

/// Numbers of neighbours that are asked for.
pub(crate) const NEIGHBOURS: [usize; 3] = [1, 10, 100];

#[derive(Clone, Copy)]
pub(crate) struct Amounts {
    /// One for each of `WANTED`.
    pub(crate) windows: [usize; WANTED.len()],
    /// One for each of `NEIGHBOURS`.
    pub(crate) nearest: [usize; NEIGHBOURS.len()],
    pub(crate) moves: usize,
    pub(crate) mixed: usize,
    pub(crate) removals: usize,
}

impl Amounts {
    pub(crate) fn of(kind: Kind, dims: usize, size: usize, is_quick: bool) -> Self {
        let scarce = (1_000_000 / size.max(1)).clamp(1, 50);
        let full = match (dims, kind) {
            (..=2, _) => Self {
                windows: [300_000, 0, 50_000, 1000],
                nearest: [200_000, 100_000, 20_000],
                moves: 300_000,
                mixed: 200_000,
                removals: 1_000_000,
            },
            (3..=8, _) => Self {
                windows: [20_000, 0, 5000, 500],
                nearest: [5000, 2000, 1000],
                moves: 50_000,
                mixed: 10_000,
                removals: 100_000,
            },
            // Queries look at nearly all that there is.
            (_, Kind::Uniform) => Self {
                windows: [200, 0, 100, 30].map(|amount| amount * scarce),
                nearest: [30; NEIGHBOURS.len()].map(|amount| amount * scarce),
                moves: 5000,
                mixed: 50 * scarce,
                removals: 5000,
            },
            _ => Self {
                windows: [5000, 0, 5000, 300],
                nearest: [500; NEIGHBOURS.len()],
                moves: 20_000,
                mixed: 2000,
                removals: 20_000,
            },
        };
        let few = |amount: usize| if is_quick { amount / 10 } else { amount };
        Self {
            windows: full.windows.map(few),
            nearest: full.nearest.map(few),
            moves: few(full.moves).min(size),
            mixed: few(full.mixed),
            removals: full.removals.min(size),
        }
    }
}
