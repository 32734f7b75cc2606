//! Reading a chain's pages one after the other: a frame that has been decoded is kept for the
//! pages that follow in it.

use super::{
    chain::{Chain, InForce},
    frame::Slot,
    segment_error::SegmentError,
};
use crate::{
    base::{PAGE_SIZE, crc32},
    os::File,
};

/// A reader of pages in force.
#[derive(Debug)]
pub struct Pages<'a, F> {
    chain: &'a Chain<F>,
    /// The segment and frame that `decoded` holds.
    kept: Option<(usize, u32)>,
    decoded: Vec<u8>,
}

impl<F: File> Chain<F> {
    /// A reader of this chain's pages.
    #[must_use]
    pub fn pages(&self) -> Pages<'_, F> {
        Pages { chain: self, kept: None, decoded: Vec::new() }
    }
}

impl<F: File> Pages<'_, F> {
    /// The bytes of a page that the chain has, verified.
    ///
    /// # Errors
    /// If they are damaged.
    pub fn read(&mut self, page: InForce) -> Result<&[u8], SegmentError> {
        let reader = &self.chain.segments()[page.segment];
        let expected = reader.index().get(page.place).map_or(0, |entry| entry.crc);
        let offset = reader.offset_of(page.place);
        let bytes: &[u8] = match reader.raw_page(page.place) {
            Some(bytes) => bytes,
            None => self.decoded(page)?,
        };
        let found = crc32(bytes);
        if found == expected {
            return Ok(bytes);
        }
        let (path, offset) = (reader.path().to_owned(), offset.unwrap_or(0));
        Err(SegmentError::Page { path, page: page.page, offset, expected, found })
    }

    fn decoded(&mut self, page: InForce) -> Result<&[u8], SegmentError> {
        let reader = &self.chain.segments()[page.segment];
        let slot = reader.slot_of(page.place).unwrap_or(Slot { frame: 0, slot: 0 });
        let key = Some((page.segment, slot.frame));
        if self.kept != key {
            self.kept = None;
            if let Some(frame) = reader.frames().get(slot.frame as usize) {
                reader.frame_pages(frame, &mut self.decoded)?;
            }
            self.kept = key;
        }
        let start = slot.slot as usize * PAGE_SIZE;
        Ok(self.decoded.get(start..start + PAGE_SIZE).unwrap_or_default())
    }
}
