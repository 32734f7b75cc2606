//! How chunks are used, as a snapshot keeps it: FORMAT.md, "Notes".

use crate::base::{ChunkIndex, PAGES_PER_CHUNK};
use crate::cow::Engine;
use std::cmp::Reverse;

/// The first word of the notes: "uses" in ASCII.
const MAGIC: u32 = u32::from_le_bytes(*b"uses");
const ENTRY: usize = 12;

/// What a snapshot knows of how a chunk is used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChunkUse {
    /// The chunk.
    pub chunk: ChunkIndex,
    /// Its heat: for how many of the last eight epochs it was written.
    pub written: u32,
    /// How many of the blocks that were read last begin in it.
    pub read: u32,
}

impl ChunkUse {
    /// What the engine knows of these chunks; of reads that is nothing.
    pub(super) fn of(chunks: &[ChunkIndex], engine: &Engine) -> Vec<Self> {
        let of = |&chunk: &ChunkIndex| Self { chunk, written: engine.heat(chunk), read: 0 };
        chunks.iter().map(of).collect()
    }

    /// How early the chunk is to be fetched after a restart.
    ///
    /// Whoever reads or writes where nothing has been fetched yet waits for the disk, so both
    /// count: each doubling of the blocks that are read in a chunk for as much as an epoch in
    /// which it was written. So a chunk of which a query saw one block does not come before one
    /// that is written all the time, and one of which hundreds are read comes before all that are
    /// written now and then. Of equal ones that with more blocks read comes first: each of them is
    /// waited for by itself, while all pages of an ordinary chunk come with its first write.
    fn urgency(&self) -> (u32, u32) {
        let doublings = u32::BITS - self.read.leading_zeros();
        (self.written.min(8) + doublings, self.read)
    }
}

/// Puts in order what is to be fetched after a restart.
pub fn hottest_first(uses: &mut [ChunkUse]) {
    uses.sort_by_key(|known| (Reverse(known.urgency()), known.chunk));
}

/// The notes on these chunks; those that were neither written nor read of late are left out.
pub(super) fn encode(uses: &[ChunkUse]) -> Vec<u8> {
    let mut notes = MAGIC.to_le_bytes().to_vec();
    for known in uses.iter().filter(|known| known.written > 0 || known.read > 0) {
        let fields = [known.chunk.0, known.written, known.read];
        fields.iter().for_each(|field| notes.extend(field.to_le_bytes()));
    }
    notes
}

/// What notes tell of chunks; nothing, if they are none that this version knows.
pub fn uses_in(notes: &[u8]) -> impl Iterator<Item = ChunkUse> {
    let (magic, entries) = notes.split_at(notes.len().min(4));
    let entries = if magic == MAGIC.to_le_bytes() { entries } else { &[] };
    entries.as_chunks::<ENTRY>().0.iter().map(|entry| {
        let field = |place: usize| entry.as_chunks::<4>().0[place];
        let [chunk, written, read] = [0, 1, 2].map(|place| u32::from_le_bytes(field(place)));
        // More blocks than pages begin in no chunk.
        ChunkUse { chunk: ChunkIndex(chunk), written, read: read.min(PAGES_PER_CHUNK) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk((chunk, written, read): (u32, u32, u32)) -> ChunkUse {
        ChunkUse { chunk: ChunkIndex(chunk), written, read }
    }

    #[test]
    fn unknown_notes_are_passed_over() {
        assert_eq!(uses_in(b"").count() + uses_in(b"us").count() + uses_in(&[9; 20]).count(), 0);
        let before = [&b"heat"[..], &[1; 8], &[2; 8], &[3; 8]].concat();
        assert_eq!(uses_in(&before).count(), 0, "notes of builds before this");
    }

    #[test]
    fn notes_are_read_as_they_were_written() {
        let uses = [(7, 3, 0), (1, 0, 0), (9, 0, 512), (2, 8, 1)].map(chunk);
        let mut notes = encode(&uses);
        assert_eq!(notes.len(), 4 + 3 * ENTRY);
        // A rest that is shorter than an entry.
        notes.extend([1; ENTRY - 1]);
        assert_eq!(uses_in(&notes).collect::<Vec<_>>(), [uses[0], uses[2], uses[3]]);
    }

    #[test]
    fn reads_and_writes_both_say_what_comes_first() {
        let mut uses = [
            (1, 0, 1),   // one block was seen
            (2, 8, 0),   // written all the time
            (3, 0, 300), // many are read
            (4, 3, 0),   // written now and then
            (5, 3, 0),
            (6, 1, 100), // read and written
            (7, 0, 128),
            (8, 0, 200),
        ]
        .map(chunk);
        hottest_first(&mut uses);
        assert_eq!(uses.map(|known| known.chunk.0), [3, 8, 7, 6, 2, 4, 5, 1]);
        let mut uses = [(1, u32::MAX, u32::MAX), (0, 8, 1)].map(chunk);
        hottest_first(&mut uses);
        assert_eq!(uses[0].chunk.0, 1, "any notes will do");
    }
}
