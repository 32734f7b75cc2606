//! Operations on the allocator against a model.
#![no_main]

#[path = "../bodies/heap_ops.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
