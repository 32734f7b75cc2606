//! Snapshots: saving the arena's pages, committing them, and bringing them back.
//!
//! A snapshot passes through types, so that no step is left out: [`Store::draft`] saves the
//! frozen pages in the window that a freeze has opened, [`Store::commit`] makes the draft
//! durable afterwards. What to save the arena's own tables tell, as they were frozen; nothing
//! here knows of blocks.

mod heat;
mod plan;
mod restore;
mod save;
mod store;

pub use heat::heat_in;
pub use plan::CopyMissing;
pub use restore::{PlaceError, Placement, placements};
pub use save::{Draft, DraftError, SaveCounts};
pub use store::{Opening, SaveError, Store, StoreError, host_of};
