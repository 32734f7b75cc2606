//! See `bodies/export_file.rs`.
#![no_main]

#[path = "../bodies/export_file.rs"]
mod export_file;
#[path = "../../tests/image_support/mod.rs"]
mod image_support;
#[path = "../bodies/seal.rs"]
mod seal;

libfuzzer_sys::fuzz_target!(|data: &[u8]| export_file::run(data));
