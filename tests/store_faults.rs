//! The whole life of a heap by the real store, with a failure of the disk at every call in turn:
//! a full disk that stays full for a while, and one call that goes wrong. What was durable stays
//! whole, whoever could not do what was asked for says so, and the life goes on.
#![allow(clippy::unwrap_used, reason = "a failing test panics")]

mod life_support;

use life_support::{CALLS_AFTERWARDS, Life, Past, Step, Whole, World, check, script};
use stillheap::os::sim::{Fault, SimDir, Survives};
use stillheap::snapshot::{Policy, host_of};

/// The kinds of failures, which take turns; in the long form all are tried at each call.
const FAILURES: [(i32, bool); 4] =
    [(libc::ENOSPC, true), (libc::EIO, false), (libc::ENOSPC, false), (libc::EIO, true)];
/// In the short form only each so many calls one fails.
const STRIDE: u64 = 5;

/// What came of the failures.
#[derive(Debug, Default)]
struct Outcome {
    failed: usize,
    harmless: usize,
    never_made: usize,
}

/// How many calls of a step, from its end on, may fail without its failing.
fn may_fail(step: Step) -> u64 {
    match step {
        Step::Full(_) | Step::Delta(_) => CALLS_AFTERWARDS,
        // The merger is in place, though it may not last: the sync at the end of the commit.
        Step::Compact | Step::CompactFully => CALLS_AFTERWARDS + 1,
        // What was left over is looked for.
        Step::Open(_) => 1,
        _ => 0,
    }
}

/// A life in which a call fails. `false`: the call was never made.
fn fail_once(fault: Fault, outcome: &mut Outcome) -> bool {
    let (mut world, dir) = (World::new(), SimDir::new());
    dir.fail(Some(fault));
    let mut life = Life::new(&mut world, dir.clone(), dir.clone(), Past::default());
    let (mut policy, mut is_over) = (Policy::default(), false);
    for step in script() {
        if let Step::Open(next) = step {
            policy = next;
        }
        let result = life.step(step);
        let was_hit = dir.calls() > fault.after;
        if result.is_err() {
            assert!(was_hit || is_over, "{step:?}: {result:?}");
            outcome.failed += 1;
        } else if was_hit {
            outcome.harmless += 1;
            let last = life.calls.saturating_sub(fault.after);
            assert!(
                last <= may_fail(step),
                "{step:?} is fine, {last} calls before its end: {fault:?}"
            );
        }
        is_over = was_hit;
        if was_hit {
            break;
        }
    }
    if !is_over {
        outcome.never_made += 1;
        return false;
    }
    dir.fail(None);
    let host = host_of(&life.world.arena);
    let mut whole = Whole::default();
    for survives in [Survives::Everything, Survives::Synced] {
        let end = dir.log().len();
        let left = dir.after_crash(end, survives);
        check(&left, &host, (&life.past, end), &mut whole).unwrap();
    }
    // There is room again.
    if !life.is_open() {
        life.step(Step::Open(policy)).unwrap();
    }
    for step in [Step::Delta(1), Step::Full(1), Step::Delta(1), Step::Compact] {
        life.step(step).unwrap_or_else(|error| panic!("{step:?} after {fault:?}: {error}"));
        let end = dir.log().len();
        let left = dir.after_crash(end, Survives::Synced);
        let list = check(&left, &host, (&life.past, end), &mut whole).unwrap();
        assert_eq!(list, Some(life.list()));
    }
    true
}

#[test]
fn a_failure_at_any_call_loses_nothing() {
    let is_long = std::env::var_os("STILLHEAP_LONG").is_some();
    let (mut after, mut outcome) = (0, Outcome::default());
    let mut goes_on = true;
    while goes_on {
        let place = usize::try_from(after).unwrap();
        let turn = [FAILURES[place % FAILURES.len()]];
        for &(errno, lasting) in if is_long { &FAILURES[..] } else { &turn[..] } {
            goes_on &= fail_once(Fault { after, errno, lasting }, &mut outcome);
        }
        after += if is_long { 1 } else { STRIDE };
    }
    println!("{after} calls: {outcome:?}");
    assert!(after > 600 && outcome.failed > 80 && outcome.harmless > 10, "{outcome:?}");
}
