//! Bitmaps over words that lie elsewhere: a layered one to find the lowest set bit among
//! millions, and a search for clear runs in a chunk's page map.
//!
//! Invariant of the layers: a bit of layer `n + 1` is set exactly if its word of layer `n`
//! is not zero. One thread writes at a time (the heap's lock); readers may see it half done.

use crate::base::sync::{AtomicU64, Ordering};

const LAYERS: usize = 3;
const BITS: u32 = 64;

/// A bitmap whose lowest set bit from a place on is found in a few steps, at any size.
#[derive(Clone, Copy)]
pub struct LayeredBitmap<'a> {
    layers: [&'a [AtomicU64]; LAYERS],
}

impl<'a> LayeredBitmap<'a> {
    /// How many words `new` wants for `bits` bits.
    #[must_use]
    pub const fn words_needed(bits: u32) -> usize {
        let mut total = 0;
        let mut words = bits;
        let mut layer = 0;
        while layer < LAYERS {
            words = words.div_ceil(BITS);
            total += words as usize;
            layer += 1;
        }
        total
    }

    /// A view of `storage`, which holds `words_needed(bits)` words, at first all zero.
    ///
    /// # Panics
    /// If `storage` is shorter.
    #[must_use]
    pub fn new(storage: &'a [AtomicU64], bits: u32) -> Self {
        let mut rest = storage;
        let mut words = bits;
        let layers = std::array::from_fn(|_| {
            words = words.div_ceil(BITS);
            let (layer, after) = rest.split_at(words as usize);
            rest = after;
            layer
        });
        Self { layers }
    }

    /// Sets bit `index`.
    pub fn set(&self, index: u32) {
        let mut index = index;
        for layer in self.layers {
            let (word, mask) = place(index);
            let before = layer[word].load(Ordering::Relaxed);
            layer[word].store(before | mask, Ordering::Relaxed);
            if before != 0 {
                return;
            }
            index /= BITS;
        }
    }

    /// Clears bit `index`.
    pub fn clear(&self, index: u32) {
        let mut index = index;
        for layer in self.layers {
            let (word, mask) = place(index);
            let after = layer[word].load(Ordering::Relaxed) & !mask;
            layer[word].store(after, Ordering::Relaxed);
            if after != 0 {
                return;
            }
            index /= BITS;
        }
    }

    /// Whether bit `index` is set.
    #[must_use]
    pub fn get(&self, index: u32) -> bool {
        let (word, mask) = place(index);
        self.layers[0][word].load(Ordering::Relaxed) & mask != 0
    }

    /// The lowest set bit at or after `from`.
    #[must_use]
    pub fn next_set(&self, from: u32) -> Option<u32> {
        let mut index = from;
        for layer in 0..LAYERS {
            if let Some(found) = self.next_in_word(layer, index) {
                return Some(self.descend(layer, found));
            }
            index = index / BITS + 1;
        }
        let top = self.layers[LAYERS - 1];
        let first = index as usize;
        let (offset, word) = top
            .iter()
            .skip(first)
            .enumerate()
            .find(|(_, word)| word.load(Ordering::Relaxed) != 0)?;
        let bit = word.load(Ordering::Relaxed).trailing_zeros();
        let word_index = u32::try_from(first + offset).ok()?;
        Some(self.descend(LAYERS - 1, word_index * BITS + bit))
    }

    /// The lowest set bit of `layer` at or after `index`, within `index`'s word alone.
    fn next_in_word(&self, layer: usize, index: u32) -> Option<u32> {
        let word = self.layers[layer].get((index / BITS) as usize)?.load(Ordering::Relaxed);
        let rest = word & (u64::MAX << (index % BITS));
        (rest != 0).then(|| index / BITS * BITS + rest.trailing_zeros())
    }

    /// From a set bit of `layer` down to the lowest bit of layer 0 below it.
    fn descend(&self, layer: usize, index: u32) -> u32 {
        let mut index = index;
        for below in (0..layer).rev() {
            let word = self.layers[below][index as usize].load(Ordering::Relaxed);
            index = index * BITS + word.trailing_zeros();
        }
        index
    }
}

fn place(index: u32) -> (usize, u64) {
    ((index / BITS) as usize, 1 << (index % BITS))
}

/// The first of `count` consecutive clear bits of `map` whose place is a multiple of `align`.
#[must_use]
pub fn find_clear_run(map: &[u64; 8], count: u32, align: u32) -> Option<u32> {
    let total = 512;
    let mut start = next_clear(map, 0).next_multiple_of(align);
    while start + count <= total {
        match next_used(map, start, start + count) {
            None => return Some(start),
            Some(used) => start = next_clear(map, used + 1).next_multiple_of(align),
        }
    }
    None
}

