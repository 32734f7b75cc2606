//! Merging segments that follow each other in a chain into one that makes the same of what
//! comes before them: from their files, page by page as they were saved, with the checksums
//! that they were saved with. So damage in a source is damage in the result, and never hidden.

use super::{
    chain::{Chain, InForce, shows_through},
    compression::Compression,
    index::IndexEntry,
    names::SegmentNumber,
    pages::Pages,
    segment_info::{SegmentInfo, SegmentSummary, WriteError},
    segment_reader::SegmentReader,
    segment_writer::SegmentWriter,
};
use crate::{
    base::{PAGE_SIZE, PageRun, RunSet},
    os::{Dir, File},
};
use std::{ops::Range, sync::Arc};

/// Pages that are copied with one call at most.
const COPY_PAGES: usize = 512;
/// Pages after which they are made durable: so the kernel never has much to write at once, which
/// others would wait for.
const SYNC_PAGES: usize = 16 << 10;

impl<F: File> Chain<F> {
    /// Writes the merger of the segments in `range` as segment `number`, synced, to take their
    /// place. If the first of them is full, so is the merger. `watch` is told of the pages as
    /// they are written; it may take its time, and ends the work by answering `false`: then there
    /// is no summary, and the file is the caller's to remove, as after an error.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn merge<D: Dir<File = F>>(
        &self,
        dir: &D,
        range: Range<usize>,
        number: SegmentNumber,
        compression: Compression,
        watch: &(dyn Fn(u64) -> bool + Sync),
    ) -> Result<Option<SegmentSummary>, WriteError> {
        let segments = &self.segments()[range.clone()];
        let [first, .., last] = segments else { return Ok(None) };
        let info = SegmentInfo {
            identity: last.header().identity,
            number,
            parent: first.header().parent,
            snapshot: last.header().snapshot,
            frozen_at: last.header().frozen_at,
            operations: last.header().operations,
            compression,
        };
        let mut writer = SegmentWriter::create(dir, &info, last.runs())?;
        let Some(saved) = self.copy_all(&mut writer, range, watch)? else { return Ok(None) };
        if info.parent.is_some() {
            let zeros = stated_zero(segments).without(&saved);
            zeros.iter().for_each(|run| writer.state_zero(run));
        }
        writer.finish(last.notes())?.sync().map(Some)
    }

    /// Copies all pages in force among the segments in `range`, and gives these; `None`: `watch`
    /// has ended the work.
    pub(super) fn copy_all(
        &self,
        writer: &mut SegmentWriter<F>,
        range: Range<usize>,
        watch: &(dyn Fn(u64) -> bool + Sync),
    ) -> Result<Option<RunSet>, WriteError> {
        let runs = self.segments()[..range.end].last().map_or(&[][..], |last| last.runs());
        let mut pages = self.pages();
        let mut batch = Vec::with_capacity(COPY_PAGES);
        let (mut saved, mut unsynced) = (Vec::new(), 0);
        for in_force in self.in_force(range.start, range.end) {
            // Runs may touch, and what is written with one call lies in one of them.
            let begins_run = runs.binary_search_by_key(&in_force.page, |run| run.first).is_ok();
            let joins = |before: &InForce| !begins_run && pages.follows(before, &in_force);
            let follows = batch.last().is_none_or(joins);
            if batch.len() == COPY_PAGES || !follows {
                self.copy(writer, &mut pages, &batch)?;
                if !watch(batch.len() as u64) {
                    return Ok(None);
                }
                unsynced += batch.len();
                if unsynced >= SYNC_PAGES {
                    writer.flush()?;
                    unsynced = 0;
                }
                batch.clear();
            }
            saved.push(PageRun { first: in_force.page, count: 1 });
            batch.push(in_force);
        }
        self.copy(writer, &mut pages, &batch)?;
        Ok(watch(batch.len() as u64).then(|| RunSet::of(saved)))
    }

    fn copy(
        &self,
        writer: &mut SegmentWriter<F>,
        pages: &mut Pages<'_, F>,
        batch: &[InForce],
    ) -> Result<(), WriteError> {
        let Some(first) = batch.first() else { return Ok(()) };
        let source = self.segments()[first.segment].as_ref();
        if writer.copy_pages(source, first.place, batch.len())? {
            return Ok(());
        }
        let entries: Vec<IndexEntry> =
            batch.iter().filter_map(|page| source.index().get(page.place)).collect();
        let mut bytes = vec![0; batch.len() * PAGE_SIZE];
        pages.read_into(batch, &mut bytes).map_err(Box::new)?;
        writer.write(&entries, &bytes)
    }
}

/// What a merged delta has to state as zero, but for the pages that it has: all of its runs that
/// does not show through all of the segments.
fn stated_zero<F: File>(segments: &[Arc<SegmentReader<F>>]) -> RunSet {
    let Some(last) = segments.last() else { return RunSet::default() };
    let runs = RunSet::of(last.runs().iter().copied());
    let through =
        |shown: RunSet, segment: &Arc<SegmentReader<F>>| shown.and(&shows_through(segment));
    runs.without(&segments.iter().fold(RunSet::all(), through))
}
