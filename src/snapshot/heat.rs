//! How often chunks are written, as a snapshot keeps it: FORMAT.md, "Notes".

use crate::base::ChunkIndex;
use crate::cow::Engine;

/// The first word of the notes: "heat" in ASCII.
const MAGIC: u32 = u32::from_le_bytes(*b"heat");
const ENTRY: usize = 8;

/// The notes on these chunks; those that were not written of late are left out.
pub(super) fn encode(chunks: impl Iterator<Item = ChunkIndex>, engine: &Engine) -> Vec<u8> {
    let mut notes = MAGIC.to_le_bytes().to_vec();
    for (chunk, heat) in chunks.map(|chunk| (chunk, engine.heat(chunk))) {
        if heat > 0 {
            notes.extend(chunk.0.to_le_bytes());
            notes.extend(heat.to_le_bytes());
        }
    }
    notes
}

/// The chunks that notes tell of, and for how many of the last eight epochs each was written;
/// nothing, if they are none that this version knows.
pub fn heat_in(notes: &[u8]) -> impl Iterator<Item = (ChunkIndex, u32)> {
    let (magic, entries) = notes.split_at(notes.len().min(4));
    let entries = if magic == MAGIC.to_le_bytes() { entries } else { &[] };
    entries.as_chunks::<ENTRY>().0.iter().map(|&[a, b, c, d, e, f, g, h]| {
        (ChunkIndex(u32::from_le_bytes([a, b, c, d])), u32::from_le_bytes([e, f, g, h]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_notes_are_passed_over() {
        assert_eq!(heat_in(b"").count() + heat_in(b"he").count() + heat_in(&[9; 20]).count(), 0);
        let notes = [&b"heat"[..], &7_u32.to_le_bytes(), &3_u32.to_le_bytes(), &[1]].concat();
        assert_eq!(heat_in(&notes).collect::<Vec<_>>(), [(ChunkIndex(7), 3)]);
    }
}
