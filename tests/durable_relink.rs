//! Relinking against fabricated executables: pages that stand for the executable of an earlier
//! run are made inaccessible before the relinking, so that whoever follows a stale pointer dies.
#![allow(unsafe_code, reason = "plants stale pointers, maps pages, relinks")]
#![allow(clippy::multiple_unsafe_ops_per_block, reason = "tests; the facts are in the header")]
#![allow(clippy::unwrap_used, reason = "tests, and their helpers")]

use std::borrow::Cow;
use std::cell::{Cell, OnceCell, RefCell};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::mem;
use std::ops::Bound;
use std::path::Path;
use std::ptr;
use std::rc::{self, Rc};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{self, Arc, Mutex, OnceLock, RwLock};

use stillheap::os::exe::ExecutableIdentity;
use stillheap::typed::{Durable, RelinkError, Relinked, Relinker};

const PAGE: usize = 4096;
const PAGES: usize = 4;
const EVERYWHERE: std::ops::Range<u64> = 0..u64::MAX;

type Text = Cow<'static, str>;

/// Pages with constant data: an executable.
struct Executable {
    start: *mut u8,
    build: u128,
}

impl Executable {
    fn new(build: u128) -> Self {
        let (read_write, private) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: maps fresh memory wherever there is room.
        let at = unsafe { libc::mmap(ptr::null_mut(), PAGES * PAGE, read_write, private, -1, 0) };
        assert_ne!(at, libc::MAP_FAILED);
        let start = at.cast::<u8>();
        let words = "zero  one   two   three four  five  six   seven eight nine  ";
        for page in 0..PAGES {
            // SAFETY: within the page just mapped.
            unsafe { ptr::copy(words.as_ptr(), start.add(page * PAGE), words.len()) };
        }
        Self { start, build }
    }

    fn identity(&self) -> ExecutableIdentity {
        let (start, len) = (self.start as u64, (PAGES * PAGE) as u64);
        ExecutableIdentity { start, len, build: self.build }
    }

    fn word(&self, index: usize, len: usize) -> &'static str {
        self.word_on_page(0, index, len)
    }

    fn word_on_page(&self, page: usize, index: usize, len: usize) -> &'static str {
        // SAFETY: within the pages, which stay mapped; not read any more after `leave`.
        let bytes =
            unsafe { std::slice::from_raw_parts(self.start.add(page * PAGE + index * 6), len) };
        std::str::from_utf8(bytes).unwrap()
    }

    fn text(&self, index: usize) -> Text {
        let lens = [4, 3, 3, 5, 4, 4, 3, 5, 5, 4];
        Cow::Borrowed(self.word(index, lens[index]))
    }

    fn holds(&self, text: &Text) -> bool {
        matches!(text, Cow::Borrowed(_))
            && self.identity().range().contains(&(text.as_ptr() as u64))
    }

    /// From here on whoever reads it dies.
    fn leave(&self) {
        // SAFETY: this test's own pages; whoever reads them now is a defect to be found.
        let done = unsafe { libc::mprotect(self.start.cast(), PAGES * PAGE, libc::PROT_NONE) };
        assert_eq!(done, 0);
    }
}

/// Has the empty singleton that `value` points at lie in the old executable.
fn make_stale<T>(mut value: T, old: &Executable) -> T {
    let real = ExecutableIdentity::current().range();
    let words = (&raw mut value).cast::<u64>();
    let mut planted = 0;
    for index in 0..size_of::<T>() / 8 {
        // SAFETY: a word of the value that this function owns.
        let word = unsafe { words.add(index) };
        // SAFETY: as above, and initialised; a planted word is looked at, never followed.
        if real.contains(&unsafe { word.read() }) {
            // SAFETY: as above.
            unsafe { word.write(old.start as u64 + 64) };
            planted += 1;
        }
    }
    assert_eq!(planted, 1, "the value points at one static");
    value
}

fn relink<T: Durable>(
    root: &mut T,
    from: &Executable,
    to: &Executable,
) -> Result<Relinked, RelinkError> {
    let mut relinker = Relinker::new(to.identity(), EVERYWHERE);
    // SAFETY: the test's own value, whose stale pointers all lead into `from`.
    unsafe { relinker.relink(root, &from.identity()) }
}

