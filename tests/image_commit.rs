//! A commit on a disk that fails or dies: at every call, and after every operation. The old
//! snapshot stays whole, and the new one is there whole or not at all.

#![allow(clippy::unwrap_used, reason = "a test")]

mod image_support;

use image_support::{Contents, DELTA, FIRST, Failure, commit, heap, host, identity};
use stillheap::{
    base::{PAGE_SIZE, PageIndex},
    image::{Choice, Contents as Directory, Manifest, ManifestError, choose, inspect, leftovers},
    os::{
        Dir,
        sim::{Fault, SimDir, Survives},
    },
};

const THIRD: Contents = Contents { runs: &[(0, 3)], pages: &[(0, 1), (2, 3)], ..FIRST };

/// The number of the snapshot that a directory offers, none of them damaged.
fn offered(dir: &SimDir) -> u64 {
    dir.fail(None);
    match choose(dir, &host()).unwrap() {
        Choice::Sound(sound) => {
            assert!(sound.skipped.is_empty(), "{:?}", sound.skipped);
            sound.snapshot.number
        }
        Choice::Empty(_) => 0,
        Choice::New => panic!("the heap is gone"),
    }
}

/// Calls that a commit makes when all goes well.
fn calls_of_a_commit() -> u64 {
    let dir = heap();
    let manifest = Manifest::load(&dir).unwrap();
    dir.fail(None);
    commit(&dir, &manifest, &THIRD).unwrap();
    dir.calls()
}

#[test]
fn a_failure_at_any_call_leaves_the_old_snapshot() {
    let calls = calls_of_a_commit();
    assert!(calls > 12, "{calls} calls");
    for errno in [libc::ENOSPC, libc::EIO] {
        for (after, lasting) in (0..calls).flat_map(|after| [(after, false), (after, true)]) {
            let dir = heap();
            let manifest = Manifest::load(&dir).unwrap();
            let before = dir.get("0000000002.full");
            dir.fail(Some(Fault { after, errno, lasting }));
            let failure = commit(&dir, &manifest, &THIRD).unwrap_err();
            let new_in_place = matches!(&failure, Failure::Commit(e) if !e.old_in_force());
            assert_eq!(
                offered(&dir),
                if new_in_place { 3 } else { 2 },
                "call {after}: {failure:?}"
            );
            // Only the very last call, the sync after the rename, leaves the new one in place.
            assert_eq!(new_in_place, after == calls - 1, "call {after}");
            assert_eq!(dir.get("0000000002.full"), before);
            // A lasting failure also keeps the abandoned file from being removed.
            let left = leftovers(&dir, &Manifest::load(&dir).unwrap()).unwrap();
            assert!(left.is_empty() || lasting, "call {after}: {left:?}");
            for name in left {
                dir.remove(&name).unwrap();
            }
            // And the heap can go on.
            if !new_in_place {
                commit(&dir, &manifest, &THIRD).unwrap();
            }
            assert_eq!(offered(&dir), 3);
        }
    }
}

#[test]
fn a_crash_after_any_operation_leaves_one_of_the_two() {
    let dir = heap();
    let manifest = Manifest::load(&dir).unwrap();
    commit(&dir, &manifest, &THIRD).unwrap();
    let operations = dir.log().len();
    for survives in [Survives::Everything, Survives::Synced] {
        let offers: Vec<u64> =
            (0..=operations).map(|count| offered(&dir.after_crash(count, survives))).collect();
        assert!(offers.is_sorted() && offers[0] == 2, "{offers:?}");
        assert_eq!(offers[operations], 3, "durable when the commit has returned");
    }
}

