//! Extents: the runs of pages whose contents a segment states, and where they lie in its file.
//!
//! Invariants: extents rise and do not overlap; none is empty or passes the arena's end; their
//! pages lie in the file one extent after the other, without a gap, from the data offset to
//! the index offset. So the first page's number and the counts determine all offsets.

use super::codec::{Decoder, Defect, Encoder, check};
use crate::base::{PAGE_SIZE, PageIndex, PageRun};
use std::ops::Range;

/// An extent's bytes in a file.
pub(super) const EXTENT_LEN: usize = 16;

/// A run of pages, and where the first of them lies in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Extent {
    /// The pages.
    pub run: PageRun,
    /// The first page's offset in the file, in bytes; a multiple of the page size.
    pub offset: u64,
}

impl Extent {
    /// Where a page of this extent lies in the file.
    pub(super) fn offset_of(&self, page: PageIndex) -> u64 {
        self.offset + u64::from(page.0 - self.run.first.0) * PAGE_SIZE as u64
    }

    /// The extent's bytes in the file.
    #[must_use]
    pub fn file_range(&self) -> Range<u64> {
        self.offset..self.offset + self.run.byte_len() as u64
    }

    pub(super) fn encode(&self, encoder: &mut Encoder) {
        encoder.u32(self.run.first.0);
        encoder.u32(self.run.count);
        encoder.u64(self.offset);
    }
}

/// The extent that a page lies in.
pub(super) fn find(extents: &[Extent], page: PageIndex) -> Option<&Extent> {
    let after = extents.partition_point(|extent| extent.run.first <= page);
    let extent = extents.get(after.checked_sub(1)?)?;
    extent.run.pages().contains(&u64::from(page.0)).then_some(extent)
}

/// What is wrong with a run of pages as the extent that follows the pages below `above`.
pub(super) fn check_run(run: PageRun, above: u64, page_count: u64) -> Result<(), String> {
    let pages = run.pages();
    if pages.start >= above && run.count > 0 && pages.end <= page_count {
        return Ok(());
    }
    Err(format!("pages from {above} on, at least one, below {page_count}"))
}

/// Reads `count` extents whose pages lie from `data_offset` on. Returns them with the offset
/// after the last one's pages.
pub(super) fn decode_all(
    bytes: &[u8],
    table_offset: u64,
    count: u32,
    data_offset: u64,
    page_count: u64,
) -> Result<(Vec<Extent>, u64), Defect> {
    let mut decoder = Decoder::new(bytes);
    // The caller made sure that the table is as long as `count` says.
    let mut extents = Vec::with_capacity(bytes.len() / EXTENT_LEN);
    let (mut above, mut offset) = (0, data_offset);
    for _ in 0..count {
        let at = table_offset + decoder.offset();
        let first = PageIndex(decoder.u32("extent's first page")?);
        let run = PageRun { first, count: decoder.u32("extent's page count")? };
        check_run(run, above, page_count).map_err(|expected| {
            let found = format_args!("{} from {}", run.count, first.0);
            Defect::new("extent", at, expected, found)
        })?;
        let stored = decoder.u64("extent's file offset")?;
        check(stored == offset, "extent's file offset", at + 8, offset, stored)?;
        extents.push(Extent { run, offset });
        above = run.pages().end;
        // At most 2^32 pages in all, so this stays far below 2^64.
        offset += run.byte_len() as u64;
    }
    Ok((extents, offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(entries: &[(u32, u32, u64)]) -> Vec<u8> {
        let mut encoder = Encoder::default();
        for &(first, count, offset) in entries {
            encoder.u32(first);
            encoder.u32(count);
            encoder.u64(offset);
        }
        encoder.into_bytes()
    }

    fn decode(entries: &[(u32, u32, u64)]) -> Result<(Vec<Extent>, u64), Defect> {
        let count = u32::try_from(entries.len()).unwrap();
        decode_all(&table(entries), 256, count, 4096, 100)
    }

    #[test]
    fn extents_are_packed() {
        let (extents, end) = decode(&[(3, 2, 4096), (5, 1, 12288), (99, 1, 16384)]).unwrap();
        assert_eq!(end, 20480);
        assert_eq!(find(&extents, PageIndex(2)), None);
        assert_eq!(find(&extents, PageIndex(4)).unwrap().offset_of(PageIndex(4)), 8192);
        assert_eq!(find(&extents, PageIndex(5)).unwrap().offset, 12288);
        assert_eq!(find(&extents, PageIndex(6)), None);
        assert_eq!(find(&extents, PageIndex(99)).unwrap().file_range(), 16384..20480);
    }

    #[test]
    fn overlap_order_bounds_and_gaps_are_defects() {
        for bad in [
            &[(3, 2, 4096), (4, 1, 12288)][..],
            &[(3, 1, 4096), (2, 1, 8192)],
            &[(3, 0, 4096)],
            &[(99, 2, 4096)],
            &[(u32::MAX, 2, 4096)],
            &[(3, 1, 8192)],
            &[(3, 1, 4096), (5, 1, 12288)],
        ] {
            assert!(decode(bad).is_err(), "{bad:?}");
        }
    }
}
