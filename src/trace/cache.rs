//! The pages of a few chunks, kept while blocks in them are looked at.

use crate::base::{CHUNK_SIZE, ChunkIndex, PAGE_SIZE, PAGES_PER_CHUNK, PageIndex};
use crate::trace::Source;

/// Chunks that are kept: 16 MiB.
const KEPT: usize = 8;

/// Pages of chunks, read when they are asked for.
#[derive(Debug, Default)]
pub(super) struct Cache {
    chunks: Vec<Kept>,
    /// Goes up with each chunk that is looked at.
    time: u64,
}

#[derive(Debug)]
struct Kept {
    chunk: ChunkIndex,
    used: u64,
    read: [bool; PAGES_PER_CHUNK as usize],
    bytes: Vec<u8>,
}

impl Cache {
    /// The bytes between two offsets in a page. Those of its chunk are kept in the place of those
    /// that were not used for the longest time.
    pub(super) fn bytes<S: Source>(
        &mut self,
        from: u64,
        to: u64,
        source: &mut S,
    ) -> Result<&[u8], S::Error> {
        let chunk = ChunkIndex(u32::try_from(from / CHUNK_SIZE as u64).unwrap_or(u32::MAX));
        self.time += 1;
        let known = self.chunks.iter().position(|kept| kept.chunk == chunk);
        let place = known.unwrap_or_else(|| self.make_room(chunk));
        let kept = &mut self.chunks[place];
        kept.used = self.time;
        let within = |offset: u64| usize::try_from(offset % CHUNK_SIZE as u64).unwrap_or(0);
        let (start, len) = (within(from), usize::try_from(to - from).unwrap_or(0));
        kept.read(start / PAGE_SIZE, source)?;
        Ok(kept.bytes.get(start..start + len).unwrap_or_default())
    }

    fn make_room(&mut self, chunk: ChunkIndex) -> usize {
        if self.chunks.len() < KEPT {
            let (used, read) = (0, [false; PAGES_PER_CHUNK as usize]);
            self.chunks.push(Kept { chunk, used, read, bytes: vec![0; CHUNK_SIZE] });
            return self.chunks.len() - 1;
        }
        let oldest = (0..KEPT).min_by_key(|&place| self.chunks[place].used).unwrap_or(0);
        let kept = &mut self.chunks[oldest];
        kept.chunk = chunk;
        kept.read.fill(false);
        oldest
    }
}

impl Kept {
    /// Sees to it that a page's bytes are there.
    fn read<S: Source>(&mut self, page: usize, source: &mut S) -> Result<(), S::Error> {
        if self.read[page] {
            return Ok(());
        }
        let number = self.chunk.first_page().0 + u32::try_from(page).unwrap_or(0);
        let bytes = &mut self.bytes[page * PAGE_SIZE..][..PAGE_SIZE];
        match source.page(PageIndex(number))? {
            Some(found) => bytes.copy_from_slice(found),
            None => bytes.fill(0),
        }
        self.read[page] = true;
        Ok(())
    }
}
