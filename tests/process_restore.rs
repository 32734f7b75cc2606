//! How a snapshot's pages come back: mapped, mapped and verified later, or loaded; compressed or
//! not; in chains of several files; and what becomes of damage in each case.

#[path = "history_support/mod.rs"]
mod lives;

use lives::{Place, after};

use std::os::unix::fs::FileExt;
use stillheap::ProcessHeap;

#[global_allocator]
static HEAP: ProcessHeap = ProcessHeap::new();

const WAYS: [&str; 3] = ["verified", "background", "load"];

/// Rounds of write, restart and check, with one way of restoring and one form of files.
fn rounds(way: &str, codec: &str) {
    let place = Place::new();
    let options = format!("{way} codec={codec} checked");
    let text = place.live(&format!("{options} : fill=4 snap=3 check"));
    assert_eq!(after(&text, "new").len(), 1, "{text}");
    let mut round = 3;
    for life in 0..3 {
        let text = place.live(&format!("{options} : loaded check list snap=3 check write"));
        let restored = after(&text, "restored")[0];
        assert!(restored.ends_with(&format!("round {round}")), "{options}, {life}: {text}");
        assert_eq!(after(&text, "skipped"), ["[]"], "{options}, {life}: {text}");
        let durable = after(&text, "durable");
        assert!(durable.iter().any(|line| line.contains("delta")), "{options}, {life}: {text}");
        assert!(!text.contains("Failed") && !text.contains("Damaged"), "{text}");
        round += 4;
    }
    // Any way can restore what any other has gone on from.
    for way in WAYS {
        let text = place.live(&format!("{way} codec={codec} : loaded check list quit"));
        assert!(after(&text, "restored")[0].ends_with(&format!("round {round}")), "{text}");
    }
}

fn all_rounds(codec: &str) {
    WAYS.iter().for_each(|way| rounds(way, codec));
}

/// A chain of several deltas, some of whose pages hide others.
fn long_chains() {
    for codec in ["none/none", "lz4/lz4", "none/lz4"] {
        let place = Place::new();
        let options = format!("keep=20 nospare codec={codec}");
        let text = place.live(&format!("{options} : fill=16 snap=12 list quit"));
        assert_eq!(after(&text, "segments"), ["12"], "{text}");
        for way in WAYS {
            for number in [12, 7, 2] {
                let line = format!("{options} {way} at={number} : loaded check quit");
                let restored = format!("{number} round {number}");
                assert_eq!(after(&place.live(&line), "restored"), [restored], "{line}");
            }
        }
        for (life, way) in WAYS.iter().enumerate() {
            let text = place.live(&format!("{options} {way} : check snap check list quit"));
            assert_eq!(after(&text, "segments"), [format!("{}", 13 + life)], "{text}");
        }
    }
}

/// A heap of some size of which little changes.
fn little_is_written_after_a_restart() {
    let place = Place::new();
    place.live("nospare : fill=64 write");
    for (round, way) in (2..).zip(WAYS) {
        let text = place.live(&format!("nospare {way} : loaded snap=2 check quit"));
        assert_eq!(after(&text, "restored").len(), 1, "{text}");
        let durable = after(&text, "durable");
        assert!(durable.iter().all(|line| line.contains("delta")), "{way}, {round}: {text}");
        let newest = durable[1].split(' ').next().and_then(|number| number.parse().ok());
        let len = place.segment_of(newest.expect("a number")).metadata().expect("a file").len();
        assert!(len < 4 << 20, "{way}: {len} bytes");
    }
    let text = place.live("nospare load : check");
    assert!(after(&text, "restored")[0].ends_with("round 7"), "{text}");
}

fn loading_tells_how_far_it_is() {
    for codec in ["none/none", "lz4/lz4"] {
        let place = Place::new();
        place.live(&format!("codec={codec} keep=9 nospare : fill=80 snap=4 quit"));
        let text = place.live("load progress keep=9 nospare : loaded check snap quit");
        let told: Vec<(u64, u64)> = after(&text, "progress").into_iter().map(pair).collect();
        assert!(told.len() > 1, "{text}");
        let all = told[0].1;
        assert!(told.iter().all(|(done, of)| *of == all && *done <= all), "{told:?}");
        assert!(told.iter().any(|(done, _)| *done == all), "not all were told: {told:?}");
        assert!(all >= 80 * 256 + 80 * 64, "{told:?}");
        let text = place.live("verified progress : check quit");
        assert_eq!(after(&text, "restored"), ["5 round 5"], "{text}");
    }
}

fn pair(text: &str) -> (u64, u64) {
    let (done, all) = text.split_once(" of ").expect("two numbers");
    (done.parse().expect("a number"), all.parse().expect("a number"))
}

/// The newest snapshot's own file is damaged; the one before is to come back, loudly.
fn damage_is_passed_over() {
    for (way, codec) in [("verified", "none/none"), ("load", "none/none"), ("load", "lz4/lz4")] {
        let place = Place::new();
        place.live(&format!("keep=4 nospare codec={codec} : fill=4 snap=3 quit"));
        place.damage(&place.segment_of(3));
        let text = place.live(&format!("keep=4 {way} : check snap list quit"));
        assert_eq!(after(&text, "restored"), ["2 round 2"], "{way}: {text}");
        assert!(text.contains("event SnapshotSkipped { number: 3"), "{way}: {text}");
        assert_eq!(after(&text, "snapshots"), ["1 2 4"], "{way}: {text}");
        // Asked for by number, it is refused.
        place.damage(&place.segment_of(4));
        let text = place.fail(&format!("keep=4 at=4 {way} : quit"));
        assert!(text.contains("refused"), "{way}: {text}");
    }
}

