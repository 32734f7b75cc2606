//! The shapes on mimalloc.

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> Result<(), stillheap_alloc::Error> {
    stillheap_alloc::run()
}
