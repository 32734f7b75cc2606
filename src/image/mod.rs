//! The file format: bytes and offsets, never a pointer into the arena. Imports `base` and
//! `os`; `FORMAT.md` beside this file specifies every byte.
//!
//! - `identity`: which heap, at which base, on which machine
//! - `manifest`, `manifest_bytes`: which segments make up which snapshots; the commit point
//! - `header`, `extent`, `index`, `frame`, `compression`: the parts of a segment
//! - `segment_info`, `segment_writer`, `packing`: a segment's way to the disk; `segment_file`,
//!   `segment_reader`, `by_frame`, `read_ahead`, `verify`, `segment_error`: and back
//! - `chain`, `pages`: a snapshot's segments together; `merge`: several of them made one
//! - `portable`: a snapshot as one file, and back
//! - `choose`: the newest sound snapshot of a directory
//! - `names`: file names, and what a directory's names say about it
//! - `codec`: little-endian fields with offsets
//!
//! Readers are total: any bytes in any file give an error or a sound image.

mod by_frame;
mod chain;
mod choose;
mod codec;
mod compression;
mod extent;
mod frame;
mod header;
mod identity;
mod index;
mod manifest;
mod manifest_bytes;
mod merge;
mod names;
mod packing;
mod pages;
mod portable;
mod read_ahead;
mod segment_error;
mod segment_file;
mod segment_info;
mod segment_reader;
mod segment_writer;
mod verify;

pub use by_frame::ByFrame;
pub use chain::{Chain, InForce, Merged};
pub use choose::{Choice, ChooseError, Skipped, Sound, Wish, choose, choose_as};
pub use codec::Defect;
pub use compression::{Codec, Compression};
pub use extent::Extent;
pub use frame::Frame;
pub use header::{Layout, SegmentHeader};
pub use identity::{FORMAT_VERSION, Host, Identity, Machine, Mismatch};
pub use index::{Index, IndexEntry};
pub use manifest::{CommitError, Manifest, ManifestError, SegmentRecord, SnapshotRecord};
pub use names::{
    Contents, InspectError, MANIFEST_NAME, SegmentKind, SegmentNumber, inspect, leftovers,
};
pub use pages::Pages;
pub use portable::{ExportError, ImportError, export, import};
pub use segment_error::SegmentError;
pub use segment_info::{SegmentInfo, SegmentSummary, WriteError, Written};
pub use segment_reader::SegmentReader;
pub use segment_writer::{FinishedSegment, SegmentWriter};
pub use verify::VerifyReport;
