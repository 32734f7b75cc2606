//! Which blocks of a chunk's slabs are in use, by the maps in its slot.

use crate::arena::{BLOCK_MIN, MAP_PAGES, map_pages};
use crate::base::{CellIndex, PAGE_SIZE, PageIndex};
use crate::trace::Source;

/// Words of a map for each page of the chunk.
const WORDS_PER_PAGE: usize = PAGE_SIZE / BLOCK_MIN / 64;

/// The maps of a chunk's slabs.
#[derive(Debug)]
pub struct SlotMaps(Vec<MapWord>);

/// What the maps say of 64 blocks.
#[derive(Clone, Copy, Debug)]
pub struct MapWord {
    /// Those that are in use.
    pub live: u64,
    /// Those of them that a lane merely had at hand: they may as well be free.
    pub at_hand: u64,
}

impl SlotMaps {
    /// The maps of a cell's chunk, by its place in the cell.
    ///
    /// # Errors
    /// If a page of them cannot be had.
    pub fn read<S: Source>(source: &mut S, cell: CellIndex, place: u32) -> Result<Self, S::Error> {
        let mut words = Vec::with_capacity(MAP_PAGES as usize * PAGE_SIZE / 8);
        let [live, at_hand] = map_pages(cell, place);
        for (live, at_hand) in live.zip(at_hand) {
            let (live, at_hand) = (source.copy(PageIndex(live))?, source.copy(PageIndex(at_hand))?);
            words.extend(live.as_chunks().0.iter().zip(at_hand.as_chunks().0).map(
                |(live, at_hand)| MapWord {
                    live: u64::from_le_bytes(*live),
                    at_hand: u64::from_le_bytes(*at_hand),
                },
            ));
        }
        Ok(Self(words))
    }

    /// The words of the slab of so many blocks that begins with that page of the chunk's. No bit
    /// is set beyond its last block; no more words are given than there are.
    pub fn of_slab(&self, page: usize, blocks: u32) -> impl Iterator<Item = MapWord> {
        let words = self.0.get(page * WORDS_PER_PAGE..).unwrap_or_default();
        let count = blocks.div_ceil(64);
        words.iter().zip(0..count).map(move |(word, index)| {
            let valid = u64::MAX >> (64 - (blocks - index * 64).min(64));
            MapWord { live: word.live & valid, at_hand: word.at_hand & valid }
        })
    }
}
