//! The ground layer: units as types, bitmaps, checksums, the switch between real and modelled
//! synchronisation, and numbers as people read them. Pure code; imports nothing of the crate.

mod bitmap;
mod block_words;
mod checksum;
mod ripe;
mod run_set;
pub(crate) mod sync;
pub mod text;
mod units;

pub use bitmap::{LayeredBitmap, all, fill, find_clear_run};
pub use block_words::{Busy, FreedTwice, free_remotely, merge, settled, take};
pub use checksum::{Crc32, Digest, crc32, digest, digest_seeded};
pub use ripe::{RipeLink, RipeList, linked};
pub use run_set::RunSet;
pub use units::{
    CELL_SIZE, CHUNK_SIZE, CHUNKS_PER_CELL, CellIndex, ChunkIndex, PAGE_SIZE, PAGES_PER_CELL,
    PAGES_PER_CHUNK, PageIndex, PageRun, SLOT_PAGES,
};
