//! The ways to open a heap of stillheap that are measured. To measure another, add a row.

use stillheap::Options;

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
    vec![Row { name: OURS, options: options() }]
}
