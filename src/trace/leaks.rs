//! What is lost: blocks to which no root leads, and which of them hold the others.
//!
//! *Heads* are as few lost blocks as lead to all others: of a cycle that nothing else leads to,
//! one. A walk through what is lost, from each block that was not reached by then, gives
//! candidates. One is no head if another leads to it; that one comes later, or it would not be a
//! candidate. So the walk is done again from the last one on, and those reached then are no heads.

use crate::arena::Purpose;
use crate::base::CHUNK_SIZE;
use crate::trace::blocks::Group;
use crate::trace::{Amount, Block, Source, Tally, Trace, Visit};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// What a block in quarantine is filled with: taken for addresses, such that the processor refuses.
pub const QUARANTINED: u8 = 0xdf;

/// Heads that are told of.
const HEADS: usize = 100;
/// How many of a head's first bytes are shown, and looked at for what they lead to.
const SHOWN: u64 = 32;
const LOOKED_AT: u64 = 64 << 10;

/// What no root leads to in a snapshot. The text says what it means.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Leaks {
    /// The snapshot's number.
    pub snapshot: u64,
    /// All blocks of the snapshot.
    pub found: Tally,
    /// Those to which no root leads.
    pub lost: Tally,
    /// The same, by size.
    pub by_size: Vec<LostOfSize>,
    /// How many heads there are: lost blocks that hold the others.
    pub heads: u64,
    /// The heads with most in them, a hundred at most: those in scoped and tracked memory first.
    pub largest: Vec<Lost>,
}

/// Lost blocks of one size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct LostOfSize {
    /// Bytes of a block of a slab; `None`: blocks of whole pages, of all sizes.
    pub block_bytes: Option<u64>,
    /// Whether they are of a chunk (2 MiB) or more.
    pub is_large: bool,
    /// How much of it is lost.
    pub lost: Tally,
}

/// A head: a lost block, and what is lost with it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Lost {
    /// Its address.
    pub address: u64,
    /// Its bytes, those included that were not asked for.
    pub len: u64,
    /// Its size class, if it lies in a slab.
    pub class: Option<u8>,
    /// Which memory it lies in.
    pub purpose: Purpose,
    /// What would be free without it, it included: lost blocks that it leads to, and no head that
    /// was looked at before.
    pub retained: Amount,
    /// Whether something that it leads to leads back to it.
    pub is_cycle: bool,
    /// Its first bytes, 32 at most.
    pub bytes: Vec<u8>,
    /// The roots to whose memory it leads itself.
    pub leads_to: Vec<String>,
}

impl Leaks {
    /// Whether memory is lost that was allocated for roots, inside scopes. Other lost memory of a
    /// running program's snapshot is mostly what the program had in use.
    #[must_use]
    pub fn is_suspicious(&self) -> bool {
        self.lost.scoped.blocks + self.lost.tracked.blocks > 0
    }

    /// Finds them, in a trace that has not been run.
    ///
    /// # Errors
    /// If a page cannot be had.
    pub fn find<S: Source>(trace: &mut Trace<S>, snapshot: u64) -> Result<Self, S::Error> {
        if trace.roots().len() > 1 {
            trace.blocks.keep_owners();
        }
        // Nobody ends it.
        let _ = trace.run(&mut Silent)?;
        let mut found = trace.all();
        trace.blocks.forget_at_hand(&mut found);
        forget_quarantined(trace, &mut found)?;
        let (mut lost, mut sizes) = (Tally::default(), BTreeMap::<_, Tally>::new());
        for block in trace.blocks().unreached() {
            lost.add(&block);
            let bytes = block.class.map(|_| block.len);
            let is_large = block.len >= CHUNK_SIZE as u64;
            sizes.entry((bytes.is_none(), bytes, is_large)).or_default().add(&block);
        }
        let of_size =
            |((_, block_bytes, is_large), lost)| LostOfSize { block_bytes, is_large, lost };
        let by_size = sizes.into_iter().map(of_size).collect();
        let left: Vec<u64> = trace.blocks.groups.iter().map(Group::unreached).collect();
        let (heads, largest) = heads(trace, &left)?;
        let names: Vec<String> = trace.roots().iter().map(|root| root.name().to_owned()).collect();
        let told = largest.into_iter().map(|head| tell(trace, &head, &left, &names));
        let largest = told.collect::<Result<_, _>>()?;
        Ok(Self { snapshot, found, lost, by_size, heads, largest })
    }
}

