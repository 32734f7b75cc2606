//! The shapes of the bench `alloc`, and what the programs that run them have in common: one
//! program for each allocator, since a program has one global allocator.
//!
//! Nothing here knows which allocator it runs on.

mod block;
mod child;
mod crew;
mod dirty;
mod memory;
mod plan;
#[path = "../../shared/random.rs"]
mod random;
mod shapes;
mod sizes;

pub use child::run;
pub use dirty::{INTERVALS, MIXES, Part, PartOf, RootChange, set_huge_pages};
pub use shapes::SHAPES;

/// What a program that cannot go on says.
pub type Error = Box<dyn std::error::Error>;