fn executables() -> (Executable, Executable) {
    (Executable::new(7), Executable::new(7))
}

/// Whether a word of the value is an address in this executable.
fn points_at_a_static<T>(value: T) -> bool {
    let real = ExecutableIdentity::current().range();
    let words = (&raw const value).cast::<u64>();
    // SAFETY: words of the value that this function owns.
    let mut values = (0..size_of::<T>() / 8).map(|index| unsafe { words.add(index).read() });
    values.any(|word| real.contains(&word))
}

#[test]
fn std_has_only_the_known_empty_statics() {
    assert!(points_at_a_static(HashMap::<u8, u8>::new()));
    assert!(points_at_a_static(HashSet::<u8>::new()));
    assert!(points_at_a_static(Arc::<str>::default()));
    assert!(points_at_a_static(Arc::<[u8]>::default()));
    assert!(!points_at_a_static((Rc::<str>::default(), Rc::<[u8]>::default())));
    assert!(!points_at_a_static((Arc::<str>::from(""), Arc::<[u8]>::from(Vec::new()))));
    assert!(!points_at_a_static((rc::Weak::<u8>::new(), sync::Weak::<u8>::new())));
    assert!(!points_at_a_static((String::new(), Vec::<u64>::new(), VecDeque::<u64>::new())));
    assert!(!points_at_a_static((BTreeMap::<u64, u64>::new(), BTreeSet::<u64>::new())));
    assert!(!points_at_a_static((LinkedList::<u64>::new(), BinaryHeap::<u64>::new())));
    assert!(!points_at_a_static((Box::<str>::default(), Box::<[u64]>::default())));
    assert!(!points_at_a_static(std::path::PathBuf::new()));
    assert!(!points_at_a_static(std::ffi::CString::default()));
    assert!(!points_at_a_static((Mutex::new(0_u64), RwLock::new(0_u64), OnceLock::<u64>::new())));
}

#[test]
fn empty_hash_maps_are_refreshed_and_keep_their_hasher() {
    let (old, new) = (Executable::new(1), Executable::new(2));
    let hasher = RandomState::new();
    let hash = hasher.hash_one("x");
    let map: HashMap<String, u32> = make_stale(HashMap::with_hasher(hasher), &old);
    let set: HashSet<u64> = make_stale(HashSet::new(), &old);
    let mut root = (map, vec![Some(set)], HashMap::from([(1_u32, 2_u32)]));
    old.leave();
    let done = relink(&mut root, &old, &new).unwrap();
    assert_eq!(done, Relinked { refreshed: 2, shifted: 0, rebuilt: 0 });
    assert_eq!(root.0.hasher().hash_one("x"), hash);
    root.0.insert("x".to_owned(), 1);
    assert_eq!(root.0.into_iter().collect::<Vec<_>>(), [("x".to_owned(), 1)]);
    assert!(root.1[0].as_mut().unwrap().insert(5));
    assert_eq!(root.2[&1], 2);
}

#[test]
fn empty_static_arcs_are_refreshed_and_live_ones_kept() {
    let (old, new) = (Executable::new(1), Executable::new(2));
    let text: Arc<str> = make_stale(Arc::default(), &old);
    let slice: Arc<[u16]> = make_stale(Arc::default(), &old);
    let kept: Arc<str> = Arc::from("kept");
    let address = kept.as_ptr();
    let mut root = (text, slice, kept, Arc::<str>::from(""));
    old.leave();
    assert_eq!(relink(&mut root, &old, &new).unwrap().refreshed, 2);
    assert!(root.0.is_empty() && root.1.is_empty());
    assert_eq!((root.2.as_ptr(), &*root.2), (address, "kept"));
    drop((root.0.clone(), root.1.clone(), root));
}

#[derive(Durable)]
enum Every {
    Sequences(Vec<Text>, VecDeque<Text>, LinkedList<Text>, Box<[Text]>),
    Compounds {
        maybe: Option<Text>,
        result: Result<Text, Text>,
        bound: Bound<Text>,
        pair: (u8, Text),
    },
    Boxes(Box<Text>, [Text; 2], Reverse<Text>, std::ops::Range<Text>),
    Cells(Cell<Text>, RefCell<Text>, OnceCell<Text>),
    Locks(Mutex<Text>, RwLock<Text>, OnceLock<Text>),
    Keyed(BTreeMap<Text, Text>, HashMap<Text, Text>),
    Sets(BTreeSet<Text>, HashSet<Text>, BinaryHeap<Text>),
    Values(BTreeMap<u32, Text>, HashMap<u32, Text>),
    Other(Cow<'static, Path>, Cow<'static, [u8]>),
}

