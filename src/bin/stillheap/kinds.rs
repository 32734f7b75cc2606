//! Kinds of memory, and what lies in pages: the words that reports have for them.

use stillheap::{
    arena::ChunkKind,
    base::{PAGE_SIZE, PageIndex},
    heap::{class_pages, class_size},
};

/// Which memory a page belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Memory {
    Free,
    Tables,
    Ambient,
    Scoped,
    Tracked,
}

/// What lies in a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Content {
    Free,
    Tables,
    Slab { class: u8 },
    Run,
    Large,
}

/// Neighbouring pages of one slab, run, large block (or its tail), or table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stretch {
    pub(crate) first: PageIndex,
    pub(crate) count: u32,
    pub(crate) memory: Memory,
    pub(crate) content: Content,
    /// Blocks in use: of a slab many, of a run one, of a large block one where it begins.
    pub(crate) blocks: u32,
}

/// Blocks of a slab.
pub(crate) fn blocks_of(class: u8) -> u32 {
    let blocks = class_pages(class.into()) * PAGE_SIZE / class_size(class.into());
    u32::try_from(blocks).unwrap_or(u32::MAX)
}

impl Memory {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Tables => "tables",
            Self::Ambient => "ambient",
            Self::Scoped => "scoped",
            Self::Tracked => "tracked",
        }
    }
}

impl Content {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Tables => "tables",
            Self::Slab { .. } => "slab",
            Self::Run => "run",
            Self::Large => "large",
        }
    }

    /// Bytes of a slab's blocks.
    pub(crate) fn block_bytes(self) -> Option<u64> {
        match self {
            Self::Slab { class } => Some(class_size(class.into()) as u64),
            _ => None,
        }
    }
}

pub(crate) fn kind_name(kind: ChunkKind) -> &'static str {
    match kind {
        ChunkKind::Free => "free",
        ChunkKind::Paged => "paged",
        ChunkKind::LargeHead => "large head",
        ChunkKind::LargeBody => "large body",
    }
}
