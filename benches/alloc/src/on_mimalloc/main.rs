//! The shapes on mimalloc.

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> Result<(), stillheap_alloc::Error> {
    // A snapshot would need all of it: nobody can tell what of it could be derived again.
    stillheap_alloc::run(|_, _| stillheap_alloc::Part::Saved, |change| change())
}
