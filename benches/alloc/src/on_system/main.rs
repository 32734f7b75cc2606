//! The shapes on the system's allocator.

use std::alloc::System;

#[global_allocator]
static ALLOCATOR: System = System;

fn main() -> Result<(), stillheap_alloc::Error> {
    stillheap_alloc::run()
}
