//! Checking a segment's pages: the saved ones by CRC-32, the others by being zero.
//!
//! In a placed segment a page that is not in the index must read as zero, since mapping its run
//! exposes it. A short gap is read; of a long one the file system is asked where data begin, and
//! only these are read, so that the holes of a sparse file cost nothing.

use super::{
    by_frame::ByFrame,
    extent::Extent,
    header::Layout,
    read_ahead::ReadAhead,
    segment_error::SegmentError,
    segment_reader::{FrameBuffer, SegmentReader},
    segment_writer::ZERO_PAGE,
};
use crate::{
    base::{PAGE_SIZE, PageIndex, PageRun, crc32},
    os::{File, in_two},
};
use std::{
    ops::Range,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

/// Pages that one thread checks before it takes the next piece: 64 MiB. A segment with no more
/// saved pages is not worth a second thread.
const PIECE_PAGES: u32 = 16 << 10;
/// Gaps of fewer pages are read without asking the file system.
const GAP_READ_PAGES: u64 = 16;

/// What was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VerifyReport {
    /// Saved pages whose checksum is right.
    pub pages: u64,
    /// Pages that are zero, as they should.
    pub zero_pages: u64,
    /// Those of the zero pages that had to be read.
    pub zero_pages_read: u64,
}

impl VerifyReport {
    /// Adds what another part found.
    pub(super) fn add(&mut self, other: Self) {
        self.pages += other.pages;
        self.zero_pages += other.zero_pages;
        self.zero_pages_read += other.zero_pages_read;
    }
}

impl<F: File> SegmentReader<F> {
    /// Checks every page, with two threads if there are many.
    ///
    /// # Errors
    /// [`SegmentError`] for the first page in the file that is damaged.
    pub fn verify(&self) -> Result<VerifyReport, SegmentError> {
        self.verify_watched(&|_| true).map(Option::unwrap_or_default)
    }

    /// As [`SegmentReader::verify`]; after each piece of at most 64 MiB, `watch` is told how many
    /// pages it had. It may take its time, and ends the work by answering `false`; then there is
    /// no report.
    ///
    /// # Errors
    /// As there.
    pub fn verify_watched(
        &self,
        watch: &(dyn Fn(u64) -> bool + Sync),
    ) -> Result<Option<VerifyReport>, SegmentError> {
        // The tables may have left memory since they were looked at.
        self.fetch(&(self.header().tables_offset..self.header().file_len))?;
        match self.header().layout() {
            Layout::Placed => {
                let pieces = cut(self.extents());
                self.verify_all(&pieces, watch, |piece| self.verify_piece(piece))
            }
            Layout::Packed => {
                let by_frame = ByFrame::of(self);
                let pieces = ByFrame::pieces(self.frames(), PIECE_PAGES);
                self.verify_all(&pieces, watch, |piece| self.verify_frames(&by_frame, piece))
            }
        }
    }

    /// Takes pieces, in rising order, until there are none or one is damaged. Of two threads'
    /// errors the lower piece's is the file's first.
    fn verify_all<P: Sync>(
        &self,
        pieces: &[P],
        watch: &(dyn Fn(u64) -> bool + Sync),
        check: impl Fn(&P) -> Result<VerifyReport, SegmentError> + Sync,
    ) -> Result<Option<VerifyReport>, SegmentError> {
        let (next, go_on) = (AtomicUsize::new(0), AtomicBool::new(true));
        let work = || -> Result<VerifyReport, (usize, SegmentError)> {
            let mut report = VerifyReport::default();
            // Relaxed: the counter only deals out pieces, which were there before the threads.
            while go_on.load(Ordering::Relaxed) {
                let place = next.fetch_add(1, Ordering::Relaxed);
                let Some(piece) = pieces.get(place) else { break };
                let checked = check(piece).map_err(|error| (place, error))?;
                report.add(checked);
                if !watch(checked.pages) {
                    go_on.store(false, Ordering::Relaxed);
                }
            }
            Ok(report)
        };
        let alone = self.index().len() <= PIECE_PAGES as usize;
        let (mine, theirs) = if alone { (work(), None) } else { in_two("stillheap-verify", &work) };
        match (mine, theirs.unwrap_or_else(|| Ok(VerifyReport::default()))) {
            (Ok(mut report), Ok(other)) => {
                report.add(other);
                Ok(go_on.into_inner().then_some(report))
            }
            (Err(left), Err(right)) => Err(if left.0 < right.0 { left.1 } else { right.1 }),
            (Err((_, error)), Ok(_)) | (Ok(_), Err((_, error))) => Err(error),
        }
    }

