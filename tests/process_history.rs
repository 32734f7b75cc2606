//! What a heap's directory remembers: older snapshots by number, what is set aside and what is
//! kept, and that neither many short runs nor kills in the middle of a merger leave more.

#[path = "history_support/mod.rs"]
mod lives;

use lives::{Place, after};

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::Duration;
use stillheap::ProcessHeap;

#[global_allocator]
static HEAP: ProcessHeap = ProcessHeap::new();

fn an_older_one_is_opened_by_number() {
    let place = Place::new();
    let text = place.live("keep=9 nospare : fill=2 snap=4 list quit");
    assert_eq!(after(&text, "snapshots"), ["1 2 3 4"], "{text}");
    let text = place.live("keep=9 nospare at=2 : list snap list quit");
    assert_eq!(after(&text, "restored"), ["2 round 2"], "{text}");
    assert_eq!(after(&text, "snapshots"), ["1 2 3 4", "1 2 3* 4* 5"], "{text}");
    assert!(after(&text, "durable")[0].ends_with("round 3"), "{text}");
    let text = place.live("keep=9 nospare : list quit");
    assert_eq!(after(&text, "restored"), ["5 round 3"], "{text}");
    let text = place.live("keep=9 nospare at=4 : quit");
    assert_eq!(after(&text, "restored"), ["4 round 4"], "{text}");
    // To have looked at it changes nothing.
    let text = place.live("keep=9 nospare : list quit");
    assert_eq!(after(&text, "snapshots"), ["1 2 3* 4* 5"], "{text}");
    let text = place.fail("keep=9 nospare at=77 : quit");
    assert!(text.contains("has no snapshot 77; it has 1, 2, 3, 4, 5"), "{text}");
    // One that was set aside is gone on from: now the others are.
    let text = place.live("keep=9 nospare at=4 : snap list quit");
    assert_eq!(after(&text, "snapshots"), ["1 2 3* 4 5* 6"], "{text}");
    let text = place.live("keep=9 nospare : quit");
    assert_eq!(after(&text, "restored"), ["6 round 5"], "{text}");
}

fn reverting_sets_newer_ones_aside() {
    let place = Place::new();
    let text = place.live("keep=3 nospare : fill=2 snap=3 write=5 revert=1");
    assert_eq!(after(&text, "reverted"), ["Ok(())"], "{text}");
    let text = place.live("keep=3 nospare : list quit");
    assert_eq!(after(&text, "restored"), ["1 round 1"], "{text}");
    assert_eq!(after(&text, "snapshots"), ["1 2* 3*"], "{text}");
    let text = place.live("keep=3 nospare at=3 : quit");
    assert_eq!(after(&text, "restored"), ["3 round 3"], "{text}");
    let text = place.live("keep=3 nospare : revert=50");
    assert!(after(&text, "reverted")[0].contains("NoSuch"), "{text}");
    let text = place.live("keep=3 nospare : snap=2 list quit");
    assert_eq!(after(&text, "snapshots"), ["1 2* 3* 4 5"], "{text}");
    let text = place.live("keep=3 nospare : snap list quit");
    assert_eq!(after(&text, "restored"), ["5 round 3"], "{text}");
    assert_eq!(after(&text, "snapshots"), ["4 5 6"], "{text}");
    let text = place.fail("at=3 : quit");
    assert!(text.contains("has no snapshot 3; it has 4, 5, 6"), "{text}");
}

fn young_ones_are_kept() {
    let place = Place::new();
    let text = place.live("keep=1 for=36000 : fill=1 snap=5 list quit");
    assert_eq!(after(&text, "snapshots"), ["1 2 3 4 5"], "{text}");
    let text = place.live("keep=1 for=36000 at=2 : snap list quit");
    assert_eq!(after(&text, "snapshots"), ["1 2 3* 4* 5* 6"], "{text}");
    let text = place.live("keep=1 : list snap list quit");
    assert_eq!(after(&text, "snapshots"), ["1 2 3* 4* 5* 6", "7"], "{text}");
}

