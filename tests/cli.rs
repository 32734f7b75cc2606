//! The command line tool, as a program: every command, on heaps that other processes have made,
//! hold open, or that are damaged.

mod cli_support;
mod support;

use cli_support::{
    Kind, contents, durable, fill, json, mistakes, numbers, open, refused, sample, str, text, tool,
    towns, with,
};
use serde_json::Value;
use std::fs;
use std::path::Path;
use stillheap::ProcessHeap;

#[global_allocator]
static HEAP: ProcessHeap = ProcessHeap::new();

/// A child that makes a heap with three snapshots, and dies.
fn make(dir: &Path) {
    let heap = open(&HEAP, dir);
    fill(&heap);
    support::die();
}

/// A child that makes mistakes.
fn err(dir: &Path) {
    mistakes::err(&HEAP, dir);
}

/// A child that holds a heap open and takes snapshots, which it prunes, until it is told to end.
fn hold(dir: &Path) {
    let heap = HEAP.open(dir, stillheap::Options::new().keep(2)).expect("a heap");
    fill(&heap);
    let towns = towns(&heap);
    fs::write(dir.with_extension("ready"), "").expect("a file");
    while !dir.with_extension("stop").exists() {
        towns.write(|towns| towns.iter_mut().for_each(|town| town.people += 1));
        durable(&heap);
    }
    heap.close().expect("an end");
}

/// A child that looks whether all is there, and goes on.
fn look(dir: &Path) {
    let heap = open(&HEAP, dir);
    let towns = towns(&heap);
    towns.read(|towns| {
        assert_eq!((towns.len(), towns[500].people), (1000, 501));
        assert_eq!(towns[500].kind, Kind::City { districts: 3 });
        assert_eq!(towns[999].name, "Town 999 on the river that has no name");
    });
    towns.write(|towns| towns[0].people = 77);
    println!("number {}", durable(&heap));
    support::die();
}

/// A child with a block of several cells, of which one page is not zero.
fn wide(dir: &Path) {
    let heap = open(&HEAP, dir);
    let words: stillheap::Root<Vec<u64>> = heap.root("words").expect("a root");
    words.write(|words| *words = vec![0; 20_000_000]);
    words.write(|words| words[10_000_000] = 1);
    durable(&heap);
    support::die();
}

/// The same before the last change.
fn look_back(dir: &Path) {
    let heap = open(&HEAP, dir);
    towns(&heap).read(|towns| assert_eq!((towns.len(), towns[500].people), (1000, 500)));
    support::die();
}

fn lists_and_inspects() {
    let (_folder, heap) = sample();
    let before = contents(&heap);
    let list = json(0, &["list", str(&heap)]);
    assert_eq!(numbers(&list["snapshots"], "number"), [1, 2, 3]);
    let last = &list["snapshots"][2];
    assert!(last["newest"] == true && last["kind"] == "delta" && last["set_aside"] == false);
    assert_eq!(last["files"].as_array().expect("files").len(), 3);
    assert_eq!(list["bytes"], before.iter().map(|(_, bytes)| bytes.len()).sum::<usize>());
    let printed = text(&["list", str(&heap)]);
    assert!(printed.contains("*") && printed.contains("delta"), "{printed}");

    let inspect = json(0, &["inspect", str(&heap)]);
    let roots = inspect["roots"].as_array().expect("roots");
    let root = |name: &str| roots.iter().find(|root| root["name"] == name).expect("a root");
    assert_eq!(root("towns")["type"], "Vec<Town>");
    assert_eq!((&root("towns")["size"], &root("towns")["damage"]), (&24.into(), &Value::Null));
    let types = root("towns")["types"].as_array().expect("types");
    let town = types.iter().find(|one| one["kind"] == "struct").expect("a struct");
    assert_eq!(town["fields"][1]["name"], "people");
    assert_eq!(town["fields"][1]["type"], "u64");
    let memory = &inspect["memory"];
    let in_use = numbers(&memory["slabs"], "blocks_in_use");
    let capacity = numbers(&memory["slabs"], "blocks");
    assert!(in_use.iter().zip(&capacity).all(|(used, all)| used <= all));
    // The towns' names.
    assert!(in_use.iter().any(|&used| (1000..1100).contains(&used)), "{in_use:?}");
    assert_eq!(memory["large"]["count"], 4);
    assert!(memory["bytes_in_use"].as_u64() > Some(4 * 4_800_000));
    let kinds: Vec<_> = memory["by_memory"].as_array().expect("kinds").iter().collect();
    assert!(["ambient", "scoped", "tracked"].iter().all(|kind| {
        kinds.iter().any(|one| one["memory"] == *kind && one["pages"].as_u64() > Some(0))
    }));
    assert_eq!(inspect["heat"].as_array().expect("nine").len(), 9);
    assert!(inspect["heat"][3].as_u64() > Some(0), "written in all three epochs");
    let printed = text(&["inspect", str(&heap)]);
    assert!(printed.contains("struct Town {") && !printed.contains("// at"), "{printed}");
    let printed = text(&["inspect", str(&heap), "--layout", "--snapshot", "1"]);
    assert!(printed.contains("people: u64, // at "), "{printed}");
    refused(3, &["inspect", str(&heap), "--snapshot", "9"], &["no snapshot 9", "1, 2, 3"]);
    assert_eq!(contents(&heap), before, "nothing was changed");
}

