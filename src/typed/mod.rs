//! What durable memory looks like to a typed program: tracked values and blocks of rows,
//! whose every write is announced to the ledger.

mod branch;
mod layout;
mod rows;
mod rows_mut;
mod tracked;

pub use branch::{Branch, BranchReach};
pub use rows::{Key, Rows};
pub use rows_mut::{Reach, RowsMut};
pub use tracked::{Tracked, TrackedMut};
