//! The index: for each page that a segment saved, its number, CRC-32 and 128-bit digest.
//!
//! Invariant: page numbers rise strictly.

use super::codec::{Defect, check};
use crate::base::{Digest, PageIndex, RunSet, crc32};
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
        self.get(self.place_of(page)?)
    }

    /// The entry with that place in the index.
    #[must_use]
    pub fn get(&self, place: usize) -> Option<IndexEntry> {
        self.entries.get(place).map(IndexEntry::from_bytes)
    }

    /// The place of a page's entry, if it was saved.
    #[must_use]
    pub fn place_of(&self, page: PageIndex) -> Option<usize> {
        self.entries.binary_search_by_key(&page, page_of).ok()
    }

    /// The places of the entries of the pages in a range of page numbers.
    #[must_use]
    pub fn places_within(&self, pages: &Range<u64>) -> Range<usize> {
        let below =
            |limit: u64| self.entries.partition_point(|entry| u64::from(page_of(entry).0) < limit);
        below(pages.start)..below(pages.end)
    }

    /// The entries of the pages in a range of page numbers.
    pub(super) fn within(&self, pages: &Range<u64>) -> Self {
        Self { entries: &self.entries[self.places_within(pages)] }
    }

    /// The index in these bytes, a whole number of entries.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { entries: bytes.as_chunks().0 }
    }

    /// Checks that all pages are among those that a segment may save. They rise, as [`Order`]
    /// has found. `offset` is the index's place in the file.
    pub(super) fn check(&self, allowed: &RunSet, offset: u64) -> Result<(), Defect> {
        let at = |place: usize| offset + (place * ENTRY_LEN) as u64;
        // Both rise: a run's entries are a part of the index, and together they have to be all.
        let mut checked = 0;
        for run in allowed.iter() {
            let places = self.places_within(&run.pages());
            if places.start > checked {
                break;
            }
            checked = places.end;
        }
        match self.get(checked) {
            None => Ok(()),
            Some(entry) => {
                check(false, "index page", at(checked), "one that may be saved", entry.page.0)
            }
        }
    }
}

/// Checks that pages rise, part by part.
#[derive(Debug)]
pub(super) struct Order {
    /// Where the next part lies in the file.
    offset: u64,
    /// What its first page must be at least.
    above: u64,
    defect: Option<Defect>,
}

impl Order {
    /// For an index with that place in the file.
    pub(super) fn new(offset: u64) -> Self {
        Self { offset, above: 0, defect: None }
    }

    /// Looks at the next entries.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        for entry in bytes.as_chunks().0 {
            let page = u64::from(page_of(entry).0);
            if page < self.above && self.defect.is_none() {
                let expected = format_args!("at least {}", self.above);
                self.defect = Some(Defect::new("index page", self.offset, expected, page));
            }
            self.above = page + 1;
            self.offset += ENTRY_LEN as u64;
        }
    }

    /// What was found.
    ///
    /// # Errors
    /// For the first entry whose page is not above the one before.
    pub(super) fn check(self) -> Result<(), Defect> {
        self.defect.map_or(Ok(()), Err)
    }
}

impl IndexEntry {
    /// The entry for a page with these bytes, whose digest is known.
    #[must_use]
    pub fn of(page: PageIndex, bytes: &[u8], digest: Digest) -> Self {
        Self { page, crc: crc32(bytes), digest }
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
    use crate::base::{PAGE_SIZE, PageRun, digest};

    fn entry(number: u32) -> IndexEntry {
        let page = [7; PAGE_SIZE];
        IndexEntry::of(PageIndex(number), &page, digest(&page))
    }

    fn entries(pages: &[u32]) -> Vec<[u8; ENTRY_LEN]> {
        pages.iter().map(|&number| entry(number).to_bytes()).collect()
    }

    #[test]
    fn entries_are_found() {
        let bytes = entries(&[3, 5, 9]);
        let index = Index::new(bytes.as_flattened());
        assert_eq!((index.len(), index.is_empty()), (3, false));
        assert_eq!(index.find(PageIndex(5)), Some(entry(5)));
        assert_eq!(index.place_of(PageIndex(9)), Some(2));
        assert_eq!(index.find(PageIndex(4)), None);
        assert_eq!(index.within(&(4..9)).iter().map(|entry| entry.page.0).collect::<Vec<_>>(), [5]);
    }

    #[test]
    fn order_and_runs_are_checked() {
        let run = |first, count| PageRun { first: PageIndex(first), count };
        let allowed = RunSet::of([run(3, 4), run(10, 1), run(20, 2)]);
        let defect = |pages: &[u32]| {
            let entries = entries(pages);
            let mut order = Order::new(100);
            entries.chunks(2).for_each(|part| order.take(part.as_flattened()));
            let checked = order.check();
            let index = Index::new(entries.as_flattened());
            checked.and_then(|()| index.check(&allowed, 100)).map_err(|defect| defect.offset)
        };
        assert_eq!(defect(&[3, 4, 6, 21]), Ok(()));
        assert_eq!(defect(&[20]), Ok(()));
        assert_eq!(defect(&[]), Ok(()));
        assert_eq!(defect(&[3, 3]), Err(124));
        assert_eq!(defect(&[4, 3]), Err(124));
        assert_eq!(defect(&[3, 4, 4, 3]), Err(148));
        assert_eq!(defect(&[3, 7, 10]), Err(124));
        assert_eq!(defect(&[2]), Err(100));
        assert_eq!(defect(&[3, 10, 22]), Err(148));
    }
}