fn compares_and_paints() {
    let (folder, heap) = sample();
    let diff = json(0, &["diff", str(&heap), "2", "3"]);
    let changed = diff["changed"]["pages"].as_u64().expect("a count");
    assert!(changed > 0 && changed < 200, "{diff:#}");
    assert_eq!(diff["total"]["bytes"], diff["total"]["pages"].as_u64().expect("a count") * 4096);
    let by_content = diff["by_content"].as_array().expect("kinds");
    let sum: u64 = numbers(&diff["by_content"], "changed").iter().sum();
    assert_eq!(sum, changed);
    assert!(by_content.iter().all(|one| (one["content"] == "slab") == one["block_bytes"].is_u64()));
    let grown = json(0, &["diff", str(&heap), "1", "2"]);
    assert!(grown["new"]["pages"].as_u64() >= Some(4_800_000 / 4096), "{grown:#}");
    let back = json(0, &["diff", str(&heap), "2", "1"]);
    assert_eq!(back["zeroed"]["pages"], grown["new"]["pages"]);
    assert_eq!(json(0, &["diff", str(&heap), "3", "3"])["total"]["pages"], 0);
    assert!(text(&["diff", str(&heap), "1", "3"]).contains("scoped"));

    for by in [&["--by", "age"][..], &["--by", "heat"], &["--by", "change", "--since", "2"]] {
        let picture = folder.path().join(format!("{}.png", by[1]));
        let arguments = [&["heatmap", str(&heap), str(&picture)], by].concat();
        let report = json(0, &arguments);
        let file = std::io::BufReader::new(fs::File::open(&picture).expect("a picture"));
        let mut reader = png::Decoder::new(file).read_info().expect("a PNG");
        let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
        let info = reader.next_frame(&mut pixels).expect("pixels");
        assert_eq!(
            (&report["width"], &report["height"]),
            (&info.width.into(), &info.height.into())
        );
        let hot = pixels.iter().filter(|&&pixel| pixel == 64 + 127).count() as u64;
        assert!(hot >= changed.min(128), "{by:?}: {hot} hot pixels");
        refused(2, &arguments, &["is there already"]);
        assert!(text(&[&arguments[..], &["--force"]].concat()).contains("pixels"));
    }
    let reads = folder.path().join("reads.png");
    assert!(text(&["heatmap", str(&heap), str(&reads), "--by", "reads"]).contains("pixels"));
    let inside = heap.join("x.png");
    refused(2, &["heatmap", str(&heap), str(&inside)], &["heap's directory"]);
    refused_usage(&["heatmap", str(&heap), "x.png", "--by", "change"]);
}

/// The parser of arguments has its own words.
fn refused_usage(arguments: &[&str]) {
    let ran = tool(arguments);
    assert!(ran.code == 2 && ran.errors.contains("--help"), "{}", ran.errors);
    assert_eq!(json(2, arguments)["error"]["code"], 2);
}

