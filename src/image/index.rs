//! The index: for each page that a segment saved, its number, CRC-32 and 128-bit digest.
//!
//! Invariants: page numbers rise strictly, and each lies in an extent. A page of an extent that
//! the index does not name is all zero.

use super::{
    codec::{Defect, check},
    extent::{Extent, find},
};
use crate::base::{Digest, PAGE_SIZE, PageIndex, crc32, digest};
use std::ops::Range;

/// An entry's bytes in a file.
pub(super) const ENTRY_LEN: usize = 24;

/// A saved page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexEntry {
    /// Which.
    pub page: PageIndex,
    /// The CRC-32 of its bytes: whether they are damaged.
    pub crc: u32,
    /// Their digest: whether they changed.
    pub digest: Digest,
}

/// The saved pages of a segment, by rising number.
#[derive(Debug, Clone, Copy)]
pub struct Index<'a> {
    entries: &'a [[u8; ENTRY_LEN]],
}

impl<'a> Index<'a> {
    /// How many pages were saved.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none was.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All entries.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = IndexEntry> + use<'a> {
        self.entries.iter().map(IndexEntry::from_bytes)
    }

    /// The entry of a page, if it was saved.
    #[must_use]
    pub fn find(&self, page: PageIndex) -> Option<IndexEntry> {
        let place = self.entries.binary_search_by_key(&page, page_of).ok()?;
        self.entries.get(place).map(IndexEntry::from_bytes)
    }

    /// The entries of the pages in a range of page numbers.
    pub(super) fn within(&self, pages: &Range<u64>) -> Self {
        let below =
            |limit: u64| self.entries.partition_point(|entry| u64::from(page_of(entry).0) < limit);
        Self { entries: &self.entries[below(pages.start)..below(pages.end)] }
    }

    /// The index in these bytes, a whole number of entries.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { entries: bytes.as_chunks().0 }
    }

    /// Checks order and extents. `offset` is the index's place in the file.
    pub(super) fn check(&self, extents: &[Extent], offset: u64) -> Result<(), Defect> {
        let mut above = 0;
        for (place, entry) in self.entries.iter().enumerate() {
            let page = page_of(entry);
            let at = offset + (place * ENTRY_LEN) as u64;
            let rising = u64::from(page.0) >= above;
            check(rising, "index page", at, format_args!("at least {above}"), page.0)?;
            check(find(extents, page).is_some(), "index page", at, "one in an extent", page.0)?;
            above = u64::from(page.0) + 1;
        }
        Ok(())
    }
}

impl IndexEntry {
    /// The entry for a page with these bytes.
    pub(super) fn of(page: PageIndex, bytes: &[u8; PAGE_SIZE]) -> Self {
        Self { page, crc: crc32(bytes), digest: digest(bytes) }
    }

    pub(super) fn to_bytes(self) -> [u8; ENTRY_LEN] {
        let mut bytes = [0; ENTRY_LEN];
        bytes[..4].copy_from_slice(&self.page.0.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.crc.to_le_bytes());
        bytes[8..].copy_from_slice(&self.digest.0.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; ENTRY_LEN]) -> Self {
        let [p0, p1, p2, p3, c0, c1, c2, c3, digest @ ..] = *bytes;
        Self {
            page: PageIndex(u32::from_le_bytes([p0, p1, p2, p3])),
            crc: u32::from_le_bytes([c0, c1, c2, c3]),
            digest: Digest(u128::from_le_bytes(digest)),
        }
    }
}

/// The page number of an entry.
pub(super) fn page_of(entry: &[u8; ENTRY_LEN]) -> PageIndex {
    IndexEntry::from_bytes(entry).page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::PageRun;

    fn entries(pages: &[u32]) -> Vec<[u8; ENTRY_LEN]> {
        let page = [7; PAGE_SIZE];
        pages.iter().map(|&number| IndexEntry::of(PageIndex(number), &page).to_bytes()).collect()
    }

    #[test]
    fn entries_are_found() {
        let bytes = entries(&[3, 5, 9]);
        let index = Index::new(bytes.as_flattened());
        assert_eq!((index.len(), index.is_empty()), (3, false));
        assert_eq!(index.find(PageIndex(5)).unwrap(), IndexEntry::of(PageIndex(5), &[7; 4096]));
        assert_eq!(index.find(PageIndex(4)), None);
        assert_eq!(index.within(&(4..9)).iter().map(|entry| entry.page.0).collect::<Vec<_>>(), [5]);
    }

    #[test]
    fn order_and_extents_are_checked() {
        let run = PageRun::new(PageIndex(3), 4).unwrap();
        let extents = [Extent { run, offset: 4096 }];
        let defect = |pages: &[u32]| {
            Index::new(entries(pages).as_flattened()).check(&extents, 100).map_err(|e| e.offset)
        };
        assert_eq!(defect(&[3, 4, 6]), Ok(()));
        assert_eq!(defect(&[3, 3]), Err(124));
        assert_eq!(defect(&[4, 3]), Err(124));
        assert_eq!(defect(&[3, 7]), Err(124));
        assert_eq!(defect(&[2]), Err(100));
    }
}