fn one_of_each(e: &Executable) -> Vec<Every> {
    let t = |index| e.text(index);
    let (once, lock) = (OnceCell::new(), OnceLock::new());
    once.set(t(0)).unwrap();
    lock.set(t(1)).unwrap();
    vec![
        Every::Sequences(vec![t(0), t(1)], [t(2)].into(), [t(3)].into(), Box::new([t(4)])),
        Every::Compounds {
            maybe: Some(t(0)),
            result: Err(t(1)),
            bound: Bound::Excluded(t(2)),
            pair: (1, t(3)),
        },
        Every::Boxes(Box::new(t(0)), [t(1), t(2)], Reverse(t(3)), t(4)..t(5)),
        Every::Cells(Cell::new(t(0)), RefCell::new(t(1)), once),
        Every::Locks(Mutex::new(t(0)), RwLock::new(t(1)), lock),
        Every::Keyed([(t(0), t(1)), (t(2), t(3))].into(), [(t(4), t(5)), (t(6), t(7))].into()),
        Every::Sets([t(0), t(1)].into(), [t(2), t(3)].into(), [t(4), t(5), t(6)].into()),
        Every::Values([(1, t(0))].into(), [(1, t(1))].into()),
        Every::Other(
            Cow::Borrowed(Path::new(e.word(0, 4))),
            Cow::Borrowed(e.word(3, 5).as_bytes()),
        ),
    ]
}

fn check_keyed(every: &[Every], e: &Executable) {
    let (Every::Keyed(tree, hash), Every::Sets(tree_set, hash_set, heap)) = (&every[5], &every[6])
    else {
        panic!("the order of variants");
    };
    assert_eq!((&*tree["zero"], &*tree["two"]), ("one", "three"));
    assert_eq!((&*hash["four"], &*hash["six"]), ("five", "seven"));
    assert!(tree_set.contains("zero") && hash_set.contains("three"));
    assert_eq!(heap.peek().unwrap(), "six");
    let texts = tree.iter().chain(hash).flat_map(|(key, value)| [key, value]);
    assert!(texts.chain(tree_set).chain(hash_set).chain(heap).all(|text| e.holds(text)));
}

#[test]
fn borrowed_texts_are_shifted_wherever_they_are() {
    let (old, new) = executables();
    let mut root = one_of_each(&old);
    old.leave();
    let done = relink(&mut root, &old, &new).unwrap();
    assert_eq!(
        done,
        Relinked { refreshed: 0, shifted: 5 + 4 + 6 + 3 + 3 + 8 + 7 + 2 + 2, rebuilt: 5 }
    );
    check_keyed(&root, &new);
    let Every::Sequences(vec, deque, list, boxed) = &root[0] else { panic!() };
    let all: Vec<&str> =
        vec.iter().chain(deque).chain(list).chain(boxed.iter()).map(|text| &**text).collect();
    assert_eq!(all, ["zero", "one", "two", "three", "four"]);
    let Every::Other(path, bytes) = &root[8] else { panic!() };
    assert_eq!((&**path, &**bytes), (Path::new("zero"), &b"three"[..]));
    let Every::Locks(mutex, ..) = &root[4] else { panic!() };
    assert!(new.holds(&mutex.lock().unwrap()));
}

#[test]
fn another_build_is_refused_before_anything_changes() {
    let (old, new) = (Executable::new(7), Executable::new(8));
    let mut root = one_of_each(&old);
    let RelinkError::OtherBuild { pinned, owner, path, stored, current, .. } =
        relink(&mut root, &old, &new).unwrap_err()
    else {
        panic!("another error");
    };
    assert_eq!((pinned, stored, current), (40, 7, 8));
    assert_eq!((&*owner, &*path), ("Cow<str>", "Vec.element.0.element"));
    check_keyed(&root, &old);
}

