//! A snapshot's segments together: which page of which of them makes the snapshot.
//!
//! ```text
//! full      |####  ####  ####|     a page is what the newest segment says of it; one that a later
//! delta        |0#|      |#|       segment states to be zero, or has outside its runs, is zero
//! delta          |#|
//! ```
//! **Invariant:** an entry of segment `j` is in force exactly if its page is in `shown[j]` (the
//! pages that all later segments have in their runs and do not state to be zero) and in no later
//! segment's index. All who need a snapshot's pages ask here.

use super::{
    codec::{Defect, check},
    manifest::{Manifest, SnapshotRecord},
    names::SegmentKind,
    segment_error::SegmentError,
    segment_reader::SegmentReader,
    verify::VerifyReport,
};
use crate::{
    base::{Digest, PageIndex, PageRun, RunSet},
    os::{Dir, File},
};
use std::{borrow::Cow, ops::Range, sync::Arc};

/// A snapshot's segments: a full one, then the deltas in the order in which they apply.
///
/// Clones share the open segments.
#[derive(Debug)]
pub struct Chain<F> {
    segments: Vec<Arc<SegmentReader<F>>>,
    shown: Vec<RunSet>,
}

impl<F> Default for Chain<F> {
    fn default() -> Self {
        Self { segments: Vec::new(), shown: Vec::new() }
    }
}

impl<F> Clone for Chain<F> {
    fn clone(&self) -> Self {
        Self { segments: self.segments.clone(), shown: self.shown.clone() }
    }
}

/// A page in force: which segment of the chain has it, and the place of its entry there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InForce {
    /// Which page.
    pub page: PageIndex,
    /// The segment's place in the chain.
    pub segment: usize,
    /// The place of its entry in that segment's index.
    pub place: usize,
}

impl<F: File> Chain<F> {
    /// Opens the segments of a snapshot and checks that they belong together. Their pages are
    /// not verified.
    ///
    /// # Errors
    /// [`SegmentError`] for the first segment that is not what it should be.
    pub fn open<D: Dir<File = F>>(
        dir: &D,
        manifest: &Manifest,
        snapshot: &SnapshotRecord,
    ) -> Result<Self, SegmentError> {
        let mut segments: Vec<Arc<SegmentReader<F>>> = Vec::new();
        // A decoded manifest has every segment of its chains in its table.
        for record in snapshot.chain.iter().filter_map(|&number| manifest.segment(number)) {
            let reader = SegmentReader::open(dir, record, &manifest.identity)?;
            check_link(segments.last().map(Arc::as_ref), &reader).map_err(|defect| {
                SegmentError::Defect { path: reader.path().to_owned(), defect }
            })?;
            segments.push(Arc::new(reader));
        }
        if let Some(last) = segments.last() {
            check_snapshot(snapshot, last.as_ref())
                .map_err(|defect| SegmentError::Defect { path: last.path().to_owned(), defect })?;
        }
        let shown = shown(&segments);
        Ok(Self { segments, shown })
    }

    /// Adds the next snapshot's delta; or, to an empty chain, a full segment.
    ///
    /// # Errors
    /// If it is not one on this chain; the chain is as it was.
    pub fn push(&mut self, delta: SegmentReader<F>) -> Result<(), SegmentError> {
        if let Err(defect) = check_link(self.segments.last().map(Arc::as_ref), &delta) {
            return Err(SegmentError::Defect { path: delta.path().to_owned(), defect });
        }
        self.segments.push(Arc::new(delta));
        self.shown = shown(&self.segments);
        Ok(())
    }

    /// Has a segment take the place of those from `start` to `end`, of which it makes the same.
    pub fn replace(&mut self, range: Range<usize>, segment: SegmentReader<F>) {
        self.segments.splice(range, [Arc::new(segment)]);
        self.shown = shown(&self.segments);
    }

    /// The segments.
    #[must_use]
    pub fn segments(&self) -> &[Arc<SegmentReader<F>>] {
        &self.segments
    }

    /// The pages of which segment `place` decides, unless a later one has them in its index.
    #[must_use]
    pub fn shown(&self, place: usize) -> &RunSet {
        &self.shown[place]
    }

    /// The runs of pages that make up the snapshot: all others are zero.
    #[must_use]
    pub fn runs(&self) -> &[PageRun] {
        self.segments.last().map_or(&[], |last| last.runs())
    }

    /// Who has a page; `None`: it is zero.
    #[must_use]
    pub fn find(&self, page: PageIndex) -> Option<InForce> {
        for (segment, reader) in self.segments.iter().enumerate().rev() {
            if !self.shown[segment].contains(page) {
                return None;
            }
            if let Some(place) = reader.index().place_of(page) {
                return Some(InForce { page, segment, place });
            }
        }
        None
    }

