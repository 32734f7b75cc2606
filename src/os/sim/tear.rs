//! What a crash leaves of one change to a file's bytes.
//!
//! A write of more than a page arrives by blocks of 4096 bytes, a shorter one by sectors of 512,
//! in any order. Besides, any write may stop or begin in its middle, as on a device that knows
//! no blocks. Its bytes and the length that it gives the file arrive each on its own: bytes
//! behind the length are lost, a length without bytes reads as zero.

use super::{
    random::{Random, number_for},
    state::{Op, index, set_len, write},
};
use std::{iter, ops::Range};

const PAGE: usize = 4096;
const SECTOR: usize = 512;
/// How many random sets of blocks are tried for a write.
const RANDOM_SETS: usize = 2;

/// What becomes of a change to a file's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Lost,
    Whole,
    Torn(Tear),
}

/// How a write arrives in part: with the length that it gives the file, if not said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tear {
    /// The first so many bytes.
    Head(usize),
    /// The first so many bytes, and the length that they give the file.
    Short(usize),
    /// The last so many bytes.
    Tail(usize),
    /// All blocks but one.
    Without(usize),
    /// Each block by a coin, of this seed.
    Blocks(u64),
    /// No bytes.
    LengthAlone,
    /// All bytes, but the length is the old one.
    LengthLost,
}

/// Changes `file` as the operation does, as far as it arrives.
pub(super) fn arrive(file: &mut Vec<u8>, op: &Op, fate: Fate) {
    match (op, fate) {
        (_, Fate::Lost) => {}
        (Op::SetLen(_, len), _) => set_len(file, index(*len)),
        (Op::Write(_, offset, bytes), Fate::Whole) => write(file, *offset, bytes),
        (Op::Write(_, offset, bytes), Fate::Torn(tear)) => tear.write(file, *offset, bytes),
        _ => {}
    }
}

impl Tear {
    fn write(self, file: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
        let (before, start) = (file.len(), index(offset));
        set_len(file, before.max(start + bytes.len()));
        for kept in self.kept(offset, bytes.len()) {
            file[start + kept.start..start + kept.end].copy_from_slice(&bytes[kept]);
        }
        match self {
            Self::LengthLost => set_len(file, before),
            Self::Short(count) => set_len(file, before.max(start + count)),
            _ => {}
        }
    }

    /// The parts of the write that arrive.
    fn kept(self, offset: u64, len: usize) -> Vec<Range<usize>> {
        let blocks = |arrives: &dyn Fn(usize) -> bool| -> Vec<Range<usize>> {
            let blocks = blocks(offset, len).into_iter().enumerate();
            blocks.filter(|&(place, _)| arrives(place)).map(|(_, block)| block).collect()
        };
        let part = match self {
            Self::Without(missing) => return blocks(&|place| place != missing),
            Self::Blocks(seed) => return blocks(&|place| number_for(seed, place) & 1 == 0),
            Self::Head(count) | Self::Short(count) => 0..count.min(len),
            Self::Tail(count) => len.saturating_sub(count)..len,
            Self::LengthAlone => 0..0,
            Self::LengthLost => 0..len,
        };
        iter::once(part).collect()
    }

    /// Some tear of a write of `len` bytes, two at least, by a random number.
    pub(super) fn any(number: u64, len: usize) -> Self {
        let count = 1 + Random::new(number).below(len - 1);
        match number >> 62 {
            0 => Self::Head(count),
            1 => Self::Short(count),
            2 => Self::Tail(count),
            _ => Self::Blocks(number),
        }
    }
}

/// The tears that are tried for a write; `extends` if it made the file longer. At most `bound`
/// of its blocks are missing one at a time.
pub(super) fn tears(
    offset: u64,
    len: usize,
    extends: bool,
    bound: usize,
    random: &mut Random,
) -> Vec<Tear> {
    let blocks = blocks(offset, len);
    let mut tears = Vec::new();
    if len > 1 {
        tears.extend([Tear::Head(len / 2), Tear::Tail(len - len / 2)]);
    }
    if blocks.len() > 1 {
        let mut missing: Vec<usize> = (0..blocks.len()).collect();
        if missing.len() > bound {
            random.shuffle(&mut missing);
        }
        tears.extend(missing.into_iter().take(bound).map(Tear::Without));
    }
    if blocks.len() > 2 {
        let border = blocks[random.below(blocks.len() - 1)].end;
        tears.extend([Tear::Head(border), Tear::Tail(len - border)]);
        tears.extend((0..RANDOM_SETS).map(|_| Tear::Blocks(random.draw())));
    }
    if extends {
        tears.extend((len > 1).then_some(Tear::Short(len / 2)));
        tears.extend([Tear::LengthAlone, Tear::LengthLost]);
    }
    tears
}

