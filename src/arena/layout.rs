//! The bytes of a cell's metadata chunk. They are part of the image: FORMAT.md names them.
//!
//! Everything is an atomic integer, so that any bytes that an image may hold are a valid
//! value, and threads may look at a table while another changes it. Decoding goes through
//! [`ChunkKind::decode`] and its kin, which give `None` for what is not in the table.

use crate::base::sync::{AtomicU32, AtomicU64};
use crate::base::{CHUNK_SIZE, CHUNKS_PER_CELL, PAGE_SIZE, PAGES_PER_CHUNK};
use crate::cow::CellKind;
use static_assertions::const_assert_eq;
use std::mem::{offset_of, size_of};
use std::ops::Range;

/// Bytes of metadata for each chunk.
pub const SLOT_SIZE: usize = 64 << 10;
/// The smallest block in bytes: one bit of a live map stands for it.
pub const BLOCK_MIN: usize = 16;
/// Words of a live map for each page.
pub(crate) const LIVE_WORDS_PER_PAGE: usize = PAGE_SIZE / BLOCK_MIN / 64;
const LIVE_WORDS: usize = LIVE_WORDS_PER_PAGE * PAGES_PER_CHUNK as usize;

/// The first word of a live cell: "stillcel" in ASCII.
pub const CELL_MAGIC: u64 = u64::from_le_bytes(*b"stillcel");

/// The metadata of one chunk.
#[repr(C)]
pub struct Slot {
    /// What the chunk is used for.
    pub entry: ChunkEntry,
    unused_a: [u8; 0x800 - size_of::<ChunkEntry>()],
    /// What each page belongs to: see [`PageEntry`].
    pub pages: [AtomicU32; PAGES_PER_CHUNK as usize],
    unused_b: [u8; 0x3000],
    /// One bit a block of a slab, from the slab's first page on: set while it is allocated.
    pub live: [AtomicU64; LIVE_WORDS],
    /// One bit a block: live, but free when a lane was given its word to take blocks from.
    pub at_hand: [AtomicU64; LIVE_WORDS],
    unused_c: [u8; 0x4000],
}

/// Where a slot's maps lie: whole pages.
pub(super) const MAPS: Range<usize> = offset_of!(Slot, live)..offset_of!(Slot, unused_c);

const_assert_eq!(size_of::<Slot>(), SLOT_SIZE);
const_assert_eq!(MAPS.start % PAGE_SIZE, 0);
const_assert_eq!(MAPS.end % PAGE_SIZE, 0);
// All that is in use before the maps is in the first page.
const_assert_eq!(offset_of!(Slot, unused_b), PAGE_SIZE);
const_assert_eq!(offset_of!(Slot, pages), 0x800);
const_assert_eq!(offset_of!(Slot, live), 0x4000);
const_assert_eq!(offset_of!(Slot, at_hand), 0x8000);
const_assert_eq!(SLOT_SIZE * CHUNKS_PER_CELL as usize, CHUNK_SIZE);

/// What a chunk is used for. All zero: a free chunk.
#[repr(C)]
pub struct ChunkEntry {
    /// A [`ChunkKind`].
    pub kind: AtomicU32,
    /// A [`Purpose`]; of no meaning in a free chunk.
    pub purpose: AtomicU32,
    /// Of a large block's head: its length in pages.
    pub run_pages: AtomicU32,
    /// Of a large block's head: pages from the head chunk's start to the block (an alignment
    /// above a chunk's asks for it). Of a body: chunks back to the head.
    pub offset: AtomicU32,
    /// Of a paged chunk: one bit a page, set while it belongs to a run.
    pub used: [AtomicU64; 8],
}

/// The head of slot 0.
#[repr(C)]
pub struct CellHeader {
    /// [`CELL_MAGIC`].
    pub magic: AtomicU64,
    /// The cell's own number.
    pub cell: AtomicU32,
    /// Cells in the span that starts here; 1 for a cell that stands alone.
    pub span: AtomicU32,
}

/// What a chunk holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum ChunkKind {
    /// Nothing; its memory reads as zero.
    Free = 0,
    /// Runs of pages: slabs and medium blocks.
    Paged = 1,
    /// The first chunk of a large block.
    LargeHead = 2,
    /// A later chunk that a large block fills.
    LargeBody = 3,
}

impl ChunkKind {
    /// The kind with that number.
    #[must_use]
    pub fn decode(number: u32) -> Option<Self> {
        [Self::Free, Self::Paged, Self::LargeHead, Self::LargeBody]
            .into_iter()
            .find(|kind| *kind as u32 == number)
    }
}

/// Which memory lies together in a chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Purpose {
    /// Allocated outside a scope: mostly temporary.
    Ambient = 0,
    /// Allocated inside a scope: mostly lasting.
    Scoped = 1,
    /// Pages whose writes are announced by software.
    Tracked = 2,
}

impl Purpose {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Ambient, Self::Scoped, Self::Tracked];

    /// How writes to such memory are noticed.
    #[must_use]
    pub fn kind(self) -> CellKind {
        if self == Self::Tracked { CellKind::Tracked } else { CellKind::Guarded }
    }

    /// The purpose with that number.
    #[must_use]
    pub fn decode(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| *purpose as u32 == number)
    }
}

/// What a page belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum PageTag {
    /// To nothing.
    None = 0,
    /// To a slab; `class` is its size class, `back` counts the pages to its first.
    Slab = 1,
    /// It is the first of a run that is one block; `back` holds the run's length in pages.
    RunHead = 2,
    /// It is a later page of such a run; `back` counts the pages to its first.
    RunBody = 3,
    /// To the end of a large block that starts in an earlier chunk.
    LargeTail = 4,
}

/// A page entry: tag in bits 0..8, class in bits 8..16, `back` in bits 16..32.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageEntry {
    /// What the page belongs to.
    pub tag: PageTag,
    /// A slab's size class, else 0.
    pub class: u8,
    /// See [`PageTag`].
    pub back: u16,
}

impl PageEntry {
    /// The entry of a page that belongs to nothing.
    pub const NONE: Self = Self { tag: PageTag::None, class: 0, back: 0 };

    /// The entry's 32 bits.
    #[must_use]
    pub fn encode(self) -> u32 {
        self.tag as u32 | u32::from(self.class) << 8 | u32::from(self.back) << 16
    }

    /// The entry of these bits, if the tag is a known one.
    #[must_use]
    pub fn decode(bits: u32) -> Option<Self> {
        let [tag, class, low, high] = bits.to_le_bytes();
        let tag = match tag {
            0 => PageTag::None,
            1 => PageTag::Slab,
            2 => PageTag::RunHead,
            3 => PageTag::RunBody,
            4 => PageTag::LargeTail,
            _ => return None,
        };
        Some(Self { tag, class, back: u16::from_le_bytes([low, high]) })
    }
}
