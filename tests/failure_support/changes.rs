//! Changes outside windows, at random: blocks of all sizes are taken and given back, up to whole
//! cells, and what was given back is soon taken anew; pages are written.

#[path = "../random_support/mod.rs"]
mod random;

pub(crate) use random::Random;

use super::{BLOCKS, Block, World, Writer, check_image};
use std::collections::BTreeSet;
use stillheap::arena::{Arena, PageEntry, PageTag, Purpose};
use stillheap::base::{PAGES_PER_CHUNK, PageIndex};
use stillheap::cow::CellKind;
use stillheap::image::{Chain, Manifest};
use stillheap::os::sim::SimDir;

/// Blocks that there are at most.
const MOST: usize = 24;
/// Pages of the smallest block with cells of its own.
const SPAN: u32 = 32 * PAGES_PER_CHUNK;

impl Random {
    /// Whether something happens that does so in `percent` of all cases.
    pub(crate) fn chance(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }

    /// A block's pages: few, some chunks, most of a cell, or more than one.
    fn pages(&mut self) -> u32 {
        match self.below(100) {
            0..40 => 1 + self.below(40),
            40..60 => PAGES_PER_CHUNK,
            60..90 => PAGES_PER_CHUNK + self.below(3 * PAGES_PER_CHUNK),
            90..97 => (20 + self.below(11)) * PAGES_PER_CHUNK + self.below(PAGES_PER_CHUNK),
            _ => SPAN + self.below(PAGES_PER_CHUNK),
        }
    }
}

impl World {
    /// Changes outside windows, at random.
    pub(crate) fn change_at_random(&self, random: &mut Random) {
        let mut writer = self.writer();
        for _ in 0..random.below(8) {
            match random.below(10) {
                0..2 => writer.take_any(&self.arena, random),
                2..4 => writer.give_any(&self.arena, random),
                // The same memory may come back, with other contents, between two snapshots.
                4 => {
                    writer.give_any(&self.arena, random);
                    writer.take_any(&self.arena, random);
                }
                5..7 => writer.write_any(&self.arena, CellKind::Guarded),
                _ => (0..1 + random.below(20))
                    .for_each(|_| writer.write_any(&self.arena, CellKind::Tracked)),
            }
        }
    }

    /// Cells in use.
    pub(crate) fn cells(&self) -> usize {
        self.arena.live_cells().count()
    }

    /// Each snapshot of the directory holds exactly what was frozen for it. Gives the length of
    /// the longest chain.
    pub(crate) fn check_all(&self, dir: &SimDir, manifest: &Manifest) -> usize {
        let chains = manifest.snapshots.iter().map(|snapshot| {
            let chain = Chain::open(dir, manifest, snapshot).expect("a snapshot");
            check_image(self, snapshot.number, &chain);
            chain.segments().len()
        });
        let longest = chains.max().unwrap_or(0);
        let there: BTreeSet<u64> =
            manifest.snapshots.iter().map(|snapshot| snapshot.number).collect();
        self.writer().frozen.retain(|number, _| there.contains(number));
        longest
    }
}

impl Writer {
    fn take_any(&mut self, arena: &Arena, random: &mut Random) {
        let (pages, is_tracked) = (random.pages(), random.chance(40));
        let purpose = if is_tracked { Purpose::Tracked } else { Purpose::Scoped };
        let kind = purpose.kind();
        if self.blocks.len() >= MOST {
            return;
        }
        if pages >= PAGES_PER_CHUNK {
            // There may be no room for it.
            if let Some((first, zeroed)) = self.space.take_large(arena, purpose, pages, 8) {
                self.add(arena, Block { first, pages, kind }, zeroed);
            }
            return;
        }
        let entry = |place: u32| match place {
            0 => PageEntry { tag: PageTag::RunHead, back: to_u16(pages), ..PageEntry::NONE },
            _ => PageEntry { tag: PageTag::RunBody, back: to_u16(place), ..PageEntry::NONE },
        };
        if let Some(first) = self.space.take_pages(arena, purpose, pages, 1, entry) {
            self.blocks.push(Block { first, pages, kind });
            // It may have anything in it.
            for page in first.0..first.0 + pages {
                self.write(arena, PageIndex(page), kind);
            }
        }
    }

    /// The first ones stay, for the writer in windows.
    fn give_any(&mut self, arena: &Arena, random: &mut Random) {
        let more = self.blocks.len().saturating_sub(BLOCKS);
        let Some(more) = u32::try_from(more).ok().filter(|more| *more > 0) else { return };
        let kept = |block: &Block| block.pages == PAGES_PER_CHUNK;
        let place = BLOCKS + random.below(more) as usize;
        let block = self.blocks[place];
        let like = |other: &&Block| kept(other) && other.kind == block.kind;
        if kept(&block) && self.blocks.iter().filter(like).count() < 3 {
            return;
        }
        self.blocks.remove(place);
        self.forget(block);
        if block.pages >= PAGES_PER_CHUNK {
            self.space.give_large(arena, block.first);
        } else {
            self.space.give_pages(arena, block.first, block.pages);
        }
    }
}

fn to_u16(pages: u32) -> u16 {
    u16::try_from(pages).expect("fewer than a chunk has")
}