/// The blocks of a write, aligned in the file, as ranges of its bytes.
fn blocks(offset: u64, len: usize) -> Vec<Range<usize>> {
    let size = if len > PAGE { PAGE } else { SECTOR };
    let into = index(offset) % size;
    let borders = (1..).map(|place| place * size - into);
    let mut blocks = Vec::new();
    let mut start = 0;
    for border in borders.take_while(|_| len > 0) {
        blocks.push(start..border.min(len));
        if border >= len {
            break;
        }
        start = border;
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::sim::FileId;

    fn torn(before: &[u8], offset: u64, bytes: &[u8], tear: Tear) -> Vec<u8> {
        let mut file = before.to_vec();
        arrive(&mut file, &Op::Write(FileId(1), offset, bytes.to_vec()), Fate::Torn(tear));
        file
    }

    #[test]
    fn blocks_are_aligned_in_the_file() {
        assert_eq!(blocks(0, 0), []);
        assert_eq!(blocks(3584, 512).len(), 1);
        assert_eq!(blocks(500, 20), [0..12, 12..20]);
        assert_eq!(blocks(512, 1025), [0..512, 512..1024, 1024..1025]);
        assert_eq!(blocks(4096, 4096).len(), 8);
        assert_eq!(blocks(4000, 4097), [0..96, 96..4097]);
        assert_eq!(blocks(4096, 8192), [0..4096, 4096..8192]);
    }

    #[test]
    fn a_write_in_place_keeps_the_length() {
        let write = |tear| torn(b"abcdef", 1, b"1234", tear);
        assert_eq!(write(Tear::Head(2)), b"a12def");
        assert_eq!(write(Tear::Short(2)), b"a12def");
        assert_eq!(write(Tear::Tail(1)), b"abcd4f");
        assert_eq!(write(Tear::LengthAlone), b"abcdef");
        assert_eq!(write(Tear::LengthLost), b"a1234f");
    }

    #[test]
    fn bytes_and_length_of_an_extending_write_arrive_each_on_its_own() {
        let write = |tear| torn(b"ab", 1, b"1234", tear);
        assert_eq!(write(Tear::Head(2)), b"a12\0\0");
        assert_eq!(write(Tear::Short(2)), b"a12");
        assert_eq!(write(Tear::Tail(1)), b"ab\0\x004");
        assert_eq!(write(Tear::LengthAlone), b"ab\0\0\0");
        assert_eq!(write(Tear::LengthLost), b"a1");
        assert_eq!(torn(b"ab", 5, b"12", Tear::LengthLost), b"ab");
        assert_eq!(torn(b"ab", 5, b"12", Tear::Short(1)), b"ab\0\0\x001");
    }

    #[test]
    fn blocks_go_missing() {
        let bytes = [1; 3 * SECTOR];
        let found = torn(b"", 0, &bytes, Tear::Without(1));
        assert_eq!((&found[..512], &found[512..1024]), (&[1; 512][..], &[0; 512][..]));
        assert_eq!(found[1024..], [1; 512]);
        let some = torn(b"", 0, &[1; 64 * PAGE], Tear::Blocks(3));
        let (pages, _) = some.as_chunks::<PAGE>();
        assert!(pages.iter().all(|page| page.iter().all(|byte| *byte == page[0])));
        assert!((16..48).contains(&pages.iter().filter(|page| page[0] == 1).count()));
    }

    #[test]
    fn tears_are_as_many_as_the_write_allows() {
        let of = |len, extends| tears(0, len, extends, 4, &mut Random::new(1));
        assert_eq!(of(0, false), []);
        assert_eq!(of(1, false), []);
        assert_eq!(of(3, false), [Tear::Head(1), Tear::Tail(2)]);
        assert_eq!(of(1, true), [Tear::LengthAlone, Tear::LengthLost]);
        assert_eq!(of(2 * SECTOR, false)[2..], [Tear::Without(0), Tear::Without(1)]);
        assert_eq!(of(100 * PAGE, true).len(), 2 + 4 + 2 + RANDOM_SETS + 3);
    }
}
