//! The fuzzers' corpora, replayed on stable Rust: what a fuzzer once found stays found.

#![allow(unreachable_pub, reason = "the targets' bodies are public for the fuzzers")]
#![allow(unsafe_code, reason = "the heap target allocates by hand")]

#[path = "../fuzz/bodies/heap_ops.rs"]
mod heap_ops;
#[path = "../fuzz/bodies/image_reader.rs"]
mod image_reader;

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
