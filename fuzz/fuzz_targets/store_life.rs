//! See `bodies/store_life.rs`.
#![no_main]

#[path = "../bodies/store_life.rs"]
mod store_life;

libfuzzer_sys::fuzz_target!(|data: &[u8]| store_life::run(data));