/// Nothing is sound any more: an error, and not an empty heap.
fn nothing_sound_is_an_error() {
    for way in WAYS {
        let place = Place::new();
        place.live("keep=4 nospare : fill=4 snap=3 quit");
        place.damage(&place.segment_of(1));
        let before = place.segments();
        let text = place.fail(&format!("{way} : loaded check sleep=60000"));
        assert!(text.contains("expected CRC"), "{way}: {text}");
        let text = place.fail("load : quit");
        assert!(text.contains("refused"), "{way}: {text}");
        assert_eq!(place.segments(), before, "{way}: files were left as they were");
    }
}

/// Damage that is found when the program already works on it.
fn damage_is_found_in_the_background() {
    let place = Place::new();
    place.live("keep=4 nospare : fill=4 snap=3 quit");
    place.damage(&place.segment_of(3));
    let text = place.fail("keep=4 background : ready sleep=60000");
    assert!(text.contains("event Damaged { number: 3"), "{text}");
    assert!(text.contains("the snapshot that this process works on is damaged"), "{text}");
    let text = place.live(" : check list snap quit");
    assert_eq!(after(&text, "restored"), ["2 round 2"], "{text}");
    assert_eq!(after(&text, "snapshots"), ["1 2 3*"], "{text}");
}

/// The allocator's tables of most of the heap are looked at when the program works already.
fn damage_in_tables_is_found_in_the_background() {
    let place = Place::new();
    place.live("keep=4 nospare full : fill=80 snap=2 quit");
    // The kind of the first chunk of the second cell.
    let (file, kind) = (place.segment_of(2), 4096 + (64 << 20) + (64 << 10));
    let opened = std::fs::OpenOptions::new().write(true).open(file).expect("a file");
    opened.write_all_at(&[77], kind).expect("room");
    let text = place.fail("keep=4 background : sleep=60000");
    assert!(text.contains("event Damaged { number: 2"), "{text}");
    assert!(text.contains("chunk 1 of cell 1: unknown kind (found 77)"), "{text}");
    assert!(text.contains("the next opening restores an older one"), "{text}");
    let text = place.live("background : loaded check list snap quit");
    assert_eq!(after(&text, "restored"), ["1 round 1"], "{text}");
    assert_eq!(after(&text, "snapshots"), ["1 2*"], "{text}");
}

/// What was saved before the damage was found, if there was the time, was made of damaged pages.
fn what_was_made_of_damaged_pages_is_set_aside() {
    for form in ["", "full"] {
        let place = Place::new();
        place.live("keep=2 nospare : fill=64 snap=2 quit");
        place.damage(&place.segment_of(2));
        let text =
            place.fail(&format!("blind keep=2 nospare background {form} : snap=3 sleep=60000"));
        assert!(text.contains("event Damaged { number: 2"), "{form}: {text}");
        let text = place.live("keep=2 nospare : check list quit");
        assert_eq!(after(&text, "restored"), ["1 round 1"], "{form}: {text}");
    }
}

/// What lies on the disk is verified while the heap is open.
fn scrubbing() {
    let place = Place::new();
    place.live("keep=4 nospare : fill=4 snap=3 compact snap=2 quit");
    let text = place.live("keep=4 nospare scrub=1000000000 : scrubs quit");
    assert!(!text.contains("Damaged"), "{text}");
    let older = place.segment_of(2);
    place.damage(&older);
    let text = place.live("keep=4 nospare scrub=1000000000 : scrubs check snap quit");
    assert_eq!(after(&text, "restored"), ["5 round 5"], "{text}");
    assert!(text.contains("event SnapshotDamaged { number: 2"), "{text}");
    assert!(!text.contains("SnapshotDamaged { number: 5"), "{text}");
}

fn main() {
    if lives::plays() {
        return;
    }
    lives::run_all(&[
        ("rounds_without_compression", || all_rounds("none/none")),
        ("rounds_with_compression", || all_rounds("lz4/lz4")),
        ("rounds_with_compressed_deltas", || all_rounds("none/lz4")),
        ("long_chains", long_chains),
        ("little_is_written_after_a_restart", little_is_written_after_a_restart),
        ("loading_tells_how_far_it_is", loading_tells_how_far_it_is),
        ("damage_is_passed_over", damage_is_passed_over),
        ("nothing_sound_is_an_error", nothing_sound_is_an_error),
        ("damage_is_found_in_the_background", damage_is_found_in_the_background),
        (
            "damage_in_tables_is_found_in_the_background",
            damage_in_tables_is_found_in_the_background,
        ),
        (
            "what_was_made_of_damaged_pages_is_set_aside",
            what_was_made_of_damaged_pages_is_set_aside,
        ),
        ("scrubbing", scrubbing),
    ]);
}