#[test]
fn another_build_is_fine_without_pinned_pointers() {
    let (old, new) = (Executable::new(7), Executable::new(8));
    let leaked: &'static str = String::leak("in the heap".to_owned());
    let mut root: Vec<Text> =
        vec![Cow::Owned("a".into()), Cow::Borrowed(leaked), Cow::Borrowed("")];
    root.push(Cow::Borrowed(old.word(0, 0)));
    old.leave();
    relink(&mut root, &old, &new).unwrap();
    assert_eq!(root, ["a", "in the heap", "", ""]);
    assert_eq!(root[1].as_ptr(), leaked.as_ptr());
}

#[test]
fn memory_that_is_nobodys_is_refused() {
    let (old, library) = (Executable::new(7), Executable::new(9));
    let mut root = Some(library.text(3));
    let heap = (&raw const root) as u64;
    let mut relinker = Relinker::new(old.identity(), heap..heap + 1);
    // SAFETY: as in `relinked`.
    let error = unsafe { relinker.relink(&mut root, &old.identity()) }.unwrap_err();
    assert!(matches!(error, RelinkError::Stray { strays: 1, .. }), "{error}");
    assert!(error.to_string().contains("`Cow<str>` at `Option.value`"), "{error}");
}

#[derive(Durable)]
struct Shared {
    title: Text,
    tags: HashMap<u32, u32>,
    again: Option<Rc<Shared>>,
}

#[derive(Durable)]
struct Sharing {
    first: Rc<Shared>,
    second: Rc<Shared>,
    weak: rc::Weak<Shared>,
    dead: rc::Weak<Shared>,
    arcs: [Arc<[Text]>; 2],
    weak_arc: sync::Weak<(u8, Text)>,
}

#[test]
fn shared_values_are_shifted_once_also_where_the_ranges_overlap() {
    let whole = Executable::new(7);
    let from = ExecutableIdentity { len: 3 * PAGE as u64, ..whole.identity() };
    let to = ExecutableIdentity { start: from.start + PAGE as u64, ..from };
    let text = |index, len| Cow::Borrowed(whole.word_on_page(1, index, len));
    let inner = Rc::new(Shared { title: text(1, 3), tags: HashMap::new(), again: None });
    let first =
        Rc::new(Shared { title: text(2, 3), tags: HashMap::new(), again: Some(inner.clone()) });
    let arc: Arc<[Text]> = Arc::new([text(3, 5), text(4, 4)]);
    let escaped = Arc::new((1_u8, text(5, 4)));
    let weak_arc = Arc::downgrade(&escaped);
    let weak = Rc::downgrade(&inner);
    let arcs = [arc.clone(), arc];
    let mut root = Sharing {
        first: first.clone(),
        second: first,
        weak,
        dead: rc::Weak::new(),
        arcs,
        weak_arc,
    };
    let mut relinker = Relinker::new(to, EVERYWHERE);
    // SAFETY: as in `relinked`.
    let done = unsafe { relinker.relink(&mut root, &from) }.unwrap();
    assert_eq!((done.shifted, done.refreshed), (5, 2));
    // SAFETY: an address within the pages, which is compared and not followed.
    let expected = |index: usize| unsafe { whole.start.add(2 * PAGE + index * 6) }.cast_const();
    assert_eq!(root.second.title.as_ptr(), expected(2));
    assert_eq!(inner.title.as_ptr(), expected(1));
    assert_eq!(root.arcs[1][0].as_ptr(), expected(3));
    assert_eq!(escaped.1.as_ptr(), expected(5));
    assert_eq!((Rc::strong_count(&inner), Arc::strong_count(&escaped)), (2, 1));

    let mut other_root = vec![inner];
    // SAFETY: as in `relinked`.
    let done = unsafe { relinker.relink(&mut other_root, &from) }.unwrap();
    assert_eq!(done, Relinked::default(), "another root shares what has been relinked");
}

#[derive(Durable)]
struct Link {
    tags: HashMap<u32, u32>,
    next: Option<Box<Link>>,
}

#[derive(Durable)]
struct Tree {
    name: Text,
    children: Vec<Tree>,
}

