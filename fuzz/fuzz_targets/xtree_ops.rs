//! See `bodies/xtree_ops.rs`.
#![no_main]

#[path = "../bodies/xtree_ops.rs"]
mod xtree_ops;
#[path = "../../tests/xtree_support/mod.rs"]
mod xtree_support;

libfuzzer_sys::fuzz_target!(|data: &[u8]| xtree_ops::run(data));
