//! A store's life: rounds of random changes to a living arena, snapshots that hold what has changed
//! or all, mergers, and what the retention drops, on a disk that fails now and then, under changing
//! policies. After each round each retained snapshot holds what was frozen for it and nothing else,
//! chains are short, and no file is left over.
//!
//! A few seconds in `cargo test`, some minutes with `STILLHEAP_LONG=1`.
#![allow(clippy::unwrap_used, reason = "a failing test panics")]

mod failure_support;

use failure_support::changes::Random;
use failure_support::watched::Watched;
use failure_support::{At, Beside, World, attempt, store_with, tidy_up};
use stillheap::cow::Saves;
use stillheap::image::{Compression, Manifest};
use stillheap::os::sim::{Fault, SimDir};
use stillheap::snapshot::{Policy, Store};

/// Segments in a chain at most.
const CHAIN: usize = 33;

/// What has happened.
#[derive(Default, Debug)]
struct Counts {
    snapshots: usize,
    deltas: usize,
    failures: usize,
    mergers: usize,
    failed_mergers: usize,
    openings: usize,
    reverts: usize,
    longest: usize,
    most_retained: usize,
    most_cells: usize,
}

/// How a life goes.
#[derive(Clone, Copy)]
struct Habits {
    seed: u64,
    rounds: u32,
    /// In how many of 100 rounds a call of the disk fails.
    failing: u32,
    /// In how many of 100 rounds there is time for mergers.
    merging: u32,
}

fn policy(random: &mut Random) -> Policy {
    let mut compression = || [Compression::None, Compression::Lz4][random.below(2) as usize];
    let (full, delta) = (compression(), compression());
    let (keep, spare) = (1 + random.below(5) as usize, random.chance(50));
    Policy { keep, full, delta, spare, ..Policy::default() }
}

fn fault(random: &mut Random) -> Fault {
    let lasting = random.chance(50);
    let errno = if lasting { libc::ENOSPC } else { libc::EIO };
    Fault { after: u64::from(random.below(40)), errno, lasting }
}

fn live(habits: Habits) -> Counts {
    let (world, dir) = (World::new(), SimDir::new());
    let mut random = Random::new(habits.seed);
    let mut counts = Counts::default();
    let mut store = store_with(&dir, &world, policy(&mut random));
    // Whether the arena differs from the newest snapshot by what is marked as changed.
    let mut is_durable = true;
    for _ in 0..habits.rounds {
        if is_durable && random.chance(8) {
            store = store_with(&dir, &world, policy(&mut random));
            counts.openings += 1;
        }
        let mut failed = false;
        if counts.snapshots > 3 && random.chance(3) {
            let all = store.snapshots();
            let place = random.below(u32::try_from(all.len()).unwrap());
            store.revert(all[place as usize].number).unwrap();
            counts.reverts += 1;
        }
        world.change_at_random(&mut random);
        let is_failing = random.chance(habits.failing);
        is_durable = snapshot((&world, &store, &dir), is_failing, &mut random, &mut counts);
        failed |= !is_durable;
        if random.chance(habits.merging) {
            let is_failing = random.chance(habits.failing);
            failed |= !compact((&store, &dir), is_failing, &mut random, &mut counts);
        }
        store.prune();
        tidy_up(&dir, failed);
        let manifest = Manifest::load(&dir).unwrap();
        assert_eq!(manifest.snapshots, store.snapshots());
        counts.longest = counts.longest.max(world.check_all(&dir, &manifest));
        counts.most_retained = counts.most_retained.max(manifest.snapshots.len());
        counts.most_cells = counts.most_cells.max(world.cells());
        assert!(counts.longest <= CHAIN, "{counts:?}");
        dir.settle();
    }
    counts
}

/// Whether it is durable.
fn snapshot(
    (world, store, dir): (&World, &Store<Watched<'_>>, &SimDir),
    is_failing: bool,
    random: &mut Random,
    counts: &mut Counts,
) -> bool {
    let saves = if random.chance(90) { store.next_saves(0) } else { Saves::All };
    let fault = is_failing.then(|| {
        let fault = fault(random);
        let in_commit = Fault { after: fault.after % 9, ..fault };
        let at = [At::Call(fault.after), At::Commit(in_commit.after)];
        if random.chance(50) { (at[0], fault) } else { (at[1], in_commit) }
    });
    let result = attempt(world, store, dir, fault, (Beside::Steps, saves));
    dir.fail(None);
    assert!(is_failing || result.is_ok(), "{result:?}");
    counts.snapshots += usize::from(result.is_ok());
    counts.deltas += usize::from(result.is_ok() && saves == Saves::Changed);
    counts.failures += usize::from(result.is_err());
    // A call may have failed that is not needed: a file's removal.
    result.is_ok() && !is_failing
}

/// Merges until nothing is due, or something fails. Whether all went well.
fn compact(
    (store, dir): (&Store<Watched<'_>>, &SimDir),
    is_failing: bool,
    random: &mut Random,
    counts: &mut Counts,
) -> bool {
    dir.fail(is_failing.then(|| fault(random)));
    if random.chance(10) {
        counts.mergers += usize::from(matches!(store.compact_fully(&|_| true), Ok(Some(_))));
    }
    let is_over = |result: &Result<_, _>| !matches!(result, Ok(Some(_)));
    let mut merged = 0;
    let last = loop {
        let result = store.compact(&|_| true);
        if is_over(&result) {
            break result;
        }
        merged += 1;
        assert!(merged < 100, "it goes on and on");
    };
    dir.fail(None);
    counts.mergers += merged;
    counts.failed_mergers += usize::from(last.is_err());
    assert!(is_failing || last.is_ok(), "{last:?}");
    !is_failing
}

/// Lives with these habits: one, or some long ones.
fn lives(habits: Habits) -> Counts {
    let long = std::env::var_os("STILLHEAP_LONG").is_some();
    let mut all = Counts::default();
    for life in 0..if long { 5 } else { 1 } {
        let rounds = if long { 4 * habits.rounds } else { habits.rounds };
        let counts = live(Habits { seed: habits.seed + life, rounds, ..habits });
        println!("seed {}: {counts:?}", habits.seed + life);
        all.deltas += counts.deltas;
        all.failures += counts.failures;
        all.mergers += counts.mergers;
    }
    all
}

#[test]
fn snapshots_stay_what_they_were() {
    let counts = lives(Habits { seed: 1, rounds: 40, failing: 0, merging: 70 });
    assert!(counts.deltas > 20 && counts.mergers > 2, "{counts:?}");
}

#[test]
fn snapshots_stay_what_they_were_on_a_disk_that_fails() {
    let counts = lives(Habits { seed: 11, rounds: 40, failing: 30, merging: 70 });
    assert!(counts.deltas > 15 && counts.failures > 3 && counts.mergers > 1, "{counts:?}");
}

/// Chains become as long as they may.
#[test]
fn without_time_to_merge_chains_end_with_a_full_segment() {
    let counts = lives(Habits { seed: 21, rounds: 50, failing: 0, merging: 0 });
    assert!(counts.deltas > 30 && counts.mergers == 0, "{counts:?}");
}
