//! Sums of blocks, by the memory that they lie in.

use crate::arena::Purpose;
use crate::trace::Block;

/// Blocks, and their bytes: those of size classes, not what was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Amount {
    /// How many blocks.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Blocks by the memory that they lie in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Allocated outside scopes.
    pub ambient: Amount,
    /// Allocated inside scopes.
    pub scoped: Amount,
    /// Tracked.
    pub tracked: Amount,
}

impl Tally {
    /// Adds a block.
    pub fn add(&mut self, block: &Block) {
        let amount = self.amount(block.purpose);
        amount.blocks += 1;
        amount.bytes += block.len;
    }

    /// Takes a block out that was added.
    pub fn subtract(&mut self, block: &Block) {
        let amount = self.amount(block.purpose);
        amount.blocks -= 1;
        amount.bytes -= block.len;
    }

    fn amount(&mut self, purpose: Purpose) -> &mut Amount {
        match purpose {
            Purpose::Ambient => &mut self.ambient,
            Purpose::Scoped => &mut self.scoped,
            Purpose::Tracked => &mut self.tracked,
        }
    }

    /// All together.
    #[must_use]
    pub fn all(&self) -> Amount {
        [self.ambient, self.scoped, self.tracked].iter().fold(Amount::default(), |sum, amount| {
            Amount { blocks: sum.blocks + amount.blocks, bytes: sum.bytes + amount.bytes }
        })
    }
}