/// What was freed, and is kept in quarantine, counts as free from now on: it is taken out of that
/// sum.
fn forget_quarantined<S: Source>(trace: &mut Trace<S>, sum: &mut Tally) -> Result<(), S::Error> {
    for chunk in 0..trace.blocks.chunks.len() {
        let here: Vec<Block> = trace.blocks.in_chunk(chunk, |_, group| group.unreached()).collect();
        for block in here {
            let address = trace.arena().start + block.start;
            if is_quarantined(&trace.bytes(address, 8)?)
                && is_quarantined(&trace.bytes(address, block.len)?)
            {
                trace.blocks.forget(block.start);
                sum.subtract(&block);
            }
        }
    }
    Ok(())
}

fn is_quarantined(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == QUARANTINED)
}

struct Silent;

impl Visit for Silent {}

/// A head, while what it holds is found.
struct Head {
    block: Block,
    retained: Amount,
    is_cycle: bool,
}

impl Visit for Head {
    fn reached(&mut self, _root: usize, block: &Block) {
        self.retained.blocks += 1;
        self.retained.bytes += block.len;
    }

    fn again(&mut self, _root: usize, block: &Block) {
        self.is_cycle |= block.start == self.block.start;
    }
}

/// How many heads there are, and the largest of them. `left`: the bits of what is lost.
fn heads<S: Source>(trace: &mut Trace<S>, left: &[u64]) -> Result<(u64, Vec<Head>), S::Error> {
    let mut candidates = vec![0; left.len()];
    for chunk in 0..trace.blocks.chunks.len() {
        let here: Vec<Block> = trace.blocks.in_chunk(chunk, |_, group| group.unreached()).collect();
        for block in here {
            if trace.start(0, block.start, &mut Silent) {
                trace.blocks.mark(&mut candidates, block.start);
                let _ = trace.follow(0, &mut Silent)?;
            }
        }
    }
    for (group, &left) in trace.blocks.groups.iter_mut().zip(left) {
        group.left |= left;
        group.reached &= !left;
    }
    let (mut count, mut largest) = (0, BTreeMap::new());
    for chunk in (0..trace.blocks.chunks.len()).rev() {
        let here: Vec<Block> = trace.blocks.in_chunk(chunk, |group, _| candidates[group]).collect();
        for block in here.into_iter().rev() {
            let mut head = Head { block, retained: Amount::default(), is_cycle: false };
            if trace.start(0, block.start, &mut head) {
                let _ = trace.follow(0, &mut head)?;
                count += 1;
                let is_ambient = block.purpose == Purpose::Ambient;
                let order = (is_ambient, Reverse(head.retained.bytes), block.start);
                largest.insert(order, head);
                if largest.len() > HEADS {
                    largest.pop_last();
                }
            }
        }
    }
    Ok((count, largest.into_values().collect()))
}

/// What there is to say of a head.
fn tell<S: Source>(
    trace: &mut Trace<S>,
    head: &Head,
    left: &[u64],
    names: &[String],
) -> Result<Lost, S::Error> {
    let Head { block, retained, is_cycle } = *head;
    let arena = trace.arena().clone();
    let address = arena.start + block.start;
    let mut bytes = trace.bytes(address, LOOKED_AT)?;
    let words = bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word));
    let inside = words.filter(|word| arena.contains(word)).map(|word| word - arena.start);
    let owners = inside.filter_map(|at| trace.blocks.owner_but(left, at));
    let owners: BTreeSet<usize> = owners.collect();
    let leads_to = owners.into_iter().filter_map(|root| names.get(root).cloned()).collect();
    bytes.truncate(usize::try_from(SHOWN).unwrap_or(0));
    let Block { len, class, purpose, .. } = block;
    Ok(Lost { address, len, class, purpose, retained, is_cycle, bytes, leads_to })
}
