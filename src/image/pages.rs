//! Reading a chain's pages one after the other: a frame that has been decoded is kept for the
//! pages that follow in it.

use super::{
    chain::{Chain, InForce},
    frame::Slot,
    segment_error::SegmentError,
    segment_reader::{FrameBuffer, SegmentReader},
};
use crate::{
    base::{PAGE_SIZE, crc32},
    os::File,
};

/// A reader of pages in force.
#[derive(Debug)]
pub struct Pages<'a, F> {
    chain: &'a Chain<F>,
    /// The segment and frame that `frame` holds.
    kept: Option<(usize, u32)>,
    frame: FrameBuffer,
    page: Vec<u8>,
}

impl<F: File> Chain<F> {
    /// A reader of this chain's pages.
    #[must_use]
    pub fn pages(&self) -> Pages<'_, F> {
        Pages { chain: self, kept: None, frame: FrameBuffer::default(), page: Vec::new() }
    }
}

impl<F: File> Pages<'_, F> {
    /// The bytes of a page that the chain has, verified.
    ///
    /// # Errors
    /// If they cannot be read, or are damaged.
    pub fn read(&mut self, page: InForce) -> Result<&[u8], SegmentError> {
        let reader = &self.chain.segments()[page.segment];
        let bytes: &[u8] = match reader.offset_of(page.place) {
            Some(offset) => {
                self.page.resize(PAGE_SIZE, 0);
                reader.read(offset, &mut self.page)?;
                &self.page
            }
            None => self.decoded(page)?,
        };
        check(reader, page, bytes)?;
        Ok(bytes)
    }

    /// Whether `next` is the page after `last`, and lies after it in the same file, or is
    /// compressed there as that is.
    #[must_use]
    pub fn follows(&self, last: &InForce, next: &InForce) -> bool {
        let offset = |page: &InForce| self.chain.segments()[page.segment].offset_of(page.place);
        last.segment == next.segment
            && last.page.0.checked_add(1) == Some(next.page.0)
            && offset(last).map(|at| at + PAGE_SIZE as u64) == offset(next)
    }

    /// Fills `target` with pages of which each [follows](Self::follows) the one before, verified.
    ///
    /// # Errors
    /// If they cannot be read, or are damaged.
    pub fn read_into(&mut self, run: &[InForce], target: &mut [u8]) -> Result<(), SegmentError> {
        let Some(&first) = run.first() else { return Ok(()) };
        let reader = &self.chain.segments()[first.segment];
        let Some(offset) = reader.offset_of(first.place) else {
            for (page, bytes) in run.iter().zip(target.chunks_exact_mut(PAGE_SIZE)) {
                bytes.copy_from_slice(self.read(*page)?);
            }
            return Ok(());
        };
        reader.read(offset, target)?;
        for (page, bytes) in run.iter().zip(target.chunks_exact(PAGE_SIZE)) {
            check(reader, *page, bytes)?;
        }
        Ok(())
    }

    fn decoded(&mut self, page: InForce) -> Result<&[u8], SegmentError> {
        let reader = &self.chain.segments()[page.segment];
        let slot = reader.slot_of(page.place).unwrap_or(Slot { frame: 0, slot: 0 });
        let key = Some((page.segment, slot.frame));
        if self.kept != key {
            self.kept = None;
            if let Some(frame) = reader.frames().get(slot.frame as usize) {
                reader.frame_pages(frame, &mut self.frame)?;
            }
            self.kept = key;
        }
        let start = slot.slot as usize * PAGE_SIZE;
        Ok(self.frame.decoded().get(start..start + PAGE_SIZE).unwrap_or_default())
    }
}

/// Whether these are the page's bytes.
fn check<F: File>(
    reader: &SegmentReader<F>,
    page: InForce,
    bytes: &[u8],
) -> Result<(), SegmentError> {
    let expected = reader.index().get(page.place).map_or(0, |entry| entry.crc);
    let found = crc32(bytes);
    if found == expected {
        return Ok(());
    }
    let offset = reader.offset_of(page.place).unwrap_or(0);
    let path = reader.path().to_owned();
    Err(SegmentError::Page { path, page: page.page, offset, expected, found })
}
