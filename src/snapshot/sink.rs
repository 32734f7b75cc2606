//! Where frozen pages go: past the sieve, and together into the segment.

use crate::base::{CHUNK_SIZE, ChunkIndex, PAGE_SIZE, PageIndex, PageRun};
use crate::cow::Saves;
use crate::image::{IndexEntry, SegmentWriter, WriteError};
use crate::os::File;
use crate::snapshot::sieve::Sieve;

/// Pages on their way into a segment.
#[derive(Debug)]
pub(super) struct Sink<'a, F> {
    pub(super) writer: SegmentWriter<F>,
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

impl<'a, F: File> Sink<'a, F> {
    pub(super) fn new(writer: SegmentWriter<F>, sieve: Sieve<'a, F>, saves: Saves) -> Self {
        Self {
            writer,
            sieve,
            saves,
            entries: Vec::new(),
            bytes: vec![0; CHUNK_SIZE + PAGE_SIZE],
            zeros: Vec::new(),
            differing: 0,
        }
    }

    /// Where the next page's bytes go, before [`Sink::take`].
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

    /// States that those pages of a chunk are zero which the snapshot before has, and `is_in_use`
    /// does not want any more.
    pub(super) fn state_dropped(
        &mut self,
        chunk: ChunkIndex,
        is_in_use: impl Fn(PageIndex) -> bool,
    ) {
        for run in self.sieve.dropped(chunk, is_in_use) {
            self.writer.state_zero(run);
        }
    }

    /// Whether no more than the room is left.
    pub(super) fn is_full(&self) -> bool {
        self.entries.len() == CHUNK_SIZE / PAGE_SIZE
    }

    /// Writes what waits.
    pub(super) fn flush(&mut self) -> Result<Sunk, WriteError> {
        let len = self.entries.len();
        let written = self.writer.write(&self.entries, &self.bytes[..len * PAGE_SIZE]);
        self.zeros.drain(..).for_each(|zero| self.writer.state_zero(zero));
        self.entries.clear();
        let differing = std::mem::take(&mut self.differing);
        written.map(|()| Sunk { saved: len as u64, differing })
    }

    /// Forgets what waits: it was not frozen state.
    pub(super) fn discard(&mut self) {
        self.entries.clear();
        self.zeros.clear();
        self.differing = 0;
    }
}
