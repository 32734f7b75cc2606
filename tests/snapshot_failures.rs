//! Snapshots of a living arena on a disk that fails, at every call in turn, while writers copy to
//! the stage before the draft and between its calls: the error names the file, nothing of the
//! stage is lost, what has changed stays dirty, the older snapshot stays the newest sound one, and
//! the next snapshot is exactly what was frozen for it, with all of the stage in use.
#![allow(clippy::unwrap_used, reason = "a failing test panics")]

mod failure_support;

use failure_support::watched::Watched;
use failure_support::{At, Beside, LIMIT, World, attempt, check_newest, tidy_up};
use std::collections::HashSet;
use stillheap::cow::Saves;
use stillheap::os::sim::{Fault, SimDir};
use stillheap::snapshot::Store;

/// What messages of all kinds of failures have in them.
const KINDS: [&str; 7] = [
    "cannot create sim:/0",
    "cannot extend sim:/0",
    "cannot write sim:/0",
    "cannot sync sim:/0",
    "cannot sync the directory sim:",
    "the old one is in force",
    "may not outlast a power cut",
];

/// A snapshot in whose window as much is copied as can be.
const WHOLE: (Beside, Saves) = (Beside::WholeStage, Saves::All);
/// Calls of a commit from the sync of the segment on.
const CALLS_TO_COMMIT: u64 = 7;
/// The kinds of failures, which take turns: the disk stays full, and one call goes wrong.
const FAILURES: [(i32, bool, &str); 2] =
    [(libc::ENOSPC, true, "No space left"), (libc::EIO, false, "Input/output error")];

/// The new segment is opened, so that the next snapshot can build on it; if it cannot be, the next
/// one is full.
const CALLS_AFTERWARDS: u64 = 2;

/// From the first call of a draft until one is not reached any more.
fn fail_at_any_call(saves: Saves, calls: u64) {
    let mut tries = Tries::new();
    let mut after = 0;
    let (world, dir) = (World::new(), SimDir::new());
    let store = failure_support::store(&dir, &world);
    let failure = |after: u64| FAILURES[usize::from(!after.is_multiple_of(2))];
    while tries.fail((&world, &store, &dir), saves, At::Call(after), failure(after)) {
        after += 1;
    }
    assert!(after > calls, "{after} calls");
    tries.expect(&["cannot create sim:/0", "cannot write sim:/0"]);
}

#[test]
fn a_failure_at_any_call_loses_nothing() {
    fail_at_any_call(Saves::All, 30);
}

#[test]
fn a_failure_at_any_call_of_a_delta_loses_nothing() {
    fail_at_any_call(Saves::Changed, 15);
}

/// From the sync of the segment to the end of the commit.
#[test]
fn a_failure_at_any_call_of_the_commit_loses_nothing() {
    let mut tries = Tries::new();
    let (world, dir) = (World::new(), SimDir::new());
    let store = failure_support::store(&dir, &world);
    let all = (&world, &store, &dir);
    let calls = CALLS_TO_COMMIT + CALLS_AFTERWARDS;
    for after in 0..calls {
        for saves in [Saves::All, Saves::Changed] {
            for failure in FAILURES {
                let was_hit = tries.fail(all, saves, At::Commit(after), failure);
                assert!(was_hit, "call {after} of {saves:?}");
            }
        }
    }
    // Then files are removed that are not needed any more.
    assert!(!tries.fail(all, Saves::Changed, At::Commit(calls + 4), FAILURES[0]));
    tries.expect(&[
        "cannot sync sim:/0",
        "cannot sync the directory sim:",
        "the old one is in force",
        "may not outlast a power cut",
    ]);
}

/// What the failures' messages had in them.
struct Tries(HashSet<&'static str>);

impl Tries {
    fn new() -> Self {
        Self(HashSet::new())
    }

    /// A snapshot that fails, and one that does not. `false`: neither failed, since the call was
    /// never made.
    fn fail(
        &mut self,
        (world, store, dir): (&World, &Store<Watched<'_>>, &SimDir),
        saves: Saves,
        at: At,
        (errno, lasting, text): (i32, bool, &str),
    ) -> bool {
        world.change();
        if world.newest() == 0 {
            attempt(world, store, dir, None, WHOLE).unwrap();
        }
        let before = world.newest();
        let fault = Fault { after: at.calls(), errno, lasting };
        let result = attempt(world, store, dir, Some((at, fault)), (Beside::Steps, saves));
        let was_hit = dir.calls() > at.calls();
        let is_in_place = world.newest() > before;
        dir.fail(None);
        if let Err(error) = &result {
            let message = error.to_string();
            let kind = KINDS.iter().find(|kind| message.contains(**kind));
            self.0.insert(kind.unwrap_or_else(|| panic!("of no kind: {message}")));
            assert!(was_hit && message.contains(text), "{message}");
            assert_eq!(is_in_place, message.contains("outlast"), "{message}");
        }
        check_newest(world, dir);
        // What had to go cannot always be removed, and must not while either manifest may last.
        tidy_up(dir, lasting || is_in_place && was_hit);
        // Nothing is lost of the stage: all of it can be used at once.
        attempt(world, store, dir, None, WHOLE).unwrap();
        assert_eq!(world.arena.cow().stage().high_water(), LIMIT);
        check_newest(world, dir);
        dir.settle();
        was_hit
    }

    fn expect(&self, kinds: &[&str]) {
        assert!(kinds.iter().all(|kind| self.0.contains(kind)), "only {:?}", self.0);
    }
}

/// A writer that goes on at full speed and finds the stage full is let go by the failure.
#[test]
fn a_failure_frees_the_writers_that_wait_for_the_stage() {
    let (world, dir) = (World::new(), SimDir::new());
    let store = failure_support::store(&dir, &world);
    let mut failures = 0;
    for after in (0..60).step_by(3) {
        world.change();
        let fault = Fault { after, errno: libc::EIO, lasting: false };
        let fault = Some((At::Call(after), fault));
        let result = attempt(&world, &store, &dir, fault, (Beside::Storm, Saves::All));
        dir.fail(None);
        failures += u32::from(result.is_err());
        if world.newest() > 0 {
            check_newest(&world, &dir);
        }
        tidy_up(&dir, result.is_ok());
        attempt(&world, &store, &dir, None, WHOLE).unwrap();
        check_newest(&world, &dir);
        dir.settle();
    }
    assert!(failures > 10, "{failures} failures");
    assert!(world.arena.cow().counts().stalls > 0, "nobody ever waited");
}