fn damage_is_found_when_asked_for() {
    let place = Place::new();
    place.live("keep=4 nospare : fill=2 snap=4 quit");
    let file = place.segment_of(3);
    let name = file.file_name().expect("a name").to_string_lossy().into_owned();
    place.damage(&file);
    let text =
        place.live("keep=4 nospare at=2 : verify=1 verify=2 verify=3 verify=4 verify=9 quit");
    let sound = after(&text, "sound");
    assert_eq!(sound.len(), 2, "{text}");
    assert!(sound[0].starts_with("1: ") && sound[1].starts_with("2: "), "{text}");
    let unsound = after(&text, "unsound");
    assert_eq!(unsound.len(), 3, "{text}");
    assert!(unsound[0].starts_with("3: ") && unsound[0].contains(&name), "{text}");
    // It builds on the damaged one.
    assert!(unsound[1].starts_with("4: ") && unsound[1].contains(&name), "{text}");
    assert!(unsound[2].contains("has no snapshot 9; it has 1, 2, 3, 4"), "{text}");
}

fn merging_by_hand() {
    let place = Place::new();
    let text = place.live("keep=1 nospare : fill=4 snap=4 list compact list snap check quit");
    assert_eq!(after(&text, "segments")[1], "1", "{text}");
    assert!(!text.contains("Err"), "{text}");
    let text = place.live("keep=1 nospare : list compact list snap list");
    assert_eq!(after(&text, "restored"), ["5 round 5"], "{text}");
    let segments = after(&text, "segments");
    assert_eq!(segments[..2], ["2", "1"], "{text}");
    assert_eq!(place.segments().len().to_string(), segments[2], "{text}");
    assert_eq!(after(&place.live(" : compact quit"), "restored"), ["6 round 6"]);
    // A heap without snapshots has nothing to be merged.
    assert!(Place::new().live(" : compact quit").contains("compacted Ok(None)"));
}

fn one_damaged_file_is_not_all() {
    let place = Place::new();
    let text = place.live(" : fill=4 snap=5 compact list quit");
    // A third one is there if something was merged while they were taken.
    assert!(after(&text, "snapshots")[0].ends_with("4 5"), "{text}");
    let newest_full = place.segment_of(5);
    assert!(newest_full.extension().is_some_and(|kind| kind == "full"));
    place.damage(&newest_full);
    let text = place.live(" : list snap=2 compact list quit");
    assert_eq!(after(&text, "restored"), ["4 round 4"], "{text}");
    assert!(after(&text, "event")[0].starts_with("SnapshotSkipped { number: 5"), "{text}");
    assert!(after(&text, "skipped")[0].contains("number: 5"), "{text}");
    // Again, with what has been made since.
    place.damage(&place.segment_of(7));
    let text = place.live(" : quit");
    assert_eq!(after(&text, "restored"), ["6 round 5"], "{text}");
    // The process may have ended before it removed them; then the next opening did.
    assert!(!newest_full.exists(), "a damaged snapshot's files go with the next commit");
}

/// Bytes that files take.
fn disk(place: &Place) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let blocks = |path: &std::path::PathBuf| path.metadata().expect("a file").blocks();
    place.segments().iter().map(blocks).sum::<u64>() * 512
}