#[test]
fn long_chains_do_not_overflow_the_stack() {
    const LENGTH: u64 = 200_000;
    let (old, new) = executables();
    let mut list = None;
    let mut tree = Tree { name: old.text(0), children: Vec::new() };
    let mut shared = Rc::new(Shared { title: old.text(1), tags: HashMap::new(), again: None });
    for _ in 1..LENGTH {
        list = Some(Box::new(Link { tags: make_stale(HashMap::new(), &old), next: list }));
        tree = Tree { name: old.text(0), children: vec![tree] };
        shared = Rc::new(Shared { title: old.text(1), tags: HashMap::new(), again: Some(shared) });
    }
    old.leave();
    let mut root = (list, tree, shared);
    let done = relink(&mut root, &old, &new).unwrap();
    assert_eq!((done.shifted, done.refreshed), (2 * LENGTH, 2 * LENGTH - 1));
    let mut deepest = &root.1;
    while let Some(child) = deepest.children.first() {
        deepest = child;
    }
    assert!(new.holds(&deepest.name));
    mem::forget(root); // std drops such a chain recursively
}

#[derive(Durable, PartialEq, Eq, PartialOrd, Ord)]
struct Node {
    words: BTreeMap<Text, u32>,
}

#[derive(Durable)]
struct Interned {
    all: Vec<Rc<Node>>,
    index: BTreeMap<Rc<Node>, u32>,
    sets: BTreeMap<BTreeSet<Text>, BTreeMap<Text, BTreeSet<Text>>>,
}

#[test]
fn maps_are_rebuilt_after_those_that_their_keys_hold() {
    let (old, new) = executables();
    let node = |index| Rc::new(Node { words: [(old.text(index), 1)].into() });
    let all: Vec<Rc<Node>> = (0..10).map(node).collect();
    let index = all.iter().cloned().zip(0..).collect();
    let sets = (0..9)
        .map(|i| {
            let set: BTreeSet<Text> = [old.text(i), old.text(i + 1)].into();
            (set.clone(), [(old.text(i), set)].into())
        })
        .collect();
    let mut root = Interned { all, index, sets };
    old.leave();
    relink(&mut root, &old, &new).unwrap();
    for (position, node) in (0..).zip(&root.all) {
        assert_eq!(root.index[node], position);
        assert_eq!(node.words.len(), 1);
    }
    assert_eq!(root.sets.len(), 9);
    let set: BTreeSet<Text> = [Cow::Borrowed("four"), Cow::Borrowed("five")].into();
    assert_eq!(root.sets[&set]["four"], set);
}

static ALL_EQUAL: AtomicBool = AtomicBool::new(false);

#[derive(Durable)]
struct Fickle(Text);

impl PartialEq for Fickle {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Fickle {}

impl PartialOrd for Fickle {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Fickle {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        match ALL_EQUAL.load(Ordering::Relaxed) {
            true => std::cmp::Ordering::Equal,
            false => self.0.cmp(&other.0),
        }
    }
}

#[test]
fn entries_lost_by_fickle_keys_are_an_error() {
    let (old, new) = executables();
    let mut root: BTreeMap<Fickle, u32> =
        [(Fickle(old.text(0)), 1), (Fickle(old.text(1)), 2)].into();
    ALL_EQUAL.store(true, Ordering::Relaxed);
    let error = relink(&mut root, &old, &new).unwrap_err();
    assert!(matches!(error, RelinkError::KeysMerged { lost: 1, .. }), "{error}");
}

#[test]
fn a_lock_left_locked_is_refused() {
    let (old, new) = executables();
    let mut root = vec![Mutex::new(old.text(0))];
    mem::forget(root[0].lock().unwrap());
    let error = relink(&mut root, &old, &new).unwrap_err();
    assert!(matches!(error, RelinkError::Locked { .. }), "{error}");
    assert!(error.to_string().contains("`Mutex<Cow<str>>` at `Vec.element`"), "{error}");
}

#[test]
fn relinking_twice_within_a_run_changes_nothing_more() {
    let (old, new) = executables();
    let mut root = one_of_each(&old);
    relink(&mut root, &old, &new).unwrap();
    let done = relink(&mut root, &new, &new).unwrap();
    assert_eq!(done.shifted, 40);
    check_keyed(&root, &new);
}
