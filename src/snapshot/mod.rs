//! Snapshots: saving the arena's pages, committing them, and bringing them back.
//!
//! A snapshot passes through types, so that no step is left out: [`Store::draft`] saves the
//! frozen pages in the window that a freeze has opened, [`Store::commit`] makes the draft
//! durable afterwards. What to save the arena's own tables tell, as they were frozen; nothing
//! here knows of blocks.

mod check;
mod compact;
mod error;
mod forecast;
mod heat;
mod load;
mod plan;
mod policy;
mod restore;
mod save;
mod sieve;
mod sink;
mod sources;
mod store;

pub use check::Unannounced;
pub use compact::{CompactError, Compacted};
pub use error::{RevertError, SaveError, StoreError, VerifyError};
pub use heat::{ChunkUse, hottest_first, uses_in};
pub use plan::CopyMissing;
pub use policy::Policy;
pub use restore::{PlaceError, Placement, Prepared, Way};
pub use save::{Draft, DraftError, SaveCounts};
pub use store::{Opening, Store, host_of};