fn many_short_runs() {
    let place = Place::new();
    // So large that a run's first snapshot is a delta.
    place.live(" : fill=80 write");
    let (heap, mut deltas) = (disk(&place), 0);
    for run in 1..=40_u64 {
        let line = if run % 3 == 0 { " : snap=2 list" } else { " : list write list" };
        // To look at everything takes longer than all else.
        let blind = if run % 10 == 0 { "" } else { "blind" };
        let way = if run % 2 == 0 { "background" } else { "" };
        let text = place.live(&format!("{blind} {way}{line}"));
        let restored = after(&text, "restored")[0];
        let round = run + (run - 1) / 3;
        assert!(restored.ends_with(&format!(" round {round}")), "run {run}: {text}");
        for segments in after(&text, "segments") {
            assert!(segments.parse::<usize>().expect("a number") <= 33, "run {run}: {text}");
        }
        assert!(disk(&place) <= 4 * heap, "run {run}: {} bytes of {heap}", disk(&place));
        assert!(!text.contains("Failed"), "run {run}: {text}");
        deltas += text.matches("is_delta: true").count();
    }
    assert!(deltas > 10, "{deltas} deltas");
}

/// The segments that the manifest names, by the format's description.
fn named(place: &Place) -> BTreeSet<String> {
    let bytes = std::fs::read(place.dir.join("MANIFEST")).expect("a manifest");
    let number = |at: usize, len: usize| {
        bytes[at..at + len].iter().rev().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte))
    };
    let records = (0..number(80, 4)).map(|place| 88 + 32 * usize::try_from(place).expect("small"));
    let kind = |at| if number(at + 16, 4) == 1 { "full" } else { "delta" };
    records.map(|at| format!("{:010}.{}", number(at, 8), kind(at))).collect()
}

fn killed_while_merging() {
    let place = Place::new();
    place.live(" : fill=12 snap quit");
    let (mut durable, mut merged, mut random) = (1, 0, 12_345_u64);
    // On a busy machine lives of half a second hardly come to merging: later ones last longer.
    for life in 0..60_u32 {
        if life >= 15 && merged > 0 {
            break;
        }
        let mut command = place.life(" : list ready snap=100000");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a process");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let begun: Vec<String> = lines
            .by_ref()
            .map(|line| line.expect("text"))
            .take_while(|line| line != "ready")
            .collect();
        let begun = begun.join("\n");
        let round = round_of(after(&begun, "restored")[0]);
        assert!(round >= durable, "life {life}: {durable} was durable\n{begun}");
        let files = place.segments().into_iter();
        let files: BTreeSet<String> = files
            .map(|path| path.file_name().expect("a name").to_string_lossy().into_owned())
            .collect();
        assert_eq!(files, named(&place), "life {life}");
        child.stdin.take().expect("a pipe").write_all(b"on\n").expect("it lives");
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let longer = 40 * u64::from(life).saturating_sub(15);
        std::thread::sleep(Duration::from_millis(100 + (random >> 33) % 400 + longer));
        child.kill().expect("it lives");
        child.wait().expect("its end");
        let rest: Vec<String> = lines.map_while(Result::ok).collect();
        let rest = rest.join("\n");
        durable = after(&rest, "durable").last().map_or(durable, |line| round_of(line));
        merged += after(&rest, "event Compacted").len();
        assert!(!rest.contains("Failed") && !rest.contains("Damaged"), "{rest}");
    }
    let text = place.live(" : list");
    assert!(round_of(after(&text, "restored")[0]) >= durable, "{text}");
    assert!(merged > 0 && durable > 15, "nothing was merged: {merged} mergers, round {durable}");
    println!("{merged} mergers, {durable} rounds");
}

fn round_of(line: &str) -> u64 {
    line.rsplit(' ').next().and_then(|round| round.parse().ok()).expect("a round")
}

fn main() {
    if lives::plays() {
        return;
    }
    lives::run_all(&[
        ("an_older_one_is_opened_by_number", an_older_one_is_opened_by_number),
        ("reverting_sets_newer_ones_aside", reverting_sets_newer_ones_aside),
        ("young_ones_are_kept", young_ones_are_kept),
        ("damage_is_found_when_asked_for", damage_is_found_when_asked_for),
        ("merging_by_hand", merging_by_hand),
        ("one_damaged_file_is_not_all", one_damaged_file_is_not_all),
        ("many_short_runs", many_short_runs),
        ("killed_while_merging", killed_while_merging),
    ]);
}
