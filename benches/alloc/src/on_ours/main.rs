//! The shapes on stillheap, with no heap opened.

use stillheap::ProcessHeap;

#[global_allocator]
static ALLOCATOR: ProcessHeap = ProcessHeap::new();

fn main() -> Result<(), stillheap_alloc::Error> {
    stillheap_alloc::run()
}
