//! Values that point into the executable come back right under address-space randomisation,
//! fifty restarts in a row; another build that could not get them right is refused.

mod support;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::{fs, str};
use stillheap::{Durable, Options, ProcessHeap, Root, RootError};

#[global_allocator]
static HEAP: ProcessHeap = ProcessHeap::new();

const RESTARTS: u64 = 50;

#[derive(Durable, Default)]
struct Links {
    runs: u64,
    empty: HashMap<String, u64>,
    never_used: HashSet<u32>,
    filled: HashMap<String, HashMap<u64, Vec<String>>>,
    by_borrowed: HashMap<Cow<'static, str>, u64>,
    sorted: BTreeMap<Cow<'static, str>, HashMap<u8, u8>>,
    words: Vec<Cow<'static, str>>,
    nothing: Arc<str>,
    something: Arc<str>,
    #[allow(clippy::box_collection, reason = "the box is what relinking has to follow")]
    nested: Option<Box<HashMap<String, HashSet<u8>>>>,
}

/// What needs no particular build: empty maps alone.
#[derive(Durable, Default)]
struct Maps {
    empty: HashMap<String, u64>,
    filled: HashMap<u64, HashMap<u64, u64>>,
}

fn open(dir: &Path) -> stillheap::Heap {
    HEAP.open(dir, Options::new().restart_on_collision(true)).expect("a heap")
}

fn durable(heap: &stillheap::Heap) {
    heap.snapshot().expect("a freeze").wait_durable().expect("durable");
}

/// Checks what earlier runs left, adds to it, and dies.
fn one_run(dir: &Path) {
    let heap = open(dir);
    println!("main at {:#x}", main as fn() as usize);
    let links: Root<Links> = heap.root("links").expect("the same build");
    let maps: Root<Maps> = heap.root("maps").expect("any build");
    links.read(check);
    links.write(add);
    maps.write(|maps| {
        assert_eq!(maps.empty.get("x"), None);
        let number = maps.filled.len() as u64;
        assert!(maps.filled.values().all(HashMap::is_empty));
        maps.filled.insert(number, HashMap::new());
    });
    durable(&heap);
    support::die();
}

fn check(links: &Links) {
    let runs = links.runs;
    assert!(links.empty.is_empty() && !links.empty.contains_key("anything"));
    assert!(!links.never_used.contains(&7));
    assert_eq!(links.filled.len() as u64, runs);
    assert_eq!(links.words.len() as u64, 2 * runs);
    assert_eq!(links.by_borrowed.get("a literal key").copied().unwrap_or(0), runs);
    assert_eq!(&*links.nothing, "");
    if runs > 0 {
        assert_eq!(&*links.something, "something");
        assert_eq!(links.sorted.len() as u64, 1 + runs);
        assert!(links.sorted["literal"].is_empty());
        assert!(links.nested.as_ref().is_some_and(|nested| nested["inner"].is_empty()));
    }
    for (run, words) in (0..runs).zip(links.words.chunks(2)) {
        let inner = &links.filled[&format!("run {run}")];
        assert_eq!(inner[&run], vec![format!("value {run}")]);
        assert_eq!(words[0], "borrowed");
        assert_eq!(words[1], format!("owned {run}"));
        assert!(links.sorted[format!("owned {run}").as_str()].contains_key(&1));
    }
}

fn add(links: &mut Links) {
    let run = links.runs;
    links.filled.insert(format!("run {run}"), HashMap::from([(run, vec![format!("value {run}")])]));
    *links.by_borrowed.entry(Cow::Borrowed("a literal key")).or_default() += 1;
    links.words.push(Cow::Borrowed("borrowed"));
    links.words.push(Cow::Owned(format!("owned {run}")));
    links.sorted.entry(Cow::Borrowed("literal")).or_default();
    links.sorted.insert(Cow::Owned(format!("owned {run}")), HashMap::from([(1, 1)]));
    links.something = "something".into();
    links.nothing = Arc::default();
    links.empty = HashMap::new();
    links.nested = Some(Box::new(HashMap::from([("inner".to_owned(), HashSet::new())])));
    links.runs += 1;
}

fn fifty_restarts() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("heap");
    let mut places = HashSet::new();
    for _ in 0..RESTARTS {
        places.insert(support::run_until_killed("one_run", &dir));
    }
    assert!(places.len() > 1, "the system does not randomise addresses, so this proves nothing");
}

/// Another build of this program, made by changing the mark that tells builds apart.
fn another_build(folder: &Path) -> std::path::PathBuf {
    let mut program = fs::read(std::env::current_exe().expect("this program")).expect("its file");
    // The note's header: lengths of name and mark, type 3 (build mark), name "GNU".
    let header = [4_u32, 20, 3].map(u32::to_le_bytes).concat();
    let note: Vec<u8> = header.iter().copied().chain(*b"GNU\0").collect();
    let found = program.windows(note.len()).position(|window| window == note);
    let place = found.expect("a build mark") + note.len();
    program[place] ^= 0xff;
    let path = folder.join("another-build");
    fs::write(&path, program).expect("room for it");
    let executable = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
    fs::set_permissions(&path, executable).expect("its permissions");
    path
}

/// The other build's run: the root with literals is refused, the one without is not.
fn as_another_build(dir: &Path) {
    let heap = open(dir);
    let refused = heap.root::<Links>("links").expect_err("literals of another build");
    assert!(matches!(refused, RootError::Relink { .. }), "{refused}");
    println!("refused: {refused}");
    let maps: Root<Maps> = heap.root("maps").expect("any build");
    maps.write(|maps| {
        assert!(maps.empty.is_empty() && maps.filled.values().all(HashMap::is_empty));
        maps.empty.insert("in use".to_owned(), 1);
        maps.empty.clear();
    });
    durable(&heap);
}

fn another_build_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("heap");
    support::run_until_killed("one_run", &dir);
    let other = another_build(folder.path());
    let output = support::output(&mut support::program(&other, "as_another_build", &dir));
    let text = support::text_of(&output);
    assert!(
        output.status.success() && text.contains("refused") && text.contains("build"),
        "{text}"
    );
    // The refused root is as it was: the first build goes on with it.
    support::run_until_killed("one_run", &dir);
}

fn main() {
    match support::role() {
        Some((role, dir)) if role == "one_run" => one_run(&dir),
        Some((_, dir)) => as_another_build(&dir),
        None => support::run_all(&[
            ("fifty_restarts", fifty_restarts),
            ("another_build_is_refused", another_build_is_refused),
        ]),
    }
}