fn shows_blocks_of_several_cells() {
    let folder = tempfile::tempdir().expect("a folder");
    let (heap, file) = (folder.path().join("wide.heap"), folder.path().join("wide.still"));
    support::run_until_killed("wide", &heap);
    let memory = &json(0, &["inspect", str(&heap)])["memory"];
    let pages = 160_000_000_u64.div_ceil(4096);
    assert_eq!((&memory["spans"], &memory["large"]["pages"]), (&1.into(), &pages.into()));
    assert!(memory["pages_saved"].as_u64() < Some(1000), "the others are zero");
    let picture = folder.path().join("wide.png");
    let painted = json(0, &["heatmap", str(&heap), str(&picture)]);
    assert_eq!(painted["cells"], memory["cells"]);
    assert!(painted["pages_painted"].as_u64() > Some(pages));
    assert!(json(0, &["export", str(&heap), str(&file)])["bytes"].as_u64() < Some(4 << 20));
    text(&["import", str(&file), str(&folder.path().join("copy.heap"))]);
}

fn prunes_compacts_and_reverts() {
    let (_folder, heap) = sample();
    let would = json(0, &["prune", str(&heap), "--keep", "1", "--dry-run"]);
    assert_eq!(
        (&would["dry_run"], &would["forgotten"]),
        (&true.into(), &serde_json::json!([1, 2]))
    );
    assert_eq!(numbers(&json(0, &["list", str(&heap)])["snapshots"], "number"), [1, 2, 3]);

    let reverted = json(0, &["revert", str(&heap), "2"]);
    assert_eq!((&reverted["newest"], &reverted["set_aside"]), (&2.into(), &serde_json::json!([3])));
    support::run_until_killed("look_back", &heap);
    refused(3, &["revert", str(&heap), "9"], &["no snapshot 9"]);
    assert!(text(&["revert", str(&heap), "3"]).contains("snapshot 3 is opened next"));

    let young = json(0, &["prune", str(&heap), "--keep", "1", "--keep-for", "1h"]);
    assert_eq!(young["kept"], serde_json::json!([1, 2, 3]));
    let pruned = json(0, &["prune", str(&heap), "--keep", "1"]);
    assert_eq!(pruned["kept"], serde_json::json!([3]));
    let merged = json(0, &["compact", str(&heap), "--compression", "lz4"]);
    assert_eq!((&merged["merged"], &merged["segments"]), (&true.into(), &3.into()));
    let list = json(0, &["list", str(&heap)]);
    let snapshot = &list["snapshots"][0];
    assert_eq!((&snapshot["kind"], &snapshot["compression"][0]), (&"full".into(), &"lz4".into()));
    assert_eq!(json(0, &["compact", str(&heap)])["merged"], false);
    assert_eq!(json(0, &["verify", str(&heap), "--all"])["sound"], true);
    support::run_until_killed("look", &heap);
    refused_usage(&["prune", str(&heap), "--keep", "0"]);
    refused_usage(&["prune", str(&heap), "--keep", "1", "--keep-for", "soon"]);
}

fn exports_and_imports() {
    let (folder, heap) = sample();
    let more: &[&str] = if cfg!(feature = "zstd") { &["zstd", "zstd:9"] } else { &[] };
    for way in ["none", "lz4"].iter().chain(more) {
        let file = folder.path().join(format!("{way}.still"));
        let copy = folder.path().join(format!("{way}.heap"));
        let arguments = ["export", str(&heap), str(&file), "--compression", way];
        let exported = json(0, &arguments);
        assert_eq!(exported["snapshot"], 3);
        assert_eq!(exported["bytes"], fs::metadata(&file).expect("a file").len());
        refused(2, &arguments, &["is there already"]);
        let imported = json(0, &["import", str(&file), str(&copy)]);
        let list = json(0, &["list", str(&copy)]);
        assert_eq!(list["heap_id"], json(0, &["list", str(&heap)])["heap_id"]);
        assert_eq!(imported["heap_id"], list["heap_id"]);
        assert_eq!(numbers(&list["snapshots"], "number"), [3]);
        assert_eq!(json(0, &["verify", str(&copy)])["sound"], true);
        let (old, new) = (json(0, &["inspect", str(&heap)]), json(0, &["inspect", str(&copy)]));
        assert_eq!((&old["roots"], &old["memory"]), (&new["roots"], &new["memory"]));
        refused(2, &["import", str(&file), str(&copy)], &["is there already"]);
        assert!(support::run_until_killed("look", &copy).contains("number 4"));
    }
    let old = folder.path().join("old.still");
    assert!(text(&["export", str(&heap), str(&old), "-s", "1"]).contains("snapshot 1"));

    let names = || -> Vec<_> { contents_of(folder.path()) };
    let before = names();
    let mut bytes = fs::read(&old).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    let bad = folder.path().join("old.still");
    fs::write(&bad, &bytes).expect("room");
    let target = folder.path().join("bad.heap");
    refused(1, &["import", str(&bad), str(&target)], &["old.still", "expected CRC-32"]);
    let delta = heap.join("0000000003.delta");
    refused(2, &["import", str(&delta), str(&target)], &["a delta on snapshot 2"]);
    let none = folder.path().join("none.still.x");
    refused(3, &["import", str(&none), str(&target)], &["none.still.x"]);
    refused(2, &["export", str(&heap), str(&heap.join("x"))], &["heap's own directory"]);
    assert_eq!(names(), before, "what fails leaves nothing");
    // An empty directory will do.
    fs::create_dir(&target).expect("a directory");
    text(&["import", str(&folder.path().join("lz4.still")), str(&target)]);
}

