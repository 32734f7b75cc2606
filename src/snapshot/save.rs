//! Writing the arena's pages into a segment. The gate is closed meanwhile.

use crate::arena::Arena;
use crate::base::{PAGE_SIZE, PageIndex, PageRun};
use crate::image::{SegmentInfo, SegmentWriter, WriteError};
use crate::os::{Dir, File};
use crate::snapshot::copy::copy_pages;
use std::convert::Infallible;

/// Pages copied and written at a time.
const BATCH: u32 = 256;

/// A snapshot whose pages are in its segment; not complete, not durable.
#[derive(Debug)]
pub struct Draft<F> {
    pub(super) writer: SegmentWriter<F>,
    pub(super) info: SegmentInfo,
}

impl<F: File> Draft<F> {
    /// Creates the segment and writes all pages in use.
    ///
    /// # Errors
    /// [`WriteError`]; a file that was created is the caller's to remove.
    pub(super) fn write<D: Dir<File = F>>(
        dir: &D,
        info: SegmentInfo,
        arena: &Arena,
    ) -> Result<Self, WriteError> {
        let mut writer = SegmentWriter::create(dir, &info, &image_runs(arena))?;
        let mut buffer = vec![0; BATCH as usize * PAGE_SIZE];
        for cell in arena.saved_cells() {
            arena.for_saved_runs(cell, |run| write_run(arena, run, &mut writer, &mut buffer))?;
        }
        Ok(Self { writer, info })
    }
}

fn write_run<F: File>(
    arena: &Arena,
    run: PageRun,
    writer: &mut SegmentWriter<F>,
    buffer: &mut [u8],
) -> Result<(), WriteError> {
    let mut done = 0;
    while done < run.count {
        let count = BATCH.min(run.count - done);
        let batch = PageRun { first: PageIndex(run.first.0 + done), count };
        let bytes = &mut buffer[..batch.byte_len()];
        copy_pages(arena, batch, bytes);
        writer.write_pages(batch.first, bytes)?;
        done += count;
    }
    Ok(())
}

/// The runs of pages that an image of the arena states the contents of: neighbouring cells
/// together, cut after the last page in use.
#[must_use]
pub fn image_runs(arena: &Arena) -> Vec<PageRun> {
    let mut runs: Vec<PageRun> = Vec::new();
    let mut room_ends = 0;
    for cell in arena.saved_cells() {
        let end = last_saved(arena, arena.cell_pages(cell));
        match runs.last_mut() {
            Some(last) if room_ends == u64::from(cell.first_page().0) => {
                last.count = page_count(last.first, end);
            }
            _ => {
                let first = cell.first_page();
                runs.push(PageRun { first, count: page_count(first, end) });
            }
        }
        room_ends = arena.cell_pages(cell).pages().end;
    }
    runs
}

/// The page number after the last saved page of a cell.
fn last_saved(arena: &Arena, cell: PageRun) -> u64 {
    let mut end = cell.pages().start;
    let Ok(()) = arena.for_saved_runs(cell.first.chunk().cell(), |run| {
        end = end.max(run.pages().end);
        Ok::<(), Infallible>(())
    });
    end
}

fn page_count(first: PageIndex, end: u64) -> u32 {
    u32::try_from(end - u64::from(first.0)).unwrap_or(u32::MAX)
}