/// The first clear bit of `map` from `from` on; 512 if there is none.
fn next_clear(map: &[u64; 8], from: u32) -> u32 {
    let mut at = from;
    while at < 512 {
        // What lies above the word's end is filled with zeros, and ends a run of ones as well.
        let ones = (map[(at / BITS) as usize] >> (at % BITS)).trailing_ones();
        if ones < BITS - at % BITS {
            return at + ones;
        }
        at += ones;
    }
    512
}

/// The last set bit of `map` in `from..to`: a run may not begin at or before it.
fn next_used(map: &[u64; 8], from: u32, to: u32) -> Option<u32> {
    let mut end = to;
    while end > from {
        let word = (end - 1) / BITS;
        let low = from.max(word * BITS);
        let keep_below = u64::MAX >> (BITS * (word + 1) - end);
        let keep_above = u64::MAX << (low % BITS);
        let hits = map[word as usize] & keep_below & keep_above;
        if hits != 0 {
            return Some(word * BITS + 63 - hits.leading_zeros());
        }
        end = low;
    }
    None
}

/// Sets (or clears) `count` bits of a page map from `first` on.
pub fn fill(map: &[AtomicU64; 8], first: u32, count: u32, used: bool) {
    for (word, mask) in masks(first, count) {
        let before = map[word].load(Ordering::Relaxed);
        let after = if used { before | mask } else { before & !mask };
        map[word].store(after, Ordering::Relaxed);
    }
}

/// Whether `count` bits of a page map from `first` on are all set (or all clear).
#[must_use]
pub fn all(map: &[AtomicU64; 8], first: u32, count: u32, used: bool) -> bool {
    masks(first, count).all(|(word, mask)| {
        let bits = map[word].load(Ordering::Relaxed);
        bits & mask == if used { mask } else { 0 }
    })
}

fn masks(first: u32, count: u32) -> impl Iterator<Item = (usize, u64)> {
    let end = first + count;
    let words = if count == 0 { 0..0 } else { first / BITS..end.div_ceil(BITS) };
    words.map(move |word| {
        let low = first.max(word * BITS) - word * BITS;
        let high = end.min((word + 1) * BITS) - word * BITS;
        let mask = (u64::MAX >> (BITS - (high - low))) << low;
        (word as usize, mask)
    })
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn layers_find_far_bits() {
        let bits = 3_000_000;
        let storage: Vec<AtomicU64> =
            (0..LayeredBitmap::words_needed(bits)).map(|_| AtomicU64::new(0)).collect();
        let map = LayeredBitmap::new(&storage, bits);
        assert_eq!(map.next_set(0), None);
        map.set(2_999_999);
        map.set(70);
        assert_eq!(map.next_set(0), Some(70));
        assert_eq!(map.next_set(71), Some(2_999_999));
        map.clear(2_999_999);
        assert_eq!(map.next_set(71), None);
    }

    proptest! {
        #[test]
        fn layers_agree_with_a_set(
            ops in prop::collection::vec((any::<bool>(), 0u32..20_000), 1..200),
            from in 0u32..20_000,
        ) {
            let bits = 20_000;
            let words = LayeredBitmap::words_needed(bits);
            let storage: Vec<AtomicU64> = (0..words).map(|_| AtomicU64::new(0)).collect();
            let map = LayeredBitmap::new(&storage, bits);
            let mut model = BTreeSet::new();
            for (on, index) in ops {
                if on {
                    map.set(index);
                    model.insert(index);
                } else {
                    map.clear(index);
                    model.remove(&index);
                }
                prop_assert_eq!(map.get(index), on);
            }
            prop_assert_eq!(map.next_set(from), model.range(from..).next().copied());
        }

        #[test]
        fn clear_runs_agree_with_a_scan(
            map in prop::array::uniform8(any::<u64>()),
            sparse in any::<bool>(),
            count in 1u32..40,
            shift in 0u32..4,
        ) {
            let map = if sparse { map.map(|w| w & (w << 7) & (w >> 3)) } else { map };
            let align = 1 << shift;
            let used = |bit: u32| map[(bit / 64) as usize] >> (bit % 64) & 1 == 1;
            let fits = |start: u32| {
                start + count <= 512 && (start..start + count).all(|bit| !used(bit))
            };
            let naive = (0..512u32).step_by(align as usize).find(|&start| fits(start));
            prop_assert_eq!(find_clear_run(&map, count, align), naive);
        }

        #[test]
        fn fill_and_all_agree(first in 0u32..512, len in 0u32..512) {
            let count = len.min(512 - first);
            let map: [AtomicU64; 8] = std::array::from_fn(|_| AtomicU64::new(0));
            fill(&map, first, count, true);
            prop_assert!(all(&map, first, count, true));
            let total: u32 = map.iter().map(|w| w.load(Ordering::Relaxed).count_ones()).sum();
            prop_assert_eq!(total, count);
            fill(&map, first, count, false);
            prop_assert!(all(&map, 0, 512, false));
        }
    }
}
