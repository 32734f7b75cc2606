//! What a crash may leave, in sets that were made by hand.

use super::*;
use crate::os::{Dir, File, sim::Distinct};
use std::collections::{BTreeMap, BTreeSet};

const PAGE: usize = 4096;
const BOUNDS: Bounds = Bounds { data: 6, names: 6, random: 8, blocks: 8, states: 4096, seed: 1 };

/// Names and bytes.
type Listing = BTreeMap<String, Vec<u8>>;

fn listing(dir: &SimDir) -> Listing {
    let bytes = |name: String| (name.clone(), dir.get(&name).unwrap());
    dir.list().unwrap().into_iter().map(bytes).collect()
}

fn all(dir: &SimDir, bounds: &Bounds) -> Vec<CrashState> {
    dir.crash_states(usize::MAX, bounds).collect()
}

/// The different states after the whole log, which the fingerprints have to tell apart as well.
fn states(dir: &SimDir) -> BTreeSet<Listing> {
    let (mut found, mut distinct) = (BTreeSet::new(), Distinct::default());
    for state in all(dir, &BOUNDS) {
        assert_eq!(distinct.insert(&state), found.insert(listing(&state.dir)), "{state}");
    }
    assert_eq!(distinct.len(), found.len());
    found
}

fn set(listings: &[&[(&str, &[u8])]]) -> BTreeSet<Listing> {
    let entry = |&(name, bytes): &(&str, &[u8])| (name.to_owned(), bytes.to_vec());
    listings.iter().map(|listing| listing.iter().map(entry).collect()).collect()
}

fn durable(name: &str, bytes: &[u8]) -> (SimDir, impl File) {
    let dir = SimDir::new();
    let file = dir.create(name).unwrap();
    file.write_at(0, bytes).unwrap();
    dir.settle();
    (dir, file)
}

fn rename(dir: &SimDir, from: &str, to: &str) {
    dir.lock().make(Op::Rename(from.to_owned(), to.to_owned()));
}

#[test]
fn unsynced_bytes_and_names_are_lost_in_the_worst_crash() {
    let dir = SimDir::with_files([("old", b"old".to_vec())]);
    let file = dir.create("new").unwrap();
    file.write_at(0, b"one").unwrap();
    file.sync().unwrap();
    dir.sync().unwrap();
    file.write_at(0, b"two").unwrap();
    dir.remove("old").unwrap();
    let count = dir.log().len();
    let killed = dir.after_crash(count, Survives::Everything);
    assert_eq!((killed.get("new"), killed.get("old")), (Some(b"two".to_vec()), None));
    let cut = dir.after_crash(count, Survives::Synced);
    assert_eq!((cut.get("new"), cut.get("old")), (Some(b"one".to_vec()), Some(b"old".to_vec())));
}

#[test]
fn a_write_in_place_is_whole_lost_or_torn() {
    let (dir, file) = durable("a", b"old");
    file.write_at(0, b"new").unwrap();
    let one = |bytes| -> BTreeSet<Listing> { set(&[&[("a", bytes)]]) };
    let by_hand = [one(b"old"), one(b"new"), one(b"nld"), one(b"oew")].into_iter().flatten();
    // A tear by a random number may also fall behind the second byte, or before it.
    let any = [one(b"ned"), one(b"olw")].into_iter().flatten();
    let (found, by_hand) = (states(&dir), by_hand.collect::<BTreeSet<_>>());
    assert!(found.is_superset(&by_hand), "{found:?}");
    assert!(by_hand.into_iter().chain(any).collect::<BTreeSet<_>>().is_superset(&found));
    file.sync().unwrap();
    assert_eq!(states(&dir), one(b"new"));
}

#[test]
fn a_page_comes_or_not_and_so_does_each_of_its_neighbours() {
    let (dir, file) = durable("a", &[0; 2 * PAGE]);
    file.write_at(0, &[1; 2 * PAGE]).unwrap();
    let half = |first: u8, second: u8| [[first; PAGE], [second; PAGE]].concat();
    let found: BTreeSet<Vec<u8>> =
        states(&dir).into_iter().map(|mut listing| listing.remove("a").unwrap()).collect();
    for (first, second) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        assert!(found.contains(&half(first, second)), "{first} {second}");
    }
}

#[test]
fn length_and_bytes_of_a_longer_file_arrive_each_on_its_own() {
    let (dir, file) = durable("a", b"ab");
    file.set_len(4).unwrap();
    file.write_at(3, b"x").unwrap();
    let by_hand: [&[(&str, &[u8])]; 3] = [&[("a", b"ab")], &[("a", b"ab\0\0")], &[("a", b"ab\0x")]];
    assert_eq!(states(&dir), set(&by_hand));

    let (dir, file) = durable("a", b"ab");
    file.write_at(1, b"xyz!").unwrap();
    let found = states(&dir);
    for bytes in [&b"ab"[..], b"axyz!", b"axy\0\0", b"ab\0z!", b"axy", b"ab\0\0\0", b"ax"] {
        assert!(found.is_superset(&set(&[&[("a", bytes)]])), "{bytes:?}");
    }
}

#[test]
fn a_rename_without_a_sync_of_the_directory_gives_both() {
    let dir = SimDir::with_files([("a", b"A".to_vec()), ("b", b"B".to_vec())]);
    rename(&dir, "a", "b");
    assert_eq!(states(&dir), set(&[&[("a", b"A"), ("b", b"B")], &[("b", b"A")]]));
    dir.sync().unwrap();
    assert_eq!(states(&dir), set(&[&[("b", b"A")]]));
}

