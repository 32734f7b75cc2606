//! The shapes on jemalloc.

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> Result<(), stillheap_alloc::Error> {
    stillheap_alloc::run()
}
