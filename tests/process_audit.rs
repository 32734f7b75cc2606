//! Mistakes that a program makes on purpose, with unsafe code and without: the audit finds each
//! pointer that leaves the heap, the search for leaks each block that is lost, and neither finds
//! anything else. A program without mistakes has none.
#![allow(unsafe_code, reason = "makes mistakes that safe code cannot make")]

mod support;
mod wide_support;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::mem::{forget, size_of};
use std::path::Path;
use std::rc::Rc;
use stillheap::typed::{Describe, Inspect, Relink, Shape};
use stillheap::{
    Amount, Audit, Durable, Finding, Heap, Leaks, LookError, Options, ProcessHeap, Purpose, Root,
    Target, Tracked, transient,
};
use wide_support::Wide;

#[global_allocator]
static HEAP: ProcessHeap = ProcessHeap::new();

fn open(dir: &Path) -> Heap {
    HEAP.open(dir, Options::new()).expect("a heap")
}

#[derive(Durable, Default)]
#[durable(name = "Cache")]
struct Cache {
    hits: u64,
    entries: [Entry; 3],
}

#[derive(Durable, Default)]
#[durable(name = "Entry")]
struct Entry {
    key: u64,
    value: Option<Box<[u64; 100]>>,
}

/// A pointer that its type says nothing of.
#[repr(transparent)]
struct Raw<T>(T);

// SAFETY: none: this is a lie.
unsafe impl<T: 'static> Durable for Raw<T> {
    fn describe(_: &mut Describe) -> Shape {
        Shape::std::<Self>("Raw")
    }

    fn inspect(&self, _: &mut Inspect<'_>) {}

    fn relink(&mut self, _: &mut Relink<'_>) {}
}

type Addresses = Vec<Raw<*const u64>>;
type Code = Option<Raw<fn()>>;

fn a_function() {}

/// How many words there are of each root and kind.
fn counts(audit: &Audit) -> Vec<(&str, Target, u64)> {
    audit.counts.iter().map(|count| (&*count.root, count.target, count.words)).collect()
}

fn only_example<'a>(audit: &'a Audit, root: &str) -> &'a Finding {
    let mut found = audit.examples.iter().filter(|finding| finding.root == root);
    let first = found.next().expect("an example");
    assert_eq!(found.next(), None);
    first
}

/// Each kind of pointer that leaves the heap, once.
fn pointers(dir: &Path) {
    let heap = open(dir);
    let before = heap.audit().expect("an audit");
    assert_eq!((before.findings(), &*before.counts, before.roots), (0, &[][..], 0));

    let cache: Root<Cache> = heap.root("cache").expect("a root");
    // SAFETY: none: the box is moved into a root.
    let hidden = unsafe { transient(|| Box::new([7; 100])) };
    let transient_address = (&raw const *hidden) as u64;
    cache.write(|cache| cache.entries[1].value = Some(hidden));
    let local = std::hint::black_box(7_u64);
    let stack: Root<Addresses> = heap.local_root("stack", Vec::new).expect("a root");
    stack.write(|stack| stack.push(Raw(&raw const local)));
    let code: Root<Code> = heap.root("code").expect("a root");
    code.write(|code| *code = Some(Raw(a_function)));
    let library: Root<Vec<Raw<usize>>> = heap.root("library").expect("a root");
    library.write(|library| library.extend([Raw(libc::abort as *const () as usize), Raw(5)]));

    let audit = heap.audit().expect("an audit");
    println!("{audit}");
    let expected = [
        ("cache", Target::System, 1),
        ("stack", Target::Stack, 1),
        ("code", Target::Executable, 1),
        ("library", Target::Library, 1),
    ];
    assert_eq!(counts(&audit), expected);
    assert_eq!((audit.findings(), audit.roots), (4, 4));
    let found = only_example(&audit, "cache");
    assert_eq!((found.word, found.target), (transient_address, Target::System));
    let offset = std::mem::offset_of!(Cache, entries) + size_of::<Entry>();
    assert_eq!(found.offset, (offset + std::mem::offset_of!(Entry, value)) as u64);
    let field = "`Cache.entries[1].value`: Option<Box<[u64; 100]>>, byte 0";
    assert_eq!(found.field.as_deref(), Some(field));
    assert_eq!(found.purpose, Purpose::Scoped);
    let found = only_example(&audit, "stack");
    let held = stack.read(|stack| stack.as_ptr() as u64);
    let expected = ((&raw const local) as u64, held, 0, None, "[stack]");
    let Finding { word, address, offset, field, mapping, .. } = found;
    assert_eq!((*word, *address, *offset, field.clone(), &**mapping), expected);
    let found = only_example(&audit, "code");
    assert_eq!(found.word, a_function as *const () as u64);
    assert!(found.mapping.contains("process_audit"), "{}", found.mapping);
    let found = only_example(&audit, "library");
    assert!(found.mapping.contains("libc"), "{}", found.mapping);
    for part in ["`transient`", "[stack]", "`Cache.entries[1].value`", "may look like"] {
        assert!(audit.to_string().contains(part), "{part}: {audit}");
    }

    heap.close().expect("an end");
}

