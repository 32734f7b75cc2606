//! Whether two outputs are the same, without having either in memory.

use crate::shared::Error;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader};
use std::path::Path;

/// Of an output's lines.
#[derive(Clone, Copy)]
pub(crate) enum Order {
    /// Always the same.
    One,
    /// Threads race for it.
    Any,
}

/// What two outputs have in common if they are the same, and only then, as far as 64 bits go.
#[derive(Debug, PartialEq)]
pub(crate) struct Digest {
    pub(crate) lines: u64,
    hash: u64,
}

/// Of a file, but for the lines that have `without` in them.
pub(crate) fn digest(file: &Path, order: Order, without: Option<&str>) -> Result<Digest, Error> {
    let mut reader = BufReader::new(File::open(file)?);
    let mut digest = Digest { lines: 0, hash: 0 };
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        if !without.is_some_and(|text| has(&line, text.as_bytes())) {
            let mut hasher = DefaultHasher::new();
            line.hash(&mut hasher);
            if matches!(order, Order::One) {
                digest.lines.hash(&mut hasher);
            }
            digest.hash = digest.hash.wrapping_add(hasher.finish());
            digest.lines += 1;
        }
        line.clear();
    }
    Ok(digest)
}

fn has(line: &[u8], text: &[u8]) -> bool {
    line.windows(text.len()).any(|part| part == text)
}
