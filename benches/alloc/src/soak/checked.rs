//! Blocks that notice when somebody else writes into them.

use std::process;

/// Every word holds the same mark, which no other block has.
pub(crate) struct Checked {
    mark: u64,
    words: Vec<u64>,
}

impl Checked {
    /// A block of that many words; `way` picks one of the ways to get it.
    pub(crate) fn new(words: usize, mark: u64, way: usize) -> Self {
        let mut block = Self { mark, words: Vec::new() };
        match way % 4 {
            0 => {
                block.words = vec![0; words];
                block.check(0);
                block.words.fill(mark);
            }
            1 => {
                block.words = vec![mark; words.div_ceil(2)];
                block.words.reserve_exact(words - block.words.len());
                block.words.resize(words, mark);
            }
            _ => block.words = vec![mark; words],
        }
        block
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.words.len() as u64 * 8
    }

    /// Ends the process if a word is not what it should be.
    fn check(&self, expected: u64) {
        if let Some(place) = self.words.iter().position(|&word| word != expected) {
            let (at, found) = (self.words[place..].as_ptr(), self.words[place]);
            eprintln!("error: word {place} at {at:p} is {found:#x}, {expected:#x} was expected");
            process::exit(1);
        }
    }
}

impl Drop for Checked {
    fn drop(&mut self) {
        self.check(self.mark);
    }
}
