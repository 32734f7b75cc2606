//! Runs of pages in a file, and extents: where the runs of a placed segment lie in it.
//!
//! Invariants: runs rise and do not overlap; none is empty or passes the arena's end. In a placed
//! segment their pages lie one run after the other, without a gap, from the data offset to the
//! tables; so the runs determine all offsets, and each run is mapped with one call.

use super::{
    codec::{Decoder, Defect, Encoder, check},
    header::DATA_OFFSET,
};
use crate::base::{PAGE_SIZE, PageIndex, PageRun};
use std::ops::Range;

/// A run's bytes in a file.
pub(super) const RUN_LEN: usize = 8;

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
}

/// The extent that a page lies in.
pub(super) fn find(extents: &[Extent], page: PageIndex) -> Option<&Extent> {
    let after = extents.partition_point(|extent| extent.run.first <= page);
    let extent = extents.get(after.checked_sub(1)?)?;
    extent.run.pages().contains(&u64::from(page.0)).then_some(extent)
}

/// Where runs lie in a placed segment, and the offset after the last one.
pub(super) fn lay_out(runs: &[PageRun]) -> (Vec<Extent>, u64) {
    let mut offset = DATA_OFFSET;
    let mut extents = Vec::with_capacity(runs.len());
    for &run in runs {
        extents.push(Extent { run, offset });
        // At most 2^32 pages in all, so this stays far below 2^64.
        offset += run.byte_len() as u64;
    }
    (extents, offset)
}

/// What is wrong with a run of pages as the one that follows the pages below `above`.
pub(super) fn check_run(run: PageRun, above: u64, page_count: u64) -> Result<(), String> {
    let pages = run.pages();
    if pages.start >= above && run.count > 0 && pages.end <= page_count {
        return Ok(());
    }
    Err(format!("pages from {above} on, at least one, below {page_count}"))
}

pub(super) fn encode_runs(runs: &[PageRun], encoder: &mut Encoder) {
    for run in runs {
        encoder.u32(run.first.0);
        encoder.u32(run.count);
    }
}

/// Reads the runs in a table at `table_offset`.
pub(super) fn decode_runs(
    bytes: &[u8],
    table_offset: u64,
    page_count: u64,
) -> Result<Vec<PageRun>, Defect> {
    let mut decoder = Decoder::new(bytes);
    let mut runs = Vec::with_capacity(bytes.len() / RUN_LEN);
    let mut above = 0;
    while decoder.remaining() >= RUN_LEN {
        let at = table_offset + decoder.offset();
        let first = PageIndex(decoder.u32("run's first page")?);
        let run = PageRun { first, count: decoder.u32("run's page count")? };
        let sound = check_run(run, above, page_count);
        let found = format_args!("{} from {}", run.count, run.first.0);
        check(sound.is_ok(), "run", at, sound.err().unwrap_or_default(), found)?;
        above = run.pages().end;
        runs.push(run);
    }
    Ok(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(runs: &[(u32, u32)]) -> Result<Vec<PageRun>, Defect> {
        let runs = runs.iter().map(|&(first, count)| PageRun { first: PageIndex(first), count });
        let mut encoder = Encoder::default();
        encode_runs(&runs.collect::<Vec<_>>(), &mut encoder);
        decode_runs(&encoder.into_bytes(), 256, 100)
    }

    #[test]
    fn extents_are_packed() {
        let (extents, end) = lay_out(&decode(&[(3, 2), (5, 1), (99, 1)]).unwrap());
        assert_eq!(end, 20480);
        assert_eq!(find(&extents, PageIndex(2)), None);
        assert_eq!(find(&extents, PageIndex(4)).unwrap().offset_of(PageIndex(4)), 8192);
        assert_eq!(find(&extents, PageIndex(5)).unwrap().offset, 12288);
        assert_eq!(find(&extents, PageIndex(6)), None);
        assert_eq!(find(&extents, PageIndex(99)).unwrap().file_range(), 16384..20480);
    }

    #[test]
    fn overlap_order_and_bounds_are_defects() {
        for bad in
            [&[(3, 2), (4, 1)][..], &[(3, 1), (2, 1)], &[(3, 0)], &[(99, 2)], &[(u32::MAX, 2)]]
        {
            assert!(decode(bad).is_err(), "{bad:?}");
        }
        assert_eq!(decode(&[(3, 1), (3, 1)]).unwrap_err().offset, 264);
    }
}
