//! What is copied out of segments' files, read in before anything is copied: with few calls, and
//! with an error where a look through the mapping would end the process.

use crate::base::PAGE_SIZE;
use crate::image::{Chain, SegmentError};
use crate::os::File;
use std::mem;
use std::ops::Range;

/// Parts that lie less than this apart in a file are read in with one call.
const GAP: u64 = 16 * PAGE_SIZE as u64;

/// Parts of the files of a chain's segments.
pub(super) struct Sources<'a, F> {
    chain: &'a Chain<F>,
    /// The last part of each segment, which may go on.
    parts: Vec<Range<u64>>,
}

impl<'a, F: File> Sources<'a, F> {
    pub(super) fn new(chain: &'a Chain<F>) -> Self {
        Self { chain, parts: vec![0..0; chain.segments().len()] }
    }

    /// Adds pages that lie in a row.
    ///
    /// # Errors
    /// If pages that were added before cannot be read.
    pub(super) fn add(
        &mut self,
        segment: usize,
        offset: u64,
        pages: usize,
    ) -> Result<(), SegmentError> {
        let part = &mut self.parts[segment];
        let end = offset + (pages * PAGE_SIZE) as u64;
        if (part.end..part.end + GAP).contains(&offset) {
            part.end = end;
            return Ok(());
        }
        let part = mem::replace(part, offset..end);
        self.chain.segments()[segment].fetch(&part)
    }

    /// Reads in what has not been yet.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn fetch(self) -> Result<(), SegmentError> {
        self.chain
            .segments()
            .iter()
            .zip(&self.parts)
            .try_for_each(|(segment, part)| segment.fetch(part))
    }
}
