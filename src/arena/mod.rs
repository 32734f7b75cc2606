//! The arena: a fixed address range, cut into cells, chunks and pages, and the tables that
//! say which of them are in use.
//!
//! ```text
//! arena  | main space: guarded | tracked                | boot space: guarded | tracked |
//! cell   | chunk 0: its tables' place in images          | chunk 1 | ... | chunk 31 |
//! tables | slot 0 | slot 1 | ... | slot 31                32 slots of 64 KiB for each cell |
//! slot 0 | cell header; in cell 0 also the superblock and the root table              |
//! slot n | chunk entry | page entries | live bits | at-hand bits                      |
//! ```
//!
//! What a snapshot needs lies in the slots; what can be derived lies in the side table,
//! outside the arena, and is built anew by `Arena::adopt_cell` after a restart.
//!
//! **Invariant:** a slot is read only while its cell is live; a cell is live exactly while
//! its state in the side table says so, and its memory is mapped all that time.

mod adopt;
mod cells;
mod layout;
mod pages;
mod reserve;
mod saved;
mod side;
mod space;
mod stale;

pub use adopt::{Adoption, CellDamage};
pub use layout::{
    BLOCK_MIN, CELL_MAGIC, CellHeader, ChunkEntry, ChunkKind, PageEntry, PageTag, Purpose,
    SLOT_SIZE, Slot,
};
pub use reserve::{Arena, ArenaConfig, ReserveError};
pub use saved::{
    FrozenEntry, FrozenHeader, MAP_PAGES, TablePage, WrongEntry, first_table_page,
    frozen_page_entry, later_table_pages, map_pages,
};
pub use side::{MapWords, SlabNote, SlabTag, WORDS_PER_PAGE};
pub use space::Space;