fn contents_of(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).expect("a directory");
    let mut names: Vec<String> = names
        .map(|entry| entry.expect("a name").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    names
}

type Change = fn(&mut Vec<u8>);

fn names_every_damage() {
    let (folder, heap) = sample();
    let (full, last) = (heap.join("0000000001.full"), heap.join("0000000003.delta"));
    let dir = str(&heap);
    // A page of the last file: the snapshots before it are sound.
    with(
        &last,
        |bytes| bytes[4096] ^= 1,
        || {
            let report = json(1, &["verify", dir, "--all"]);
            let sound = report["snapshots"].as_array().expect("three").iter();
            assert_eq!(
                sound.map(|one| one["sound"] == true).collect::<Vec<_>>(),
                [true, true, false]
            );
            let bad = &report["snapshots"][2];
            assert_eq!((&bad["offset"], bad["page"].is_u64()), (&4096.into(), true));
            assert!(bad["file"].as_str().is_some_and(|file| file.ends_with("0000000003.delta")));
            assert!(bad["expected"].is_string() && bad["found"].is_string());
            refused(1, &["verify", dir], &["0000000003.delta", "page", "offset 4096", "1, 2"]);
            refused(1, &["prune", dir, "--keep", "1"], &["snapshot 3 is damaged"]);
            assert_eq!(json(0, &["verify", dir, "-s", "2"])["sound"], true);
            let file = folder.path().join("x");
            refused(1, &["export", dir, str(&file)], &["0000000003.delta"]);
            assert!(!file.exists());
            text(&["revert", dir, "2"]);
            assert_eq!(json(0, &["verify", dir])["snapshots"][0]["number"], 2);
            refused(1, &["revert", dir, "3"], &["snapshot 3 is damaged"]);
        },
    );
    text(&["revert", dir, "3"]);
    let len = fs::metadata(&last).expect("a file").len();
    let cases: [(&str, Change); 5] = [
        ("header", |bytes| bytes[100] ^= 1),
        ("notes", |bytes| *bytes.last_mut().expect("a byte") ^= 1),
        ("padding", |bytes| bytes[300] = 1),
        ("length", |bytes| bytes.truncate(bytes.len() - 1)),
        ("length", Vec::clear),
    ];
    for (part, change) in cases {
        with(&last, change, || {
            refused(1, &["verify", dir], &["0000000003.delta", part, "expected", "found"]);
            refused(1, &["inspect", dir], &["0000000003.delta", part, "1, 2"]);
            refused(1, &["diff", dir, "1", "3"], &["0000000003.delta", part]);
        });
    }
    assert_eq!(fs::metadata(&last).expect("a file").len(), len);
    // A file is missing, and then the one that all need.
    let away = folder.path().join("away");
    fs::rename(&last, &away).expect("a name");
    refused(1, &["inspect", dir], &["0000000003.delta", "can still be opened: 1, 2"]);
    assert_eq!(numbers(&json(0, &["list", dir])["snapshots"], "number"), [1, 2, 3]);
    refused(1, &["compact", dir], &["0000000003.delta"]);
    fs::rename(&away, &last).expect("a name");
    fs::rename(&full, &away).expect("a name");
    refused(1, &["heatmap", dir, str(&folder.path().join("y.png"))], &["no other can be opened"]);
    fs::rename(&away, &full).expect("a name");
    assert_eq!(json(0, &["verify", dir, "--all"])["sound"], true);
}

