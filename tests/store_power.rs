//! The whole life of a heap by the real store: snapshots of all kinds, mergers, retention, going
//! back and setting aside, cut short after every operation of the disk, with every state that a
//! power cut may leave. What is found then is what was last said to be durable, or what was under
//! way; every snapshot of it is whole, and the next process can go on.
#![allow(clippy::unwrap_used, reason = "a failing test panics")]

mod life_support;
mod power_support;

use life_support::{Life, Past, Step, Whole, World, check, list_of, open_again, script};
use power_support::forgetful::{Forgetful, Forgets};
use power_support::{Counts, enumerate};
use std::collections::HashSet;
use std::time::Instant;
use stillheap::image::Manifest;
use stillheap::os::Dir;
use stillheap::os::sim::{Bounds, CrashState, SimDir};
use stillheap::snapshot::{Policy, host_of};

/// How much is tried after each operation, in the short form and in the long one.
const SHORT: Bounds = Bounds { data: 6, names: 6, random: 20, blocks: 4, states: 150, seed: 1 };
const LONG: Bounds = Bounds { data: 8, names: 8, random: 900, blocks: 16, states: 6000, seed: 1 };
/// The least numbers of different states that are to be seen.
const DISTINCT: usize = 4_000;
const DISTINCT_LONG: usize = 100_000;
/// In one state of so many, the next process takes snapshots, and power is cut again.
const AGAIN: usize = 500;

fn is_long() -> bool {
    std::env::var_os("STILLHEAP_LONG").is_some()
}

fn live<D: Dir + Clone>(world: &mut World, dir: D, log: &SimDir, steps: usize) -> Past {
    let mut life = Life::new(world, dir, log.clone(), Past::default());
    for step in script().into_iter().take(steps) {
        life.step(step).unwrap_or_else(|error| panic!("{step:?}: {error}"));
    }
    life.past
}

/// The next process goes on from there, and may lose power as well.
fn go_on(world: &mut World, state: &CrashState, past: &Past) -> Result<Counts, String> {
    let host = host_of(&world.arena);
    let found = Manifest::load(&state.dir).map_err(|error| error.to_string())?;
    let past = past.found(list_of(&found.snapshots));
    let mut life = Life::new(world, state.dir.clone(), state.dir.clone(), past);
    for step in [Step::Open(Policy::default()), Step::Full(1), Step::Delta(1), Step::Compact] {
        life.step(step)?;
    }
    let past = life.past;
    let bounds = Bounds { data: 3, names: 3, random: 2, blocks: 2, states: 20, seed: 2 };
    let mut whole = Whole::default();
    Ok(enumerate(&state.dir, &bounds, |point, state| {
        check(&state.dir, &host, (&past, point), &mut whole).map(drop)
    }))
}

#[test]
fn a_life_that_a_power_cut_ends_anywhere_leaves_what_was_durable() {
    let (begun, mut world, dir) = (Instant::now(), World::new(), SimDir::new());
    let past = live(&mut world, dir.clone(), &dir, usize::MAX);
    println!("{} deltas, mergers: {:?}", past.deltas, past.mergers);
    let host = host_of(&world.arena);
    let (mut again, mut seen) = (Counts::default(), HashSet::new());
    let bounds = if is_long() { LONG } else { SHORT };
    let mut whole = Whole::default();
    let counts = enumerate(&dir, &bounds, |point, state| {
        // The same at another point, with the same to be found there.
        let is_created = past.is_created(point);
        if !seen.insert((state.fingerprint().0, is_created, past.may_be(point))) {
            return Ok(());
        }
        let list = check(&state.dir, &host, (&past, point), &mut whole)?;
        open_again(&state.dir, &host, list.as_ref())?;
        if seen.len().is_multiple_of(AGAIN) {
            state.dir.settle();
            again.include(go_on(&mut world, state, &past)?);
        }
        Ok(())
    });
    println!("a life: {counts}, {:?}", begun.elapsed());
    println!("power cut again in the next process: {again}");
    let distinct = if is_long() { DISTINCT_LONG } else { DISTINCT };
    counts.assert_sound(distinct);
    again.assert_sound(distinct / 50);
    let full = past.mergers.iter().filter(|(_, is_full)| *is_full).count();
    assert!(full > 2 && past.mergers.len() > full, "{:?}", past.mergers);
}

#[test]
fn a_store_on_a_disk_that_leaves_a_step_out_is_found() {
    let bounds = Bounds { data: 3, names: 3, random: 2, blocks: 2, states: 6, seed: 3 };
    for forgets in [Forgets::Bytes, Forgets::Names, Forgets::Rename] {
        let (mut world, dir) = (World::new(), SimDir::new());
        let past = live(&mut world, Forgetful { dir: dir.clone(), forgets }, &dir, 8);
        let host = host_of(&world.arena);
        let mut whole = Whole::default();
        let counts = enumerate(&dir, &bounds, |point, state| {
            check(&state.dir, &host, (&past, point), &mut whole).map(drop)
        });
        println!("{forgets:?}: {counts}");
        assert!(counts.violations > 0, "{forgets:?}: {counts}");
    }
}
