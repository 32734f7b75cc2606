//! The shapes on the system's allocator.

use std::alloc::System;

#[global_allocator]
static ALLOCATOR: System = System;

fn main() -> Result<(), stillheap_alloc::Error> {
    // A snapshot would need all of it: nobody can tell what of it could be derived again.
    stillheap_alloc::run(|_, _| stillheap_alloc::Part::Saved, |change| change())
}
