//! The fuzzers' corpora, replayed on stable Rust: what a fuzzer once found stays found.

#![allow(unreachable_pub, reason = "the targets' bodies are public for the fuzzers")]
#![allow(clippy::cast_possible_truncation, reason = "small numbers")]
#![allow(unsafe_code, reason = "the heap target allocates by hand")]

#[path = "../fuzz/bodies/export_file.rs"]
mod export_file;
#[path = "../fuzz/bodies/frames.rs"]
mod frames;
#[path = "../fuzz/bodies/heap_ops.rs"]
mod heap_ops;
#[path = "../fuzz/bodies/image_reader.rs"]
mod image_reader;
mod image_support;
#[path = "../fuzz/bodies/manifest.rs"]
mod manifest;
#[path = "../fuzz/bodies/seal.rs"]
mod seal;
#[path = "../fuzz/bodies/store_life.rs"]
mod store_life;
#[path = "../fuzz/bodies/xtree_ops.rs"]
mod xtree_ops;
mod xtree_support;

use std::{fs, path::Path};

fn replay(target: &str, run: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut count = 0;
    for entry in fs::read_dir(&corpus).expect("the corpus is part of the source") {
        let path = entry.expect("a readable directory").path();
        run(&fs::read(&path).expect("a readable file"));
        count += 1;
    }
    assert!(count > 0, "{} is empty", corpus.display());
}

#[test]
fn image_reader_corpus() {
    replay("image_reader", image_reader::run);
}

#[test]
fn heap_ops_corpus() {
    replay("heap_ops", heap_ops::run);
}

#[test]
fn manifest_corpus() {
    replay("manifest", manifest::run);
}

#[test]
fn frames_corpus() {
    replay("frames", frames::run);
}

#[test]
fn export_file_corpus() {
    replay("export_file", export_file::run);
}

#[test]
fn store_life_corpus() {
    replay("store_life", store_life::run);
}

#[test]
fn xtree_ops_corpus() {
    replay("xtree_ops", xtree_ops::run);
}

/// Inputs made up on the spot, for those without a fuzzer at hand.
#[test]
fn random_inputs() {
    let mut state = 1_u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888);
        state.to_le_bytes()[7]
    };
    for len in (0..600).step_by(20).chain([2000; 2]) {
        let data: Vec<u8> = (0..len).map(|_| random()).collect();
        export_file::run(&data);
        frames::run(&data);
        store_life::run(&data);
        manifest::run(&data);
        xtree_ops::run(&data);
    }
}
