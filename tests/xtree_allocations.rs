//! Searches of the X-tree allocate nothing.

#![allow(unsafe_code, reason = "counts allocations, as the global allocator")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, also in its helpers")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use stillheap::{EuclideanSquared, GreatCircle, Rect, XTree};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: all is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: passed on from the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: passed on from the caller.
        unsafe { System.dealloc(block, layout) }
    }
}

/// How often this thread allocates in `run`.
fn allocations(run: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.with(Cell::get);
    run();
    ALLOCATIONS.with(Cell::get) - before
}

#[test]
fn searches_allocate_nothing() {
    let at = |number: u32| [f64::from(number % 331), f64::from(number * 7919 % 89) / 2.0];
    let tree: XTree<2, u32> = (0..100_000).map(|number| (at(number), number)).collect();
    let other: XTree<2, u32> = (0..1000).map(|number| (at(number * 31), number)).collect();
    assert!(tree.stats().height() >= 3);
    let window = Rect::new([20.0, 10.0], [60.0, 30.0]).unwrap();
    let mut found = 0;
    let allocated = allocations(|| {
        found += tree.window(&window).count() + tree.window(&window).map(|_| ()).count();
        found += tree.inside(&window).filter(|(_, value)| **value > 7).count();
        found += tree.around(&window).count() + tree.at([20.0, 10.0]).count();
        found += usize::from(tree.get(&at(5).into()).is_some());
        found += usize::from(tree.contains(&at(5).into(), &5));
        found += tree.within_distance([50.0, 20.0], 10.0).map(|_| ()).count();
        found += tree.within_distance_by(GreatCircle::EARTH, [50.0, 20.0], 2e5).count();
        found += tree.join(&other).count() + tree.join_within(&other, 0.25).count();
        found += tree.iter().fold(0, |sum, _| sum + 1);
        for count in [1, 10, 50] {
            tree.nearest_each(EuclideanSquared, [33.3, 22.2], count, |_| found += 1);
            tree.nearest_each(GreatCircle::EARTH, [33.3, 22.2], count, |_| found += 1);
        }
    });
    assert!(found > 100_000);
    assert_eq!(allocated, 0);
    assert!(allocations(|| drop(tree.nearest([1.0, 2.0], 10))) > 0, "it is counted");
}
