//! Putting an image's pages where they belong: one mapping for each of its runs.
#![allow(unsafe_code, reason = "maps files over parts of the arena")]

use crate::arena::Arena;
use crate::base::{CELL_SIZE, CellIndex, PAGES_PER_CELL, PageRun};
use crate::image::SegmentReader;
use crate::os::{DiskFile, map};
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;

/// Where a run of an image goes: whole cells, of which the first bytes come from the file.
#[derive(Clone, Copy, Debug)]
pub struct Placement {
    /// The first cell.
    pub first: CellIndex,
    /// How many cells the run reaches into.
    pub cells: u32,
    /// Where the run lies in the file, in bytes.
    pub offset: u64,
    /// Its length in bytes.
    pub len: usize,
}

/// Why an image has no place in the arena.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// The snapshot has deltas, which this build cannot lay over the full segment.
    #[error(
        "{}: the snapshot consists of {segments} segments, and this build restores a full one \
         only: open it with the stillheap that wrote it", path.display()
    )]
    Deltas {
        /// The full segment's file.
        path: PathBuf,
        /// Segments in the snapshot's chain.
        segments: usize,
    },
    /// A run does not start at a cell, or shares a cell with the run before it.
    #[error(
        "{}: the run of {} pages from page {} on does not start at a cell of its own",
        path.display(), run.count, run.first.0
    )]
    Misplaced {
        /// The segment's file.
        path: PathBuf,
        /// The run.
        run: PageRun,
    },
}

/// Where the runs of a snapshot go.
///
/// # Errors
/// See [`PlaceError`].
///
/// # Panics
/// If the chain is empty, which no sound snapshot's is.
pub fn placements<F: crate::os::File>(
    chain: &[SegmentReader<F>],
) -> Result<Vec<Placement>, PlaceError> {
    let segment = &chain[0];
    if chain.len() > 1 {
        let path = segment.path().to_owned();
        return Err(PlaceError::Deltas { path, segments: chain.len() });
    }
    let mut next_free = 0;
    let mut placements = Vec::new();
    for extent in segment.extents() {
        let run = extent.run;
        let first = CellIndex(run.first.0 / PAGES_PER_CELL);
        let cells = run.count.div_ceil(PAGES_PER_CELL);
        if first.first_page() != run.first || first.0 < next_free {
            return Err(PlaceError::Misplaced { path: segment.path().to_owned(), run });
        }
        next_free = first.0 + cells;
        placements.push(Placement { first, cells, offset: extent.offset, len: run.byte_len() });
    }
    Ok(placements)
}

impl Placement {
    /// Maps the run's bytes from the file, and gives the rest of its cells fresh memory.
    /// Allocates nothing.
    ///
    /// # Errors
    /// What the system says.
    ///
    /// # Safety
    /// The cells are not live, and no other thread can claim them meanwhile. The file is an
    /// immutable segment that has these bytes, and stays as it is.
    pub unsafe fn map(&self, arena: &Arena, file: &DiskFile) -> io::Result<()> {
        let start = arena.base() + self.first.offset();
        // SAFETY: the cells are nobody's, says the caller, and the file stays as it is.
        unsafe { map::map_file(start, self.len, file.as_fd(), self.offset)? };
        let rest = self.cells as usize * CELL_SIZE - self.len;
        if rest > 0 {
            // SAFETY: bare address space of the arena behind the mapping.
            unsafe { map::commit(start + self.len, rest)? };
            map::advise_huge(start + self.len, rest, true);
        }
        Ok(())
    }
}
