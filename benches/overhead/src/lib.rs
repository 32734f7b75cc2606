//! The workloads of the bench `overhead`, and what both programs that run them have in common.
//!
//! The workloads' code is the same under all allocators: where the data lives is behind
//! [`Home`].

mod dice;
mod run;
mod table;
mod trees;

pub use run::{Durations, Home, Kept, Local, Settings, Workload, measure};
pub use table::Table;
pub use trees::{Inserts, Mixed};

/// What a program that cannot go on says.
pub type Error = Box<dyn std::error::Error>;
