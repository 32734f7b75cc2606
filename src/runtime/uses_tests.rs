//! The list of blocks used last: what gives way to what, and what is counted.

use super::*;
use crate::base::PAGES_PER_CHUNK;
use std::thread;

fn empty() -> Uses {
    Uses::new(Vec::new())
}

/// Pages of one set, as many as asked for.
fn of_set(set: usize, count: usize) -> Vec<PageIndex> {
    let pages = (0..).filter(|&page: &u32| scatter(page as usize) % SETS == set);
    pages.take(count).map(PageIndex).collect()
}

#[test]
fn a_set_is_a_line() {
    assert_eq!((size_of::<Set>(), align_of::<Set>()), (64, 64));
}

#[test]
fn what_was_used_longest_ago_gives_way() {
    let uses = empty();
    let pages = of_set(7, WAYS + 2);
    pages[..WAYS].iter().for_each(|&page| uses.touch(page, 0));
    assert_eq!(uses.pages(), pages[..WAYS]);
    // The first is used again, so the second and the third are the oldest.
    uses.touch(pages[0], 0);
    uses.touch(pages[WAYS], 0);
    uses.touch(pages[WAYS + 1], 0);
    let left = [&pages[..1], &pages[3..]].concat();
    assert_eq!(uses.pages(), left);
    assert_eq!(uses.stats(), UseStats { noted: 11, hits: 1, kept: 8 });
}

#[test]
fn hits_are_counted_in_all_stripes() {
    let uses = empty();
    assert_eq!((uses.stats(), uses.stats().hit_rate()), (UseStats::default(), None));
    for round in 0..4 {
        (0..100).for_each(|page| uses.touch(PageIndex(page * 8), page as usize % STRIPES));
        assert_eq!(
            uses.stats(),
            UseStats { noted: 100 * (round + 1), hits: 100 * round, kept: 100 }
        );
    }
    assert_eq!(uses.stats().hit_rate(), Some(0.75));
}

#[test]
fn page_zero_is_a_page_and_the_last_one_too() {
    let uses = empty();
    for page in [0, u32::MAX, 0, u32::MAX] {
        uses.touch(PageIndex(page), 0);
    }
    assert_eq!(uses.pages(), [PageIndex(0), PageIndex(u32::MAX)]);
    assert_eq!(uses.stats().hits, 2);
}

#[test]
fn pages_of_all_sets_have_their_places() {
    // Blocks of four pages, one behind the other: they must not crowd in a quarter of the sets.
    let uses = empty();
    (0..2048).for_each(|block| uses.touch(PageIndex(block * 4), 0));
    assert!(uses.stats().kept > UseStats::PLACES * 15 / 32, "{:?}", uses.stats());
    let uses = empty();
    for set in 0..SETS {
        of_set(set, WAYS).into_iter().for_each(|page| uses.touch(page, 0));
    }
    assert_eq!(uses.stats().kept, UseStats::PLACES);
}

#[test]
fn stamps_begin_anew_in_the_same_order() {
    let uses = empty();
    let pages = of_set(3, WAYS + 3);
    pages[..5].iter().for_each(|&page| uses.touch(page, 0));
    // As if it had been touched four thousand million times.
    for way in &uses.sets[3].0[..5] {
        way.fetch_add(u64::from(u32::MAX - 5) << 32, Relaxed);
    }
    pages[5..].iter().for_each(|&page| uses.touch(page, 0));
    let stamps = || uses.sets[3].0.each_ref().map(|way| way.load(Relaxed) >> 32);
    assert!(stamps().iter().all(|&stamp| (1..100).contains(&stamp)), "{:?}", stamps());
    assert_eq!(uses.pages(), pages[3..], "the first three were the oldest");
}

#[test]
fn chunks_are_counted_and_what_was_known_before_is_kept_for_a_while() {
    let before = ChunkUse { chunk: ChunkIndex(9), written: 0, read: 5 };
    let uses = Uses::new(vec![before, ChunkUse { chunk: ChunkIndex(2), ..before }]);
    (0..7).for_each(|page| uses.touch(PageIndex(2 * PAGES_PER_CHUNK + page), 0));
    uses.touch(PageIndex(4 * PAGES_PER_CHUNK), 0);
    let chunks = |uses: &Uses| -> Vec<_> {
        uses.by_chunk().into_iter().map(|(chunk, read)| (chunk.0, read)).collect()
    };
    assert_eq!(chunks(&uses), [(2, 7), (4, 1), (9, 5)]);
    (0..UseStats::PLACES).for_each(|_| uses.touch(PageIndex(4 * PAGES_PER_CHUNK), 0));
    assert_eq!(chunks(&uses), [(2, 7), (4, 1)]);
}

#[test]
fn threads_that_meet_in_a_set_lose_a_touch_at_most() {
    const ROUNDS: usize = 20_000;
    let uses = empty();
    let pages: Vec<_> = (0..3).flat_map(|set| of_set(set, WAYS + 4)).collect();
    thread::scope(|scope| {
        for stripe in 0..4 {
            let (uses, pages) = (&uses, &pages);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let place = scatter(round + stripe) % pages.len();
                    uses.touch(pages[place], stripe);
                }
            });
        }
    });
    let stats = uses.stats();
    assert_eq!(stats.noted, 4 * ROUNDS as u64, "no count is lost");
    assert!(stats.hits > 0 && stats.kept <= 3 * WAYS as u64, "{stats:?}");
    assert!(uses.pages().iter().all(|page| pages.contains(page)), "nothing is made up");
    assert!(uses.sets[3..].iter().flat_map(|set| &set.0).all(|way| way.load(Relaxed) == 0));
}

#[test]
fn without_a_heap_nothing_is_noted() {
    (0..100).for_each(|address| note(address * 4096));
    thread::spawn(|| note(1)).join().expect("no panic");
}
