//! Blocks of memory of all sizes, which know what is in them.
#![allow(clippy::cast_possible_truncation, reason = "small numbers, and 64-bit machines")]

/// Memory that holds what its seed says.
pub(crate) struct Block {
    bytes: Vec<u8>,
    seed: u64,
}

/// A number that looks like chance, and is the same each time.
pub(crate) fn mix(number: u64) -> u64 {
    let mut word = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

impl Block {
    /// Mostly a small one, now and then one of some megabytes.
    pub(crate) fn new(seed: u64) -> Self {
        let random = mix(seed);
        let most = match random % 100 {
            0..60 => 500,
            60..85 => 8 << 10,
            85..95 => 64 << 10,
            95..99 => 1 << 20,
            _ => 5 << 20,
        };
        let mut block = Self { bytes: vec![0; 1 + mix(random) as usize % most], seed };
        block.fill();
        block
    }

    /// Fails if the memory is not what it was.
    pub(crate) fn check(&self) {
        let places = self.places();
        let changed = places.into_iter().find(|place| self.bytes[*place] != self.byte(*place));
        assert_eq!(changed, None, "in a block of {} bytes, {}", self.bytes.len(), self.seed);
    }

    /// Becomes up to twice as large, or half as large.
    pub(crate) fn resize(&mut self) {
        self.check();
        let len = self.bytes.len();
        match mix(self.seed ^ len as u64) % 4 {
            0 => self.bytes.truncate(len.div_ceil(2)),
            quarters => self.bytes.resize(len + len * quarters as usize / 3, 0),
        }
        self.bytes.shrink_to_fit();
        self.fill();
    }

    /// Where something is written: both ends, and each page.
    fn places(&self) -> Vec<usize> {
        let len = self.bytes.len();
        let ends = (0..len.min(16)).chain(len.saturating_sub(16)..len);
        ends.chain((0..len).step_by(1000)).collect()
    }

    fn fill(&mut self) {
        for place in self.places() {
            self.bytes[place] = self.byte(place);
        }
    }

    fn byte(&self, place: usize) -> u8 {
        mix(self.seed ^ (place as u64) << 20).to_le_bytes()[0]
    }
}

impl Drop for Block {
    /// Nobody else has written to it, up to its end.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.check();
        }
    }
}
