//! A part of a file, page by page from the front, and fetched many at a time.

use super::{segment_error::SegmentError, segment_file::SegmentFile};
use crate::{base::PAGE_SIZE, os::File};
use std::ops::Range;

/// Bytes that are fetched with one call.
const WINDOW: u64 = 256 * PAGE_SIZE as u64;

/// A reader of the pages up to an end.
#[derive(Debug)]
pub(super) struct ReadAhead<'a, F> {
    file: &'a SegmentFile<F>,
    /// Where the part ends in the file.
    end: u64,
    /// What has been fetched.
    window: Range<u64>,
    is_mapped: bool,
    /// The window's bytes, if they are not mapped.
    bytes: Vec<u8>,
}

impl<'a, F: File> ReadAhead<'a, F> {
    /// A reader of pages that lie before `end`.
    pub(super) fn new(file: &'a SegmentFile<F>, end: u64) -> Self {
        Self { file, end, window: 0..0, is_mapped: false, bytes: Vec::new() }
    }

    /// The page at `offset`; what is asked for next should lie behind it.
    ///
    /// # Errors
    /// If it, or another that was to be read with it, cannot be read.
    pub(super) fn page(&mut self, offset: u64) -> Result<&[u8], SegmentError> {
        if !self.window.contains(&offset) {
            self.window = 0..0;
            let next = offset..self.end.min(offset + WINDOW);
            self.is_mapped = self.file.is_fetched(&next);
            if !self.is_mapped {
                self.file.bytes_read(&next, &mut self.bytes)?;
            }
            self.window = next;
        }
        if self.is_mapped {
            return Ok(self.file.part(&(offset..offset + PAGE_SIZE as u64)));
        }
        let at = usize::try_from(offset - self.window.start).unwrap_or(usize::MAX);
        Ok(self.bytes.get(at..).and_then(|rest| rest.get(..PAGE_SIZE)).unwrap_or_default())
    }
}
