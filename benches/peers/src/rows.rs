//! The ways to open a heap of stillheap that are measured. To measure another, add a row.

use stillheap::{Compression, Options, Restore};

/// The row that brief figures are about.
pub const OURS: &str = "ours";

/// A way to open a heap.
pub struct Row {
    /// As it stands in results.
    pub name: &'static str,
    /// For the run that saves, and for those that come back.
    pub options: Options,
}

/// All of them. One snapshot is kept, as the others keep one copy.
#[must_use]
pub fn rows() -> Vec<Row> {
    let options = || Options::new().keep(1).restart_on_collision(true);
    let lz4 = options().compression(Compression::Lz4, Compression::Lz4);
    vec![
        Row { name: OURS, options: options() },
        Row { name: "ours_background", options: options().restore(Restore::Background) },
        Row { name: "ours_load", options: options().restore(Restore::Load) },
        Row { name: "ours_lz4", options: lz4 },
    ]
}
