//! Which of the possible outcomes of a crash are tried: all of them while they are few, and
//! then the extremes, those next to them, and a sample.
//!
//! Invariant: "all survive" and "none survives" are the first two of every list.

use super::{
    pending::Pending,
    random::{Random, number_for},
    state::Op,
    tear::{Fate, Tear, tears},
};

/// So many operations have no more subsets than the list for many operations would have.
const FEW: usize = 3;
/// Subsets are counted in a machine word, and nobody waits for more.
const EXHAUSTIVE_MAX: usize = 20;

/// How much of what a crash may leave is tried.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Up to so many unsynced changes to files, all subsets of them are taken. Of more: all,
    /// none, all but one, one alone, each beginning, and `random` others.
    pub data: usize,
    /// Likewise for unsynced changes of names.
    pub names: usize,
    /// How many random subsets there are, and random mixtures of what is lost, whole and torn.
    pub random: usize,
    /// Up to so many blocks of a torn write are missing one at a time.
    pub blocks: usize,
    /// How many states there are about, at most; beyond, a sample of them is taken. All and
    /// none of the names are always combined with all and none of the bytes.
    pub states: usize,
    /// What the random choices come from.
    pub seed: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { data: 6, names: 6, random: 8, blocks: 8, states: 4096, seed: 0 }
    }
}

/// Which of some operations survive, by their places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subset {
    All,
    None,
    /// Those whose bits are set.
    Bits(u64),
    Without(usize),
    Only(usize),
    First(usize),
    /// Each by a coin, of this seed.
    Random(u64),
}

impl Subset {
    pub(super) fn has(self, place: usize) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Bits(bits) => bits >> place & 1 == 1,
            Self::Without(missing) => place != missing,
            Self::Only(only) => place == only,
            Self::First(count) => place < count,
            Self::Random(seed) => number_for(seed, place) & 1 == 1,
        }
    }

    /// The subsets of `count` operations that are tried.
    pub(super) fn list(
        count: usize,
        exhaustive: usize,
        random_count: usize,
        random: &mut Random,
    ) -> Vec<Self> {
        let mut list = vec![Self::All];
        list.extend((count > 0).then_some(Self::None));
        if count <= exhaustive.clamp(FEW, EXHAUSTIVE_MAX) {
            list.extend((1..(1_u64 << count) - 1).map(Self::Bits));
        } else {
            list.extend((0..count).map(Self::Without));
            list.extend((0..count).map(Self::Only));
            // The shortest and the longest beginning are there already.
            list.extend((2..count - 1).map(Self::First));
            list.extend((0..random_count).map(|_| Self::Random(random.draw())));
        }
        list
    }
}

/// What becomes of the changes to files.
#[derive(Debug, Clone, Copy)]
pub(super) enum Choice {
    /// Each is whole or lost.
    Whole(Subset),
    /// One is torn.
    Torn { place: usize, tear: Tear, others: Subset },
    /// Each is whole, lost or torn, by this seed.
    Mixed(u64),
}

impl Choice {
    pub(super) fn fate(self, place: usize, op: &Op) -> Fate {
        let whole_if = |survives| if survives { Fate::Whole } else { Fate::Lost };
        match self {
            Self::Whole(subset) => whole_if(subset.has(place)),
            Self::Torn { place: torn, tear, .. } if torn == place => Fate::Torn(tear),
            Self::Torn { others, .. } => whole_if(others.has(place)),
            Self::Mixed(seed) => match (number_for(seed, place), op) {
                (number, _) if number & 3 == 0 => Fate::Lost,
                (number, Op::Write(_, _, bytes)) if number & 3 == 1 && bytes.len() > 1 => {
                    Fate::Torn(Tear::any(number, bytes.len()))
                }
                _ => Fate::Whole,
            },
        }
    }

    /// The choices that are tried.
    pub(super) fn list(pending: &Pending, bounds: &Bounds, random: &mut Random) -> Vec<Self> {
        let count = pending.data.len();
        let subsets = Subset::list(count, bounds.data, bounds.random, random);
        let mut list: Vec<Self> = subsets.into_iter().map(Self::Whole).collect();
        let whole = list.len();
        for (place, change) in pending.data.iter().enumerate() {
            let Op::Write(_, offset, bytes) = pending.op(change.at) else { continue };
            for tear in tears(*offset, bytes.len(), change.extends, bounds.blocks, random) {
                let others = around(place, count);
                list.extend(others.map(|others| Self::Torn { place, tear, others }));
            }
        }
        if list.len() > whole {
            list.extend((0..bounds.random).map(|_| Self::Mixed(random.draw())));
        }
        list
    }
}

/// What else survives where one write is torn: all others, those before it, none.
fn around(place: usize, count: usize) -> impl Iterator<Item = Subset> {
    let (first, last) = (place == 0, place + 1 == count);
    let before = (!first && !last).then_some(Subset::First(place));
    let none = (count > 1).then_some(Subset::None);
    [Some(Subset::All), before, none].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(count: usize, exhaustive: usize) -> Vec<Subset> {
        Subset::list(count, exhaustive, 5, &mut Random::new(1))
    }

    fn members(subset: Subset, count: usize) -> Vec<bool> {
        (0..count).map(|place| subset.has(place)).collect()
    }

    #[test]
    fn few_operations_have_all_their_subsets_once() {
        for count in 0..=7 {
            let mut found: Vec<_> =
                list(count, 7).into_iter().map(|subset| members(subset, count)).collect();
            assert_eq!(found.len(), 1 << count);
            found.sort();
            found.dedup();
            assert_eq!(found.len(), 1 << count);
        }
    }

    #[test]
    fn many_operations_have_the_extremes_those_next_to_them_and_a_sample() {
        let list = list(9, 8);
        assert_eq!(list.len(), 2 + 9 + 9 + 6 + 5);
        assert_eq!(list[..2], [Subset::All, Subset::None]);
        let mut plain: Vec<_> = list[..26].iter().map(|subset| members(*subset, 9)).collect();
        plain.sort();
        plain.dedup();
        assert_eq!(plain.len(), 26, "none of them twice");
        let ones = plain.iter().map(|members| members.iter().filter(|&&member| member).count());
        assert_eq!(ones.clone().filter(|&count| count == 8).count(), 9);
        assert_eq!(ones.filter(|&count| count == 1).count(), 9);
    }

    #[test]
    fn a_torn_write_is_tried_beside_all_earlier_and_no_others_and_no_way_twice() {
        let all = |place, count| around(place, count).collect::<Vec<_>>();
        assert_eq!(all(0, 1), [Subset::All]);
        assert_eq!(all(0, 3), [Subset::All, Subset::None]);
        assert_eq!(all(1, 3), [Subset::All, Subset::First(1), Subset::None]);
        assert_eq!(all(2, 3), [Subset::All, Subset::None]);
    }
}
