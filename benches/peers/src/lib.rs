//! What the programs of the bench `peers` have in common: the state, where it comes from, how
//! it is asked, and how a child measures.

mod child;
mod dice;
#[cfg(feature = "heap")]
mod rows;
mod source;
mod state;
mod store;

pub use child::{Job, Saved, Task, built, restart, saved, tell};
pub use dice::Dice;
#[cfg(feature = "heap")]
pub use rows::{OURS, Row, rows};
pub use source::{SOURCE, build, parse, write_source};
pub use state::{ArchivedRecord, ArchivedState, Record, State};
pub use store::{Digest, Fields, Look, Store};

/// What a program that cannot go on says.
pub type Error = Box<dyn std::error::Error>;