#[test]
fn names_arrive_in_any_order() {
    let dir = SimDir::with_files([("m", b"old".to_vec())]);
    dir.create("s").unwrap().sync().unwrap();
    dir.publish("m", b"new").unwrap();
    let log = dir.log();
    let count = log.iter().position(|op| *op == Op::SyncDir).unwrap();
    let mut found = Distinct::default();
    let mut manifest_alone = false;
    for state in dir.crash_states(count, &BOUNDS) {
        found.insert(&state);
        let names = state.dir.list().unwrap();
        manifest_alone |= names == ["m"] && state.dir.get("m") == Some(b"new".to_vec());
        assert!(state.kind <= CrashKind::Names, "{state}");
    }
    // With s or without; the old m, with the temporary file or without, or the new one.
    assert_eq!(found.len(), 2 * 3);
    assert!(manifest_alone, "the rename may survive the creation of s");
}

#[test]
fn a_name_may_lead_to_bytes_that_never_arrived() {
    let dir = SimDir::new();
    let file = dir.create("a").unwrap();
    file.write_at(0, b"x").unwrap();
    assert_eq!(states(&dir), set(&[&[], &[("a", b"")], &[("a", b"\0")], &[("a", b"x")]]));
}

#[test]
fn all_subsets_of_few_changes_are_there_once() {
    let (dir, file) = durable("a", &[0; 8]);
    for (count, offset) in (1..=6).zip(0..) {
        // One byte in place cannot be torn.
        file.write_at(offset, &[1]).unwrap();
        assert_eq!(all(&dir, &BOUNDS).len(), 1 << count);
        assert_eq!(states(&dir).len(), 1 << count);
    }
    for count in 1..=3 {
        dir.create(&format!("b{count}")).unwrap();
        assert_eq!(all(&dir, &BOUNDS).len(), 1 << (6 + count));
        assert_eq!(states(&dir).len(), 1 << (6 + count));
    }
}

#[test]
fn the_best_and_the_worst_state_are_there_and_what_was_synced_is_in_all() {
    let dir = SimDir::with_files([("old", b"old".to_vec())]);
    for number in 0..4_u8 {
        let file = dir.create(&format!("new{number}")).unwrap();
        file.write_at(0, &[number; 700]).unwrap();
        file.sync().unwrap();
        dir.sync().unwrap();
        file.write_at(700, &[number; 3000]).unwrap();
        dir.publish("last", &[number; 20]).unwrap();
    }
    for bounds in [BOUNDS, Bounds { states: 20, data: 0, names: 0, ..BOUNDS }] {
        for count in 0..=dir.log().len() {
            let found: Vec<CrashState> = dir.crash_states(count, &bounds).collect();
            let [everything, synced] = [Survives::Everything, Survives::Synced]
                .map(|survives| listing(&dir.after_crash(count, survives)));
            assert_eq!(found[0].kind, CrashKind::Killed);
            assert_eq!(listing(&found[0].dir), everything);
            assert!(found.iter().any(|state| listing(&state.dir) == synced));
            for state in &found {
                assert_eq!(state.dir.get("old"), Some(b"old".to_vec()));
            }
            assert!(found.len() <= bounds.states + 4 * 20, "{} states", found.len());
        }
    }
    for state in all(&dir, &BOUNDS) {
        for number in 0..4_u8 {
            let bytes = state.dir.get(&format!("new{number}")).unwrap();
            assert_eq!(bytes[..700], [number; 700], "{state}");
        }
        assert_eq!(state.dir.get("last"), Some(vec![3; 20]));
    }
}

#[test]
fn a_seed_gives_the_same_states_each_time_and_another_one_others() {
    let (dir, file) = durable("a", &[0; 64]);
    for offset in 0..20 {
        file.write_at(3 * offset, &[1, 2, 3]).unwrap();
    }
    let prints = |seed| -> Vec<Digest> {
        all(&dir, &Bounds { seed, ..BOUNDS }).iter().map(CrashState::fingerprint).collect()
    };
    assert_eq!(prints(1), prints(1));
    assert_ne!(prints(1), prints(2));
    // None, all, one missing, one alone, each beginning; torn ones; the random ones.
    let torn = 2 * (18 * 3 + 2 * 2);
    assert_eq!(prints(1).len(), 2 + 20 + 20 + 17 + 8 + torn + 8);
}

#[test]
fn a_file_to_which_nothing_is_pending_is_shared_by_all_states() {
    let dir = SimDir::with_files([("large", vec![7; 8 << 20])]);
    let small = dir.create("small").unwrap();
    small.write_at(0, &[1; 3 * PAGE]).unwrap();
    let large = |dir: &SimDir| dir.open("large").unwrap().view().unwrap().as_ptr();
    let found = all(&dir, &BOUNDS);
    assert!(found.len() > 30);
    assert!(found.iter().all(|state| large(&state.dir) == large(&dir)));
}

#[test]
fn a_state_says_what_was_lost() {
    let (dir, file) = durable("a", b"old");
    file.write_at(0, b"new").unwrap();
    rename(&dir, "a", "b");
    let told: Vec<String> = all(&dir, &BOUNDS).iter().map(CrashState::to_string).collect();
    assert_eq!(told[0], "crash after 2 operations, Killed");
    for text in ["Names; lost: Rename(\"a\", \"b\")", "Data; lost: 3 bytes at 0 of FileId(1)"] {
        assert!(told.iter().any(|told| told.ends_with(text)), "{text}: {told:?}");
    }
    assert!(told.iter().any(|told| told.contains("Torn; Head(1) of 3 bytes at 0")), "{told:?}");
}