/// The run after, in which nobody has opened the roots: what led into the executable leads to
/// where it was. Then the mistakes are put right.
fn after(dir: &Path) {
    let heap = open(dir);
    let audit = heap.audit().expect("an audit");
    println!("{audit}");
    assert!(counts(&audit).contains(&("code", Target::Executable, 1)), "{audit}");
    assert_ne!(only_example(&audit, "code").word, a_function as *const () as u64);
    let cache: Root<Cache> = heap.root("cache").expect("a root");
    cache.write(|cache| {
        forget(cache.entries[1].value.take());
        // An enum that holds nothing may keep what it had.
        cache.entries = Default::default();
    });
    let stack: Root<Addresses> = heap.local_root("stack", Vec::new).expect("a root");
    stack.write(|stack| stack[0].0 = std::ptr::null());
    let code: Root<Code> = heap.root("code").expect("a root");
    code.write(|code| *code = Some(Raw(a_function)));
    let library: Root<Vec<Raw<usize>>> = heap.root("library").expect("a root");
    library.write(|library| library[0].0 = 0);
    let audit = heap.audit().expect("an audit");
    assert_eq!(counts(&audit), [("code", Target::Executable, 1)], "{audit}");
    assert_eq!(only_example(&audit, "code").word, a_function as *const () as u64);
    heap.close().expect("an end");
}

struct Node {
    next: RefCell<Option<Rc<Node>>>,
    name: String,
}

/// Loses a vector with strings, a cycle, and a tracked value, all made inside a scope.
fn lose(root: &Root<Vec<String>>) {
    root.write(|names| {
        names.push("kept".repeat(10));
        forget((0..20).map(|number| format!("lost number {number}")).collect::<Vec<_>>());
        let node = |name: &str| Rc::new(Node { next: RefCell::default(), name: name.repeat(40) });
        let (first, second) = (node("first"), node("second"));
        *first.next.borrow_mut() = Some(Rc::clone(&second));
        *second.next.borrow_mut() = Some(first);
        assert_eq!(second.name.len(), 240);
        forget(Tracked::new([1_u64; 1000]));
        // It leads to what is kept.
        forget(Box::new((names.as_ptr() as usize, [9_u8; 900])));
    });
}

fn lost_blocks(leaks: &Leaks, purpose: Purpose) -> Amount {
    match purpose {
        Purpose::Ambient => leaks.lost.ambient,
        Purpose::Scoped => leaks.lost.scoped,
        Purpose::Tracked => leaks.lost.tracked,
    }
}

