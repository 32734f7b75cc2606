//! Operations on an X-tree beside a naive list, in as many dimensions as the first byte says.

use crate::xtree_support::operations;

/// What an input may have of bytes: each step is checked as a whole, and few make a tall tree.
const BYTES: usize = 2048;

/// Runs the operations that `data` spells.
pub fn run(data: &[u8]) {
    let Some((dimensions, operations)) = data.split_first() else { return };
    let operations = &operations[..operations.len().min(BYTES)];
    match dimensions % 5 {
        0 => operations::run::<1>(operations),
        1 => operations::run::<2>(operations),
        2 => operations::run::<3>(operations),
        3 => operations::run::<8>(operations),
        _ => operations::run::<16>(operations),
    };
}
