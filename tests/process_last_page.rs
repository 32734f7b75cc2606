//! Tracked memory in the very last cell of the arena: its last page has the last number that there
//! is, and its end none.

mod support;

use std::path::Path;
use std::thread;
use stillheap::base::PageIndex;
use stillheap::image::{Chain, Manifest};
use stillheap::os::DiskDir;
use stillheap::{Durable, Options, ProcessHeap, Root, Rows, Tracked};

/// With this seed the first cell for tracked memory is the arena's last one.
#[global_allocator]
static HEAP: ProcessHeap = ProcessHeap::new().with_boot_seed(10_235);

const ARENA: usize = 16 << 40;
const CELL: usize = 64 << 20;
/// All chunks of a cell but its first, which holds tables.
const PAGES: u32 = 31 * 512;

type Blocks = Vec<Rows<f64, u64>>;

fn small(number: u64) -> Rows<f64, u64> {
    let mut rows = Rows::new(1, 1);
    rows.write().push(&[1.0], number);
    rows
}

fn fill(dir: &Path) {
    let mut rows: Rows<f64, u64> = Rows::new(1, PAGES as usize);
    let start = (&raw const *rows.column(0)).addr() - ProcessHeap::DEFAULT_BASE;
    assert_eq!(start.next_multiple_of(CELL), ARENA, "the test needs another seed");
    let heap = HEAP.open(dir, Options::new()).expect("a heap");
    rows.write().push(&[1.0], 1);
    let root: Root<Blocks> = heap.root("blocks").expect("a root");
    root.write(|blocks| blocks.push(rows));
    // So many that what follows is a delta.
    root.write(|blocks| blocks.extend((0..2000).map(small)));
    for _ in 0..2 {
        heap.snapshot().expect("a freeze").wait_durable().expect("durable");
    }
    root.write(|blocks| blocks[0].write().push(&[2.0], 2));
    let info = heap.snapshot().expect("a freeze").wait_durable().expect("durable");
    assert!(info.is_delta);
    support::die();
}

fn writes_to_the_last_page_are_saved() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("heap");
    support::run_until_killed("fill", &dir);
    // Not by opening it: a run with this seed begins where the image is to be.
    let disk = DiskDir::open(&dir).expect("a directory");
    let manifest = Manifest::load(&disk).expect("a manifest");
    let newest = manifest.newest().expect("a snapshot");
    let chain = Chain::open(&disk, &manifest, newest).expect("its files");
    let first = PageIndex(u32::MAX - (PAGES - 1));
    let page = chain.page(first).expect("a saved page");
    // A block begins with its length.
    assert_eq!(page[..4], 2_u32.to_le_bytes());
}

/// So many that they fill a chunk.
const POINTERS: usize = (2 << 20) / 8;

#[derive(Default, Durable)]
struct Large(Vec<Tracked<[Option<Box<u64>>; POINTERS]>>);

fn trace(dir: &Path) {
    let dir = dir.to_owned();
    // The value is made on the stack.
    let thread = thread::Builder::new().stack_size(64 << 20).spawn(move || {
        let large = Tracked::new([const { None }; POINTERS]);
        let start = (&raw const *large).addr() - ProcessHeap::DEFAULT_BASE;
        assert_eq!(start.next_multiple_of(CELL), ARENA, "the test needs another seed");
        let heap = HEAP.open(&dir, Options::new()).expect("a heap");
        let root: Root<Large> = heap.root("large").expect("a root");
        root.write(|Large(large_values)| {
            large_values.push(large);
            let mut boxes = large_values[0].write();
            (0..10_000).for_each(|n| boxes[n] = Some(Box::new(n as u64)));
        });
        let leaks = heap.leaks().expect("a look");
        assert!(leaks.lost.scoped.blocks < 5, "{leaks}");
    });
    thread.expect("a thread").join().expect("no panic");
    support::die();
}

fn what_the_last_cell_leads_to_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    support::run_until_killed("trace", &folder.path().join("heap"));
}

fn main() {
    if support::plays(&[("fill", fill), ("trace", trace)]) {
        return;
    }
    support::run_all(&[
        ("writes_to_the_last_page_are_saved", writes_to_the_last_page_are_saved),
        ("what_the_last_cell_leads_to_is_found", what_the_last_cell_leads_to_is_found),
    ]);
}