    /// Checks the pages of some frames.
    fn verify_frames(
        &self,
        by_frame: &ByFrame,
        frames: &Range<usize>,
    ) -> Result<VerifyReport, SegmentError> {
        let mut report = VerifyReport::default();
        let mut buffer = FrameBuffer::default();
        for number in frames.clone() {
            let Some(frame) = self.frames().get(number) else { break };
            let pages = self.frame_pages(frame, &mut buffer)?;
            for &place in by_frame.places(number) {
                let place = place as usize;
                let (Some(entry), Some(slot)) = (self.index().get(place), self.slot_of(place))
                else {
                    continue;
                };
                let start = slot.slot as usize * PAGE_SIZE;
                let found = crc32(&pages[start..start + PAGE_SIZE]);
                if found != entry.crc {
                    let (path, page, expected) = (self.path().to_owned(), entry.page, entry.crc);
                    let offset = frame.offset + start as u64;
                    return Err(SegmentError::Page { path, page, offset, expected, found });
                }
                report.pages += 1;
            }
        }
        Ok(report)
    }

    fn verify_piece(&self, piece: &Extent) -> Result<VerifyReport, SegmentError> {
        let pages = piece.run.pages();
        let mut report = VerifyReport::default();
        let mut bytes = self.read_ahead(piece.offset + piece.run.byte_len() as u64);
        let mut zero_from = pages.start;
        for entry in self.index().within(&pages).iter() {
            let number = u64::from(entry.page.0);
            report.add(self.verify_gap(piece, zero_from..number, &mut bytes)?);
            let offset = piece.offset_of(entry.page);
            let found = crc32(bytes.page(offset)?);
            if found != entry.crc {
                let (path, page) = (self.path().to_owned(), entry.page);
                return Err(SegmentError::Page { path, page, offset, expected: entry.crc, found });
            }
            report.pages += 1;
            zero_from = number + 1;
        }
        report.add(self.verify_gap(piece, zero_from..pages.end, &mut bytes)?);
        Ok(report)
    }

    /// Checks that the pages with these numbers are zero.
    fn verify_gap(
        &self,
        piece: &Extent,
        pages: Range<u64>,
        bytes: &mut ReadAhead<'_, F>,
    ) -> Result<VerifyReport, SegmentError> {
        let count = pages.end - pages.start;
        let page_size = PAGE_SIZE as u64;
        let offset_of = |page: u64| piece.offset + (page - piece.run.pages().start) * page_size;
        let mut report = VerifyReport { zero_pages: count, ..VerifyReport::default() };
        let mut page = pages.start;
        while page < pages.end {
            if count >= GAP_READ_PAGES {
                let data = self
                    .file()
                    .next_data(offset_of(page))
                    .map_err(|source| SegmentError::Io { path: self.path().to_owned(), source })?;
                let Some(data) = data else { break };
                page += data.saturating_sub(offset_of(page)) / page_size;
                if page >= pages.end {
                    break;
                }
            }
            self.check_zero(page, offset_of(page), bytes)?;
            report.zero_pages_read += 1;
            page += 1;
        }
        Ok(report)
    }

    fn check_zero(
        &self,
        page: u64,
        offset: u64,
        bytes: &mut ReadAhead<'_, F>,
    ) -> Result<(), SegmentError> {
        let bytes = bytes.page(offset)?;
        if *bytes == ZERO_PAGE {
            return Ok(());
        }
        let place = bytes.iter().position(|&byte| byte != 0).unwrap_or(0);
        Err(SegmentError::Hole {
            path: self.path().to_owned(),
            page: PageIndex(u32::try_from(page).unwrap_or(u32::MAX)),
            offset: offset + place as u64,
            found: bytes.get(place).copied().unwrap_or(0),
        })
    }
}

/// The extents in pieces of at most [`PIECE_PAGES`].
fn cut(extents: &[Extent]) -> Vec<Extent> {
    let mut pieces = Vec::with_capacity(extents.len());
    for extent in extents {
        let pages = extent.run.pages();
        for start in pages.clone().step_by(PIECE_PAGES as usize) {
            let count = (pages.end - start).min(u64::from(PIECE_PAGES));
            // Both were u32 as part of the extent's run.
            let (Ok(first), Ok(count)) = (u32::try_from(start), u32::try_from(count)) else {
                continue;
            };
            let first = PageIndex(first);
            let run = PageRun { first, count };
            pieces.push(Extent { run, offset: extent.offset_of(first) });
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_an_extent() {
        let run = PageRun::new(PageIndex(u32::MAX - 2 * PIECE_PAGES), 2 * PIECE_PAGES + 1);
        let pieces = cut(&[Extent { run: run.unwrap(), offset: 4096 }]);
        let counts: Vec<u32> = pieces.iter().map(|piece| piece.run.count).collect();
        assert_eq!(counts, [PIECE_PAGES, PIECE_PAGES, 1]);
        assert_eq!(pieces[1].offset, 4096 + (64 << 20));
        assert_eq!(pieces[2].run.first, PageIndex(u32::MAX));
    }
}