fn tells_heaps_from_other_things() {
    let (folder, heap) = sample();
    let manifest = heap.join("MANIFEST");
    let dir = str(&heap);
    with(
        &manifest,
        |bytes| bytes[80] ^= 1,
        || {
            refused(1, &["list", dir], &["the manifest is damaged", "expected", "found"]);
            refused(1, &["revert", dir, "2"], &["the manifest is damaged"]);
        },
    );
    let newer = |bytes: &mut Vec<u8>| {
        let end = bytes.len() - 4;
        bytes[8] = 9;
        let crc = stillheap::base::crc32(&bytes[..end]);
        bytes[end..].copy_from_slice(&crc.to_le_bytes());
    };
    with(&manifest, newer, || refused(6, &["list", dir], &["version 9"]));
    let away = folder.path().join("away");
    fs::rename(&manifest, &away).expect("a name");
    refused(1, &["list", dir], &["has lost its MANIFEST"]);
    refused(3, &["list", str(folder.path())], &["is not a heap"]);
    refused(3, &["list", str(&folder.path().join("none"))], &["is not there"]);
    refused(3, &["list", str(&away)], &["no directory"]);
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).expect("a directory");
    for command in [&["list"][..], &["compact"], &["verify"]] {
        refused(3, &[command, &[str(&empty)]].concat(), &["is empty"]);
    }
    assert!(contents(&empty).is_empty(), "no lock was left");
    refused_usage(&["list"]);
    let help = tool(&["--help"]);
    assert!(help.code == 0 && help.out.contains("Exit codes:"), "{}", help.out);
    for command in
        "list inspect verify audit leaks diff prune compact revert export import heatmap".split(' ')
    {
        let help = tool(&[command, "--help"]);
        let is_whole =
            ["JSON:", "Example", "stillheap "].iter().all(|part| help.out.contains(part));
        assert!(help.code == 0 && is_whole, "{}", help.out);
    }
}

fn leaves_a_live_heap_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let heap = folder.path().join("live.heap");
    let dir = str(&heap);
    let mut child = support::child("hold", &heap).spawn().expect("a child");
    support::until("it holds the heap", || heap.with_extension("ready").exists());
    let held = format!("process {}", child.id());
    refused(4, &["revert", dir, "1"], &["held by another owner", &held]);
    refused(4, &["prune", dir, "--keep", "1"], &[&held]);
    refused(4, &["compact", dir], &[&held]);
    for round in 0..20 {
        assert_eq!(json(0, &["verify", dir, "--all"])["sound"], true);
        let list = json(0, &["list", dir]);
        let inspect = json(0, &["inspect", dir]);
        let newest = numbers(&list["snapshots"], "number").pop();
        assert!(inspect["snapshot"]["number"].as_u64() >= newest);
        json(0, &["prune", dir, "--keep", "1", "--dry-run"]);
        json(0, &["audit", dir]);
        json(0, &["leaks", dir]);
        let file = folder.path().join(format!("{round}.still"));
        json(0, &["export", dir, str(&file)]);
        text(&["heatmap", dir, str(&folder.path().join(format!("{round}.png")))]);
    }
    fs::write(heap.with_extension("stop"), "").expect("a file");
    assert!(child.wait().expect("an end").success());
    let copy = folder.path().join("copy.heap");
    text(&["import", str(&folder.path().join("19.still")), str(&copy)]);
    assert_eq!(json(0, &["verify", str(&copy)])["sound"], true);
    text(&["compact", dir]);
}

fn main() {
    let roles: [support::Role; 6] = [
        ("make", make),
        ("err", err),
        ("wide", wide),
        ("hold", hold),
        ("look", look),
        ("look_back", look_back),
    ];
    if support::plays(&roles) {
        return;
    }
    support::run_all(&[
        ("lists_and_inspects", lists_and_inspects),
        ("compares_and_paints", compares_and_paints),
        ("shows_blocks_of_several_cells", shows_blocks_of_several_cells),
        ("prunes_compacts_and_reverts", prunes_compacts_and_reverts),
        ("exports_and_imports", exports_and_imports),
        ("names_every_damage", names_every_damage),
        ("finds_mistakes", mistakes::are_found),
        ("tells_heaps_from_other_things", tells_heaps_from_other_things),
        ("leaves_a_live_heap_alone", leaves_a_live_heap_alone),
    ]);
}
