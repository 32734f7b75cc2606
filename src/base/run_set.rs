//! Sets of pages, as runs: what an image states, and what of it later images leave in force.
//!
//! Invariant: runs rise, none is empty, and none touches the next; so equal sets are equal values.

use crate::base::{PageIndex, PageRun};
use std::ops::Range;

/// A set of pages.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunSet {
    runs: Vec<Range<u64>>,
}

impl RunSet {
    /// All pages there can be.
    #[must_use]
    pub fn all() -> Self {
        let all = 0..1 << 32;
        Self { runs: vec![all] }
    }

    /// The pages of these runs, in any order.
    pub fn of(runs: impl IntoIterator<Item = PageRun>) -> Self {
        let mut ranges: Vec<Range<u64>> = runs.into_iter().map(PageRun::pages).collect();
        if !ranges.is_sorted_by_key(|range| range.start) {
            ranges.sort_unstable_by_key(|range| range.start);
        }
        let mut set = Self::default();
        ranges.into_iter().for_each(|range| set.push(range));
        set
    }

    /// Whether a page is in the set.
    #[must_use]
    pub fn contains(&self, page: PageIndex) -> bool {
        let page = u64::from(page.0);
        let after = self.runs.partition_point(|run| run.start <= page);
        after > 0 && page < self.runs[after - 1].end
    }

    /// Whether all pages of a run are.
    #[must_use]
    pub fn contains_all(&self, run: PageRun) -> bool {
        let pages = run.pages();
        let after = self.runs.partition_point(|run| run.start <= pages.start);
        after > 0 && pages.end <= self.runs[after - 1].end
    }

    /// The pages that are in both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let mut set = Self::default();
        let (mut left, mut right) = (self.runs.iter().peekable(), other.runs.iter().peekable());
        while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
            set.push(a.start.max(b.start)..a.end.min(b.end));
            if a.end < b.end {
                left.next()
            } else {
                right.next()
            };
        }
        set
    }

    /// The pages that are in this one alone.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let mut set = Self::default();
        let mut cuts = other.runs.iter().peekable();
        for run in &self.runs {
            let mut start = run.start;
            while let Some(cut) = cuts.peek().filter(|cut| cut.start < run.end) {
                set.push(start..cut.start);
                start = start.max(cut.end);
                if cut.end > run.end {
                    break;
                }
                cuts.next();
            }
            set.push(start..run.end);
        }
        set
    }

    /// The part of the set that lies in a run.
    #[must_use]
    pub fn within(&self, run: PageRun) -> Self {
        self.and(&Self::of([run]))
    }

    /// The runs, rising. A set of all pages there can be is cut in two.
    pub fn iter(&self) -> impl Iterator<Item = PageRun> {
        const LONGEST: u64 = 1 << 31;
        self.runs.iter().flat_map(|range| {
            range.clone().step_by(1 << 31).map(move |start| {
                let count = (range.end - start).min(LONGEST);
                // Pages fit 32 bits, and so does half of them.
                PageRun { first: page(start), count: u32::try_from(count).unwrap_or(u32::MAX) }
            })
        })
    }

    /// How many pages.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.runs.iter().map(|run| run.end - run.start).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Adds pages that do not begin below the last run's start.
    fn push(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        match self.runs.last_mut().filter(|last| last.end >= range.start) {
            Some(last) => last.end = last.end.max(range.end),
            None => self.runs.push(range),
        }
    }
}

fn page(number: u64) -> PageIndex {
    PageIndex(u32::try_from(number).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn runs() -> impl Strategy<Value = Vec<(u32, u32)>> {
        proptest::collection::vec((0..60_u32, 0..12_u32), 0..8)
    }

    fn both(runs: &[(u32, u32)]) -> (RunSet, BTreeSet<u32>) {
        let set = runs.iter().map(|&(first, count)| PageRun { first: PageIndex(first), count });
        let naive = runs.iter().flat_map(|&(first, count)| first..first + count).collect();
        (RunSet::of(set), naive)
    }

    fn pages(set: &RunSet) -> BTreeSet<u32> {
        for pair in set.runs.windows(2) {
            assert!(pair[0].end < pair[1].start, "{set:?}");
        }
        assert!(set.runs.iter().all(|run| !run.is_empty()));
        set.iter().flat_map(|run| run.first.0..run.first.0 + run.count).collect()
    }

    proptest! {
        #[test]
        fn sets_of_runs_are_sets(left in runs(), right in runs(), first in 0..70_u32) {
            let ((a, naive_a), (b, naive_b)) = (both(&left), both(&right));
            prop_assert_eq!(&pages(&a), &naive_a);
            prop_assert_eq!(pages(&a.and(&b)), &naive_a & &naive_b);
            prop_assert_eq!(pages(&a.without(&b)), &naive_a - &naive_b);
            prop_assert_eq!(a.contains(PageIndex(first)), naive_a.contains(&first));
            prop_assert_eq!(a.len(), naive_a.len() as u64);
            let run = PageRun { first: PageIndex(first), count: 3 };
            let all = (first..first + 3).all(|page| naive_a.contains(&page));
            prop_assert_eq!(a.contains_all(run), all);
            prop_assert_eq!(&a.and(&RunSet::all()), &a);
        }
    }

    #[test]
    fn all_pages_are_more_than_a_run_can_count() {
        let runs: Vec<PageRun> = RunSet::all().iter().collect();
        assert_eq!((runs.len(), RunSet::all().len()), (2, 1 << 32));
        assert_eq!(runs[1].pages().end, 1 << 32);
    }
}
