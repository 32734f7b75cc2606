//! Any bytes in any file of a heap's directory: an error or a sound image.
#![no_main]

#[path = "../bodies/image_reader.rs"]
mod image_reader;
#[path = "../../tests/image_support/mod.rs"]
mod image_support;
#[path = "../bodies/seal.rs"]
mod seal;

libfuzzer_sys::fuzz_target!(|data: &[u8]| image_reader::run(data));
