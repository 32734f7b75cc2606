//! The shapes: what programs do with memory, each by itself.
//!
//! All draw their random numbers from fixed seeds, so every allocator gets the same requests; where
//! threads meet, the order may differ.

mod batches;
mod big;
mod churn;
mod grow;
mod handoff;
mod larson;
mod maps;
mod pairs;
mod shrink;
mod xmalloc;

use crate::crew::Done;
use crate::plan::Plan;

/// A kind of work.
pub struct Shape {
    /// As on the command line and in the figures.
    pub name: &'static str,
    /// Does it.
    pub run: fn(&Plan) -> Done,
}

/// All of them.
pub const SHAPES: [Shape; 12] = [
    Shape { name: "churn", run: churn::run },
    Shape { name: "larson", run: larson::run },
    Shape { name: "handoff", run: handoff::run },
    Shape { name: "xmalloc", run: xmalloc::run },
    Shape { name: "lifo", run: batches::run_lifo },
    Shape { name: "fifo", run: batches::run_fifo },
    Shape { name: "pairs", run: pairs::run },
    Shape { name: "btree", run: maps::run_tree },
    Shape { name: "hash", run: maps::run_hash },
    Shape { name: "realloc", run: grow::run },
    Shape { name: "big", run: big::run },
    Shape { name: "shrink", run: shrink::run },
];
