//! Where frozen pages go: past the sieve into a batch, and together into the segment.

use crate::base::{CHUNK_SIZE, ChunkIndex, PAGE_SIZE, PageIndex, PageRun};
use crate::cow::Saves;
use crate::image::{IndexEntry, SegmentWriter, WriteError};
use crate::os::File;
use crate::snapshot::sieve::Sieve;

/// Pages that wait together at most.
const PAGES: usize = CHUNK_SIZE / PAGE_SIZE;

/// Where pages go.
#[derive(Debug)]
pub(super) struct Sink<'a, F> {
    pub(super) writer: SegmentWriter<F>,
    /// The saving thread's own.
    pub(super) batch: Batch<'a, F>,
}

/// Pages on their way into a segment. Taking them allocates nothing.
#[derive(Debug)]
pub(super) struct Batch<'a, F> {
    pub(super) sieve: Sieve<'a, F>,
    saves: Saves,
    /// Pages that wait to be written together, a chunk's size at most, with room for one more.
    entries: Vec<IndexEntry>,
    bytes: Vec<u8>,
    zeros: Vec<PageRun>,
    /// Pages among those that wait that are not as they were.
    differing: u64,
}

/// What became of pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Sunk {
    /// Pages in the segment.
    pub(super) saved: u64,
    /// Pages that are not as they were in the snapshot before.
    pub(super) differing: u64,
}

impl<'a, F: File> Batch<'a, F> {
    pub(super) fn new(sieve: Sieve<'a, F>, saves: Saves) -> Self {
        Self {
            sieve,
            saves,
            entries: Vec::with_capacity(PAGES + 1),
            bytes: vec![0; CHUNK_SIZE + PAGE_SIZE],
            zeros: Vec::with_capacity(PAGES + 1),
            differing: 0,
        }
    }

    /// Another, as empty as this one was at first.
    pub(super) fn another(&self) -> Self {
        Self::new(self.sieve.another(), self.saves)
    }

    /// Where the next page's bytes go, before [`Batch::take`].
    pub(super) fn room(&mut self) -> &mut [u8] {
        let start = self.entries.len() * PAGE_SIZE;
        &mut self.bytes[start..start + PAGE_SIZE]
    }

    /// Takes the page whose bytes are in the room.
    pub(super) fn take(&mut self, page: PageIndex) {
        let start = self.entries.len() * PAGE_SIZE;
        let sifted = self.sieve.sift(page, &self.bytes[start..start + PAGE_SIZE]);
        self.differing += u64::from(sifted.differs());
        match sifted.now {
            _ if self.saves == Saves::Changed && !sifted.differs() => {}
            Some(digest) => {
                // Summed up while it is in the cache.
                let bytes = &self.bytes[start..start + PAGE_SIZE];
                self.entries.push(IndexEntry::of(page, bytes, digest));
            }
            None => self.zeros.push(PageRun { first: page, count: 1 }),
        }
    }

    /// Takes consecutive pages, not more than a chunk's, when nothing waits.
    pub(super) fn take_all(&mut self, first: PageIndex, bytes: &[u8]) {
        for (number, page) in (first.0..).zip(bytes.chunks_exact(PAGE_SIZE)) {
            self.room().copy_from_slice(page);
            self.take(PageIndex(number));
        }
    }

    /// Whether no more than the room is left.
    pub(super) fn is_full(&self) -> bool {
        self.entries.len() == PAGES
    }

    /// Forgets what waits: it was not frozen state.
    pub(super) fn discard(&mut self) {
        self.entries.clear();
        self.zeros.clear();
        self.differing = 0;
    }
}

impl<'a, F: File> Sink<'a, F> {
    pub(super) fn new(writer: SegmentWriter<F>, sieve: Sieve<'a, F>, saves: Saves) -> Self {
        Self { writer, batch: Batch::new(sieve, saves) }
    }

    /// States that those pages of a chunk are zero which the snapshot before has, and `is_in_use`
    /// does not want any more.
    pub(super) fn state_dropped(
        &mut self,
        chunk: ChunkIndex,
        is_in_use: impl Fn(PageIndex) -> bool,
    ) {
        for run in self.batch.sieve.dropped(chunk, is_in_use) {
            self.writer.state_zero(run);
        }
    }

    /// Writes what waits.
    pub(super) fn flush(&mut self) -> Result<Sunk, WriteError> {
        write(&mut self.writer, &mut self.batch)
    }

    /// Writes what waits in a batch of somebody else's.
    pub(super) fn flush_from(&mut self, batch: &mut Batch<'a, F>) -> Result<Sunk, WriteError> {
        write(&mut self.writer, batch)
    }
}

fn write<F: File>(
    writer: &mut SegmentWriter<F>,
    batch: &mut Batch<'_, F>,
) -> Result<Sunk, WriteError> {
    let len = batch.entries.len();
    let written = writer.write(&batch.entries, &batch.bytes[..len * PAGE_SIZE]);
    batch.zeros.drain(..).for_each(|zero| writer.state_zero(zero));
    batch.entries.clear();
    let differing = std::mem::take(&mut batch.differing);
    written.map(|()| Sunk { saved: len as u64, differing })
}