#[test]
fn a_crash_while_a_heap_is_created_leaves_nothing_or_an_empty_heap() {
    let dir = SimDir::new();
    let manifest = Manifest::new(identity());
    manifest.publish(&dir).unwrap();
    let created = dir.log().len();
    commit(&dir, &manifest, &FIRST).unwrap();
    for survives in [Survives::Everything, Survives::Synced] {
        for count in 0..=dir.log().len() {
            let crashed = dir.after_crash(count, survives);
            match inspect(&crashed).unwrap() {
                Directory::New => assert!(count < created),
                Directory::Heap => assert!(offered(&crashed) <= 1),
            }
        }
    }
}

#[test]
fn what_a_crash_leaves_over_is_found_and_nothing_else() {
    let dir = heap();
    let manifest = Manifest::load(&dir).unwrap();
    commit(&dir, &manifest, &THIRD).unwrap();
    let crashed = dir.after_crash(dir.log().len() - 3, Survives::Everything);
    crashed.put("LOCK", Vec::new());
    crashed.put("notes.txt", Vec::new());
    let left = leftovers(&crashed, &Manifest::load(&crashed).unwrap()).unwrap();
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left[0].starts_with(".tmp"));
    assert_eq!(left[1], "0000000003.full");
}

#[test]
fn a_delta_needs_its_whole_chain() {
    let dir = heap();
    let manifest = commit(&dir, &Manifest::load(&dir).unwrap(), &DELTA).unwrap();
    assert_eq!(offered(&dir), 3);
    let Choice::Sound(sound) = choose(&dir, &host()).unwrap() else { panic!() };
    let [_, delta] = sound.chain.segments() else { panic!("two segments") };
    assert_eq!(*delta.page(PageIndex(7)).unwrap().unwrap(), [0x77; PAGE_SIZE]);
    assert_eq!(*delta.page(PageIndex(8)).unwrap().unwrap(), [0; PAGE_SIZE]);
    assert!(delta.page(PageIndex(5)).unwrap().is_none());
    for (page, fill) in [(5, 0x5a), (7, 0x77), (8, 0), (9, 0)] {
        assert_eq!(*sound.chain.page(PageIndex(page)).unwrap(), [fill; PAGE_SIZE], "{page}");
    }

    // Damage in the full segment under it takes both snapshots that rest on it.
    dir.damage("0000000002.full", |bytes| bytes[5000] ^= 1);
    let Choice::Sound(sound) = choose(&dir, &host()).unwrap() else { panic!() };
    assert_eq!((sound.snapshot.number, sound.skipped.len()), (1, 2));

    // A chain that leaves out the segment that the delta was made on is refused.
    let mut torn = manifest;
    torn.snapshots.remove(1);
    torn.snapshots[1].chain[0] = torn.segments[0].number;
    torn.segments.remove(1);
    torn.publish(&dir).unwrap();
    let Choice::Sound(sound) = choose(&dir, &host()).unwrap() else { panic!() };
    let message = sound.skipped[0].to_string();
    assert!(message.contains("parent snapshot at offset 72: expected 1, found 2"), "{message}");
}

#[test]
fn pruning_removes_only_after_the_commit() {
    let dir = heap();
    let mut manifest = Manifest::load(&dir).unwrap();
    let gone = manifest.keep_newest(1);
    manifest.publish(&dir).unwrap();
    for segment in &gone {
        dir.remove(&segment.file_name()).unwrap();
    }
    for survives in [Survives::Everything, Survives::Synced] {
        for count in 0..=dir.log().len() {
            assert_eq!(offered(&dir.after_crash(count, survives)), 2);
        }
    }
    assert_eq!(dir.list().unwrap(), ["0000000002.full", "MANIFEST"]);
}

#[test]
fn a_manifest_that_breaks_the_rules_is_not_written() {
    let dir = heap();
    let mut manifest = Manifest::load(&dir).unwrap();
    manifest.snapshots[0].chain.clear();
    let error = manifest.publish(&dir).unwrap_err();
    assert!(error.old_in_force(), "{error}");
    assert_eq!(offered(&dir), 2);
    assert!(matches!(Manifest::load(&SimDir::new()), Err(ManifestError::Io { .. })));
}
