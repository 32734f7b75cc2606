//! Snapshots: saving the arena's pages, committing them, and bringing them back.
//!
//! A snapshot passes through types, so that no step is left out: [`Store::draft`] takes the
//! pages while the gate is closed, [`Store::commit`] makes the draft durable afterwards.
//! What to save the arena's own tables tell; nothing here knows of blocks.

mod copy;
mod restore;
mod save;
mod store;

pub use restore::{PlaceError, Placement, placements};
pub use save::{Draft, image_runs};
pub use store::{Opening, SaveError, Store, StoreError};