    /// A page's bytes, unverified; zeros if nobody has it.
    ///
    /// # Errors
    /// If it is compressed and cannot be decoded.
    pub fn page(&self, page: PageIndex) -> Result<Cow<'_, [u8]>, SegmentError> {
        match self.find(page) {
            Some(found) => self.segments[found.segment].saved_page(found.place),
            None => Ok(Cow::Borrowed(&super::segment_writer::ZERO_PAGE)),
        }
    }

    /// The digests of a run's pages, one after the other; `None` for those that are zero.
    pub fn digests(&self, run: PageRun, digests: &mut Vec<Option<Digest>>) {
        digests.clear();
        digests.resize(run.count as usize, None);
        // Oldest first: a later one's word replaces what was said before.
        for (segment, shown) in self.segments.iter().zip(&self.shown) {
            let index = segment.index();
            let is_whole = shown.contains_all(run);
            for place in index.places_within(&run.pages()) {
                if let Some(entry) = index.get(place)
                    && (is_whole || shown.contains(entry.page))
                {
                    digests[(entry.page.0 - run.first.0) as usize] = Some(entry.digest);
                }
            }
        }
    }

    /// All pages that are in force among the segments from `from` up to (not with) `to`, as if
    /// there were no others, rising.
    pub fn in_force(&self, from: usize, to: usize) -> Merged<'_, F> {
        let segments = &self.segments[from..to];
        Merged::new(segments, from, Cow::Owned(shown(segments)))
    }

    /// All pages of a run that are in force, rising.
    #[must_use]
    pub fn in_force_within(&self, run: PageRun) -> Merged<'_, F> {
        Merged::new(&self.segments, 0, Cow::Borrowed(&self.shown)).within(run)
    }

    /// Checks every page of every segment.
    ///
    /// # Errors
    /// [`SegmentError`] for the first page of the first segment that is damaged.
    pub fn verify(&self) -> Result<VerifyReport, SegmentError> {
        self.verify_watched(&|_| true).map(Option::unwrap_or_default)
    }

    /// As [`Chain::verify`]; `watch` as in [`SegmentReader::verify_watched`].
    ///
    /// # Errors
    /// As there.
    pub fn verify_watched(
        &self,
        watch: &(dyn Fn(u64) -> bool + Sync),
    ) -> Result<Option<VerifyReport>, SegmentError> {
        let mut report = VerifyReport::default();
        for segment in &self.segments {
            match segment.verify_watched(watch)? {
                Some(verified) => report.add(verified),
                None => return Ok(None),
            }
        }
        Ok(Some(report))
    }
}

/// For each segment the pages of which it decides, unless a later one has them in its index.
fn shown<F: File>(segments: &[Arc<SegmentReader<F>>]) -> Vec<RunSet> {
    let mut through = RunSet::all();
    let mut shown = Vec::with_capacity(segments.len());
    for segment in segments.iter().rev() {
        shown.push(through.clone());
        through = through.and(&shows_through(segment));
    }
    shown.reverse();
    shown
}

/// The pages that show through a segment, but for those in its index.
pub(super) fn shows_through<F: File>(segment: &SegmentReader<F>) -> RunSet {
    match segment.header().kind {
        SegmentKind::Full => RunSet::default(),
        SegmentKind::Delta => RunSet::of(segment.runs().iter().copied()).without(segment.zeros()),
    }
}

/// Pages in force, rising.
#[derive(Debug)]
pub struct Merged<'a, F> {
    segments: &'a [Arc<SegmentReader<F>>],
    first: usize,
    shown: Cow<'a, [RunSet]>,
    /// The next place in each segment's index, and where to stop.
    next: Vec<usize>,
    end: Vec<usize>,
}

impl<'a, F: File> Merged<'a, F> {
    fn new(segments: &'a [Arc<SegmentReader<F>>], first: usize, shown: Cow<'a, [RunSet]>) -> Self {
        let end = segments.iter().map(|segment| segment.index().len()).collect();
        Self { segments, first, shown, next: vec![0; segments.len()], end }
    }

    fn within(mut self, run: PageRun) -> Self {
        for (number, segment) in self.segments.iter().enumerate() {
            let places = segment.index().places_within(&run.pages());
            (self.next[number], self.end[number]) = (places.start, places.end);
        }
        self
    }

    /// The next page of a segment.
    fn head(&self, number: usize) -> Option<PageIndex> {
        let place = self.next[number];
        let entry = self.segments[number].index().get(place)?;
        (place < self.end[number]).then_some(entry.page)
    }
}

impl<F: File> Iterator for Merged<'_, F> {
    type Item = InForce;

    fn next(&mut self) -> Option<InForce> {
        loop {
            // Of equal pages the last, which is the newest segment's.
            let mut least: Option<(PageIndex, usize)> = None;
            for number in 0..self.segments.len() {
                if let Some(page) = self.head(number)
                    && least.is_none_or(|(other, _)| page <= other)
                {
                    least = Some((page, number));
                }
            }
            let (page, newest) = least?;
            let place = self.next[newest];
            for number in 0..self.segments.len() {
                if self.head(number) == Some(page) {
                    self.next[number] += 1;
                }
            }
            if self.shown[newest].contains(page) {
                return Some(InForce { page, segment: self.first + newest, place });
            }
        }
    }
}

/// A delta has to apply to the snapshot that the segment before it completes.
fn check_link<F: File>(
    before: Option<&SegmentReader<F>>,
    reader: &SegmentReader<F>,
) -> Result<(), Defect> {
    let Some(before) = before.map(SegmentReader::header) else { return Ok(()) };
    let header = reader.header();
    let (expected, found) = (before.snapshot, header.parent.unwrap_or(0));
    check(expected == found, "parent snapshot", 72, expected, found)
}

/// The last segment of a chain has to be the one that completed the snapshot.
fn check_snapshot<F: File>(
    snapshot: &SnapshotRecord,
    last: &SegmentReader<F>,
) -> Result<(), Defect> {
    let header = last.header();
    let (expected, found) = (snapshot.number, header.snapshot);
    check(expected == found, "snapshot number", 64, expected, found)?;
    let (expected, found) = (snapshot.frozen_at, header.frozen_at);
    check(expected == found, "time of freeze", 80, expected, found)?;
    let (expected, found) = (snapshot.operations, header.operations);
    check(expected == found, "operations", 88, expected, found)
}
