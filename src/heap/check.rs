//! Checking the tables that the heap keeps for a chunk: page entries, live maps, and maps of what
//! is at hand.

use crate::arena::{CellDamage, ChunkKind, PageEntry, PageTag, Purpose, Slot};
use crate::base::sync::Ordering::Relaxed;
use crate::base::{ChunkIndex, PAGES_PER_CHUNK, PageIndex};
use crate::heap::Heap;
use crate::heap::classes::{Class, TABLE};
use crate::heap::{maps, slab};

/// What is wrong with a heap's tables.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// A cell's own tables contradict themselves.
    #[error(transparent)]
    Cell(#[from] CellDamage),
    /// A page's entry does not fit its neighbours.
    #[error("page {page}: {what} (entry {found:#010x})")]
    Page {
        /// The page's number in the arena.
        page: u32,
        /// What is wrong.
        what: &'static str,
        /// The entry found.
        found: u32,
    },
    /// A slab's maps or counts contradict each other.
    #[error("the slab at page {page}: {what} (expected {expected}, found {found})")]
    Slab {
        /// The slab's first page.
        page: u32,
        /// What is wrong.
        what: &'static str,
        /// The value expected.
        expected: u64,
        /// The value found.
        found: u64,
    },
    /// The superblock is not this arena's.
    #[error("the superblock's {what}: expected {expected:#x}, found {found:#x}")]
    Superblock {
        /// The field.
        what: &'static str,
        /// The value expected.
        expected: u64,
        /// The value found.
        found: u64,
    },
    /// The image does not hold main cell 0, in which superblock and roots lie.
    #[error("the image has no cell 0, which holds the superblock")]
    NoFirstCell,
    /// An entry of the root table is wrong.
    #[error("entry {index} of the root table: {what} (found {found:#x})")]
    Root {
        /// Its place in the table.
        index: usize,
        /// What is wrong.
        what: &'static str,
        /// The value found.
        found: u64,
    },
}

impl Heap {
    /// Checks all that the heap keeps in the tables for a chunk of a live or pending cell.
    pub(super) fn check_chunk(&self, chunk: ChunkIndex) -> Result<(), Damage> {
        let Some(slot) = self.arena.slot_unchecked(chunk) else { return Ok(()) };
        if ChunkKind::decode(slot.entry.kind.load(Relaxed)) != Some(ChunkKind::Paged) {
            return Ok(());
        }
        let purpose = Purpose::decode(slot.entry.purpose.load(Relaxed));
        let tracked = purpose == Some(Purpose::Tracked);
        let mut place = 0;
        while place < PAGES_PER_CHUNK {
            let page = PageIndex(chunk.first_page().0 + place);
            let wrong = |what| damage(slot, page, what);
            let entry = entry(slot, place).ok_or_else(|| wrong("unknown tag"))?;
            place += match entry.tag {
                PageTag::None | PageTag::LargeTail => 1,
                PageTag::Slab if tracked => return Err(wrong("a slab in tracked memory")),
                PageTag::Slab => {
                    let class = check_slab(slot, page, entry)?;
                    check_maps(slot, page, class)?;
                    class.pages
                }
                PageTag::RunHead => check_run(slot, page, entry)?,
                PageTag::RunBody => return Err(wrong("a run's later page without its first")),
            };
        }
        Ok(())
    }

    /// Calls `visit` for the first page and class of each slab of a checked chunk.
    pub(super) fn for_slabs(&self, chunk: ChunkIndex, visit: impl FnMut(PageIndex, u8)) {
        for_slabs(chunk, || self.arena.slot(chunk), visit);
    }
}

/// The same, of the chunk whose slot `slot_now` gives as long as there is one: the visit may give
/// the slab up, and with it the chunk and its cell.
pub(super) fn for_slabs<'a>(
    chunk: ChunkIndex,
    slot_now: impl Fn() -> Option<&'a Slot>,
    mut visit: impl FnMut(PageIndex, u8),
) {
    let is_paged = |slot: &&Slot| slot.entry.kind.load(Relaxed) == ChunkKind::Paged as u32;
    let mut place = 0;
    while place < PAGES_PER_CHUNK {
        let Some(slot) = slot_now().filter(is_paged) else { return };
        place += match entry(slot, place) {
            Some(PageEntry { tag: PageTag::Slab, class, back: 0 }) => {
                visit(PageIndex(chunk.first_page().0 + place), class);
                TABLE.get(usize::from(class)).map_or(1, |class| class.pages)
            }
            Some(PageEntry { tag: PageTag::RunHead, back: pages, .. }) => u32::from(pages).max(1),
            _ => 1,
        };
    }
}

fn entry(slot: &Slot, place: u32) -> Option<PageEntry> {
    PageEntry::decode(slot.pages.get(place as usize)?.load(Relaxed))
}

/// Checks a run; gives its length.
fn check_run(slot: &Slot, page: PageIndex, head: PageEntry) -> Result<u32, Damage> {
    let first = page.within_chunk();
    let count = u32::from(head.back);
    if count == 0 || first + count > PAGES_PER_CHUNK || head.class != 0 {
        return Err(damage(slot, page, "a run that is empty or leaves its chunk"));
    }
    for place in 1..count {
        let body = entry(slot, first + place);
        let fits = body.is_some_and(|body| {
            body.tag == PageTag::RunBody && u32::from(body.back) == place && body.class == 0
        });
        if !fits {
            let page = PageIndex(page.0 + place);
            return Err(damage(slot, page, "should be a later page of the run before it"));
        }
    }
    Ok(count)
}

/// Checks a slab's entries; gives its class.
fn check_slab(slot: &Slot, page: PageIndex, head: PageEntry) -> Result<&'static Class, Damage> {
    let first = page.within_chunk();
    let class = TABLE
        .get(usize::from(head.class))
        .filter(|class| head.back == 0 && first + class.pages <= PAGES_PER_CHUNK)
        .ok_or_else(|| damage(slot, page, "no slab of that class begins here"))?;
    for place in 1..class.pages {
        let body = entry(slot, first + place);
        let fits = body.is_some_and(|body| {
            body.tag == PageTag::Slab && u32::from(body.back) == place && body.class == head.class
        });
        if !fits {
            let page = PageIndex(page.0 + place);
            return Err(damage(slot, page, "should be a later page of the slab before it"));
        }
    }
    Ok(class)
}

/// Checks a slab's maps. Who restarts waits until all have been read, once.
fn check_maps(slot: &Slot, page: PageIndex, class: &Class) -> Result<(), Damage> {
    let live = slab::live_words(slot, page, class);
    let at_hand = slab::at_hand_words(slot, page, class);
    let wrong = |what, expected, found| Damage::Slab { page: page.0, what, expected, found };
    let padding = maps::padding(class);
    if let (Some(live), Some(at_hand)) = (live.last(), at_hand.last()) {
        let found = live.load(Relaxed) & padding;
        if found != padding {
            return Err(wrong("bits behind the last block must be set", padding, found));
        }
        let found = at_hand.load(Relaxed) & padding;
        if found != 0 {
            return Err(wrong("blocks behind the last one are at hand", 0, found));
        }
    }
    for (live, at_hand) in live.iter().zip(at_hand) {
        let (live, at_hand) = (live.load(Relaxed), at_hand.load(Relaxed));
        if at_hand & !live != 0 {
            return Err(wrong("blocks at hand that are not live", live, at_hand));
        }
    }
    Ok(())
}

fn damage(slot: &Slot, page: PageIndex, what: &'static str) -> Damage {
    let found = slot.pages[page.within_chunk() as usize].load(Relaxed);
    Damage::Page { page: page.0, what, found }
}
