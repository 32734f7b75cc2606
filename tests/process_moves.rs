//! The point of having the whole process in the arena: values born anywhere (before `open`,
//! outside scopes, on other threads, received over channels) are moved into a root by ordinary
//! safe code, and are all there after a kill.

mod support;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::mpsc;
use std::{path::Path, thread};
use stillheap::arena::ArenaConfig;
use stillheap::base::CELL_SIZE;
use stillheap::{Durable, Options, ProcessHeap, Scope, XTree};

#[global_allocator]
static HEAP: ProcessHeap = ProcessHeap::new();

#[derive(Durable, Default)]
struct Db {
    strings: Vec<String>,
    #[allow(clippy::vec_box, reason = "boxes are what is to be moved")]
    boxes: Vec<Box<[u64; 100]>>,
    maps: Vec<HashMap<String, Vec<u32>>>,
    trees: Vec<XTree<2, u64>>,
    shared: Vec<Arc<String>>,
    large: Vec<Vec<u8>>,
    kept: BTreeMap<String, Box<str>>,
}

fn map_of(size: u32) -> HashMap<String, Vec<u32>> {
    (0..size).map(|number| (format!("key {number}"), vec![number; number as usize % 50])).collect()
}

fn tree_of(size: u64) -> XTree<2, u64> {
    (0..size).map(|number| ([number as f64, (number * 7 % 1000) as f64], number)).collect()
}

fn write(dir: &Path) {
    // Before `open`, in a boot cell.
    let early = String::from("born before open");
    let early_box = Box::new([1_u64; 100]);
    let early_map = map_of(500);
    let early_tree = tree_of(2_000);
    let early_large = vec![0x5a_u8; 5 << 20];
    let early_shared = Arc::new(String::from("shared before open"));
    // On a thread that ends before `open`, and one that lives on.
    let from_thread = thread::spawn(|| format!("from {:?}", "a thread")).join().expect("a string");
    let (send, receive) = mpsc::channel::<(String, HashMap<String, Vec<u32>>)>();
    let sender = thread::spawn(move || {
        for number in 0..50 {
            send.send((format!("sent {number}"), map_of(number))).expect("a receiver");
        }
    });
    let heap = HEAP.open(dir, Options::new()).expect("a new heap");
    let db = heap.root::<Db>("db").expect("a root");
    // Outside scopes, in main space.
    let late = String::from("born outside a scope");
    let late_box = Box::new([2_u64; 100]);
    let main_end = ProcessHeap::DEFAULT_BASE
        + ArenaConfig::process(ProcessHeap::DEFAULT_BASE).main_cells as usize * CELL_SIZE;
    assert!((&raw const *early_box).addr() > main_end, "in a boot cell");
    assert!((&raw const *late_box).addr() < main_end, "in main space");
    let late_tree = tree_of(3_000);
    db.write(move |db| {
        db.strings.extend([early, from_thread, late]);
        db.boxes.extend([early_box, late_box]);
        db.maps.push(early_map);
        db.trees.extend([early_tree, late_tree]);
        db.large.push(early_large);
        db.shared.push(early_shared);
    });
    for (text, map) in receive {
        db.write(|db| {
            db.strings.push(text);
            db.maps.push(map);
        });
    }
    sender.join().expect("the sender's end");
    grow_and_shrink(&db);
    heap.validate().expect("a sound heap");
    heap.snapshot().expect("a freeze").wait_durable().expect("durable");
    support::die();
}

/// What was born elsewhere is changed in scopes, and what was born in scopes is dropped outside.
fn grow_and_shrink(db: &stillheap::Root<Db>) {
    db.write(|db| {
        for string in &mut db.strings {
            string.push_str(", and grown in a scope");
        }
        db.maps[0].insert("new".to_owned(), vec![1, 2, 3]);
        db.trees[0].insert([0.5, 0.5], 77).expect("finite");
        db.kept = (0..300).map(|n| (n.to_string(), "x".repeat(n).into())).collect();
    });
    let taken = db.write(|db| std::mem::take(&mut db.kept));
    assert_eq!(taken.len(), 300);
    drop(taken);
    let moved_out = db.write(|db| db.strings.pop().expect("a string"));
    let again = moved_out + ", and changed outside";
    db.write(|db| db.strings.push(again));
    let _outer = Scope::enter();
    let _inner = Scope::enter();
    db.write(|db| db.kept.insert("nested".to_owned(), "scopes".into()));
}

fn check(dir: &Path) {
    let heap = HEAP.open(dir, Options::new()).expect("the heap");
    heap.validate().expect("a sound heap");
    let db = heap.root::<Db>("db").expect("the root");
    db.read(|db| {
        assert_eq!(db.strings.len(), 53);
        assert_eq!(db.strings[0], "born before open, and grown in a scope");
        assert_eq!(db.strings[1], "from \"a thread\", and grown in a scope");
        assert_eq!(db.strings[2], "born outside a scope, and grown in a scope");
        let last = db.strings.last().expect("strings");
        assert_eq!(last, "sent 49, and grown in a scope, and changed outside");
        assert_eq!((db.boxes[0][99], db.boxes[1][99]), (1, 2));
        assert_eq!(db.maps.len(), 51);
        assert_eq!(db.maps[0].len(), 501);
        assert!((0..50).all(|number| db.maps[1 + number as usize] == map_of(number)));
        for (tree, size) in db.trees.iter().zip([2_001, 3_000]) {
            tree.validate().expect("a sound tree");
            assert_eq!(tree.len(), size);
        }
        assert!(db.large[0].len() == 5 << 20 && db.large[0].iter().all(|&byte| byte == 0x5a));
        assert_eq!(*db.shared[0], "shared before open");
        assert_eq!(&*db.kept["nested"], "scopes");
    });
    // All of it can be dropped, and the heap is sound and nearly empty then.
    db.write(std::mem::take);
    heap.validate().expect("a sound heap");
    heap.snapshot().expect("a freeze").wait_durable().expect("durable");
    support::die();
}

fn moved_values_survive() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("heap");
    support::run_until_killed("write", &dir);
    support::run_until_killed("check", &dir);
}

fn main() {
    match support::role() {
        Some((role, dir)) if role == "write" => write(&dir),
        Some((_, dir)) => check(&dir),
        None => support::run_all(&[("moved_values_survive", moved_values_survive)]),
    }
}