fn leaks(dir: &Path) {
    let heap = open(dir);
    let others: Root<Vec<String>> = heap.root("others").expect("a root");
    others.write(|others| others.extend((0..100).map(|number| number.to_string())));
    let names: Root<Vec<String>> = heap.root("names").expect("a root");
    let before = heap.leaks().expect("a search");
    assert!(!before.is_suspicious(), "{before}");
    lose(&names);
    let leaks = heap.leaks().expect("a search");
    println!("{leaks}");
    assert!(leaks.is_suspicious());
    // A vector and 20 strings, two nodes with a name each, and the last.
    assert_eq!(lost_blocks(&leaks, Purpose::Scoped).blocks, 21 + 4 + 1);
    assert_eq!(lost_blocks(&leaks, Purpose::Tracked), Amount { blocks: 1, bytes: 8192 });
    let heads: Vec<_> =
        leaks.largest.iter().filter(|head| head.purpose != Purpose::Ambient).collect();
    let blocks: Vec<_> = heads.iter().map(|head| (head.retained.blocks, head.is_cycle)).collect();
    assert_eq!(blocks, [(1, false), (21, false), (1, false), (4, true)]);
    assert_eq!((heads[0].purpose, heads[0].len), (Purpose::Tracked, 8192));
    assert_eq!(heads[0].bytes[..9], [1, 0, 0, 0, 0, 0, 0, 0, 1]);
    let leads_to: Vec<_> = heads.iter().map(|head| &*head.leads_to).collect();
    assert_eq!(leads_to, [&[][..], &[], &["names".to_owned()], &[]]);
    let text = leaks.to_string();
    for part in ["a cycle\nof `Rc`", "leads back to it", "memory of root \"names\"", "`Tracked`"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let total: u64 = leaks.by_size.iter().map(|size| size.lost.all().blocks).sum();
    assert_eq!(total, leaks.lost.all().blocks);
    heap.close().expect("an end");
}

/// No mistakes; the values are changed for a while, so that their memory has been used before. (All
/// are made inside scopes: other memory has words left from whatever the process did at its start,
/// now and then one that looks like a mistake. For the same reason the root that has no pointers
/// into the executable is filled first.)
fn clean(dir: &Path) {
    let heap = open(dir);
    let plain: Root<BTreeMap<u64, Vec<f64>>> = heap.root("plain").expect("a root");
    let wide: Root<Vec<Wide>> = heap.root("wide").expect("a root");
    plain.write(|plain| {
        let numbers = || (0..100).map(|number| f64::from(number) * 1.1).collect();
        plain.extend((0..50).map(|key| (key, numbers())));
    });
    for _ in 0..20 {
        wide.write(|wide| {
            wide.extend([Wide::of(7, 0), Wide::of(7, 1)]);
            wide.truncate(3);
            wide.rotate_left(1);
        });
    }
    let audit = heap.audit().expect("an audit");
    println!("{audit}");
    assert_eq!(audit.findings(), 0, "{audit}");
    let links: Vec<_> = counts(&audit).into_iter().filter(|of| of.1 == Target::Link).collect();
    // Empty maps and borrowed texts.
    assert!(matches!(links[..], [("wide", Target::Link, 6..)]), "{audit}");
    let leaks = heap.leaks().expect("a search");
    assert!(!leaks.is_suspicious(), "{leaks}");
    let inside = wide.read(|_| heap.audit().map(|_| ()));
    assert!(matches!(inside, Err(LookError::Snapshot(_))));
    heap.close().expect("an end");
}

fn each_pointer_that_leaves_the_heap_is_found() {
    support::run_in_turn(&["pointers", "after"]);
}

fn each_lost_block_is_found() {
    support::run_in_turn(&["leaks"]);
}

fn a_program_without_mistakes_has_none() {
    support::run_in_turn(&["clean"]);
}

fn main() {
    if support::plays(&[
        ("pointers", pointers),
        ("leaks", leaks),
        ("clean", clean),
        ("after", after),
    ]) {
        return;
    }
    support::run_all(&[
        ("each_pointer_that_leaves_the_heap_is_found", each_pointer_that_leaves_the_heap_is_found),
        ("each_lost_block_is_found", each_lost_block_is_found),
        ("a_program_without_mistakes_has_none", a_program_without_mistakes_has_none),
    ]);
}
