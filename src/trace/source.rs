//! Where a snapshot's pages come from.

use crate::arena::TablePage;
use crate::base::{PAGE_SIZE, PageIndex};
use crate::image::{Chain, Pages, SegmentError};
use crate::os::File;

/// A snapshot's pages.
pub trait Source {
    /// Why a page cannot be had.
    type Error;

    /// A page's bytes; `None`: they are zero.
    ///
    /// # Errors
    /// If the page cannot be read, or is damaged.
    fn page(&mut self, page: PageIndex) -> Result<Option<&[u8]>, Self::Error>;

    /// A copy of a page's bytes.
    ///
    /// # Errors
    /// Those of [`Source::page`].
    fn copy(&mut self, page: PageIndex) -> Result<TablePage, Self::Error> {
        let found = self.page(page)?.and_then(|found| found.first_chunk::<PAGE_SIZE>());
        Ok(found.copied().unwrap_or([0; PAGE_SIZE]))
    }
}

/// The pages of a chain of segments. Each is verified as it is read.
#[derive(Debug)]
pub struct ChainSource<'a, F> {
    chain: &'a Chain<F>,
    pages: Pages<'a, F>,
}

impl<'a, F: File> ChainSource<'a, F> {
    /// The pages of that chain.
    ///
    /// # Errors
    /// If the files' tables cannot be read.
    pub fn new(chain: &'a Chain<F>) -> Result<Self, SegmentError> {
        for segment in chain.segments() {
            // They may have left memory since they were looked at.
            let header = segment.header();
            segment.fetch(&(header.tables_offset..header.file_len))?;
        }
        Ok(Self { chain, pages: chain.pages() })
    }
}

impl<F: File> Source for ChainSource<'_, F> {
    type Error = SegmentError;

    fn page(&mut self, page: PageIndex) -> Result<Option<&[u8]>, SegmentError> {
        let Some(found) = self.chain.find(page) else { return Ok(None) };
        let bytes = self.pages.read(found)?;
        Ok((bytes.len() == PAGE_SIZE).then_some(bytes))
    }
}
