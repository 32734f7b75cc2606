//! The X-tree: an index of points and boxes, written on this crate's public API alone.
//!
//! Berchtold, Keim, Kriegel: "The X-tree: An Index Structure for High-Dimensional Data", VLDB 1996,
//! on top of Beckmann, Kriegel, Schneider, Seeger: "The R*-tree: An Efficient and Robust Access
//! Method for Points and Rectangles", SIGMOD 1990. Each algorithm has a file of its own.
//!
//! Invariants, which `validate` checks: every leaf is equally deep; a box in an inner node is the
//! exact union of what lies below it; every node but the root is filled to its least; inner nodes
//! have at least two children; the tree's length is the number of entries.
#![forbid(unsafe_code)]

mod ask;
mod bulk;
mod choose;
mod deal;
mod entries;
mod extract;
mod filter;
mod great_circle;
mod insert;
mod join;
mod levels;
mod metric;
mod nearest;
mod nearest_first;
mod node;
mod queue;
mod rect;
mod relocate;
mod remove;
mod scalar;
mod scan;
mod search;
mod split;
mod stats;
mod traits;
mod tree;
mod tuning;
mod validate;

pub use bulk::BulkLoad;
pub use entries::{IntoIter, ValueMut};
pub use filter::{All, Around, Exactly, Filter, Inside, Meeting, WithinDistance};
pub use great_circle::{GlobePoint, GreatCircle};
pub use join::Join;
pub use metric::{Euclidean, EuclideanSquared, Metric};
pub use nearest::Neighbour;
pub use nearest_first::NearestFirst;
pub use rect::{Rect, RectError};
pub use scalar::Scalar;
pub use search::{Iter, Search};
pub use stats::{LevelStats, TreeStats};
pub use tree::XTree;
pub use tuning::Tuning;
pub use validate::Invalid;
