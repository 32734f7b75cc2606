//! The file format: bytes and offsets, never a pointer into the arena. Imports `base` and
//! `os`; `FORMAT.md` beside this file specifies every byte.
//!
//! - `identity`: which heap, at which base, on which machine
//! - `manifest`, `manifest_bytes`: which segments make up which snapshots; the commit point
//! - `header`, `extent`, `index`: the parts of a segment
//! - `segment_writer`, `segment_reader`, `verify`: a segment's way to the disk and back
//! - `choose`: the newest sound snapshot of a directory
//! - `names`: file names, and what a directory's names say about it
//! - `codec`: little-endian fields with offsets
//!
//! Readers are total: any bytes in any file give an error or a sound image.

mod choose;
mod codec;
mod extent;
mod header;
mod identity;
mod index;
mod manifest;
mod manifest_bytes;
mod names;
mod segment_reader;
mod segment_writer;
mod verify;

pub use choose::{Chain, Choice, ChooseError, Skipped, Sound, choose, choose_before};
pub use codec::Defect;
pub use extent::Extent;
pub use header::SegmentHeader;
pub use identity::{FORMAT_VERSION, Host, Identity, Machine, Mismatch};
pub use index::{Index, IndexEntry};
pub use manifest::{CommitError, Manifest, ManifestError, SegmentRecord, SnapshotRecord};
pub use names::{
    Contents, InspectError, MANIFEST_NAME, SegmentKind, SegmentNumber, inspect, leftovers,
};
pub use segment_reader::{SegmentError, SegmentReader};
pub use segment_writer::{
    FinishedSegment, SegmentInfo, SegmentSummary, SegmentWriter, WriteError, Written,
};
pub use verify::VerifyReport;
