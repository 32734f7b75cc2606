//! Frames: how a packed segment keeps its pages. A frame is a few pages that lie in the file
//! together, as they are or compressed as one; a place says where in which frame a page is.
//!
//! Invariants: frames lie one after the other, from the data offset to the tables; each slot of
//! each frame is some page's place, so that no byte of the data is nobody's.

use super::{
    codec::{Decoder, Defect, Encoder, check},
    compression::Codec,
};
use crate::base::PAGE_SIZE;

/// A frame's bytes in the table.
pub(super) const FRAME_LEN: usize = 16;
/// A place's bytes in the table.
pub(super) const PLACE_LEN: usize = 8;
/// Pages in a frame at most, raw.
pub(super) const RAW_PAGES: u32 = 512;
/// Pages in a frame at most, compressed: enough to compress well, and few enough to share the
/// work of decoding.
pub(super) const COMPRESSED_PAGES: u32 = 32;

/// A frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Where it begins in the file.
    pub offset: u64,
    /// Its bytes in the file.
    pub len: u32,
    /// Its pages.
    pub pages: u32,
    /// What the bytes are.
    pub codec: Codec,
    /// The CRC-32 of a compressed frame's bytes; 0 for raw ones, whose pages have their own.
    pub crc: u32,
}

/// Where a page is: a frame, and how many pages of it come before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot {
    pub(super) frame: u32,
    pub(super) slot: u32,
}

impl Frame {
    /// Length of its pages, decoded.
    #[must_use]
    pub fn decoded_len(&self) -> usize {
        self.pages as usize * PAGE_SIZE
    }

    pub(super) fn encode(&self, encoder: &mut Encoder) {
        encoder.u32(self.len);
        encoder.u32(self.pages);
        encoder.u32(self.codec.to_tag());
        encoder.u32(self.crc);
    }

    fn decode(decoder: &mut Decoder<'_>, offset: u64, allowed: Codec) -> Result<Self, Defect> {
        let len = decoder.u32("frame length")?;
        let pages = decoder.u32("frame's pages")?;
        let codec = Codec::decode(decoder, "frame's compression")?;
        let crc = decoder.u32("frame's checksum")?;
        let frame = Self { offset, len, pages, codec, crc };
        let most = if codec == Codec::Raw { RAW_PAGES } else { COMPRESSED_PAGES };
        let at = decoder.offset() - FRAME_LEN as u64;
        let expected = format_args!("1 to {most}");
        check((1..=most).contains(&pages), "frame's pages", at + 4, expected, pages)?;
        let decoded = frame.decoded_len() as u64;
        if codec == Codec::Raw {
            check(u64::from(len) == decoded, "frame length", at, decoded, len)?;
            check(crc == 0, "frame's checksum", at + 12, 0, crc)?;
        } else {
            let shrinks = len > 0 && u64::from(len) < decoded;
            check(shrinks, "frame length", at, format_args!("1 to {}", decoded - 1), len)?;
            let (expected, found) = (allowed.to_tag(), codec.to_tag());
            check(expected == found, "frame's compression", at + 8, expected, found)?;
        }
        Ok(frame)
    }
}

/// Reads the frames of a segment whose frames that shrank are of the codec `allowed`; with the
/// offset after the last one.
pub(super) fn decode_frames(
    bytes: &[u8],
    table_offset: u64,
    data_offset: u64,
    allowed: Codec,
) -> Result<(Vec<Frame>, u64), Defect> {
    let mut decoder = Decoder::new(bytes);
    let mut frames = Vec::with_capacity(bytes.len() / FRAME_LEN);
    let mut offset = data_offset;
    while decoder.remaining() >= FRAME_LEN {
        let frame = Frame::decode(&mut decoder, offset, allowed)
            .map_err(|defect| defect.moved(table_offset))?;
        offset += u64::from(frame.len);
        frames.push(frame);
    }
    Ok((frames, offset))
}

impl Slot {
    pub(super) fn to_bytes(self) -> [u8; PLACE_LEN] {
        let mut bytes = [0; PLACE_LEN];
        bytes[..4].copy_from_slice(&self.frame.to_le_bytes());
        bytes[4..].copy_from_slice(&self.slot.to_le_bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8; PLACE_LEN]) -> Self {
        let [a, b, c, d, rest @ ..] = *bytes;
        Self { frame: u32::from_le_bytes([a, b, c, d]), slot: u32::from_le_bytes(rest) }
    }
}

/// Checks that places lie in frames, and that no slot is nobody's.
pub(super) fn check_places(
    places: &[[u8; PLACE_LEN]],
    offset: u64,
    frames: &[Frame],
) -> Result<(), Defect> {
    let mut firsts = Vec::with_capacity(frames.len());
    let mut slots = 0_usize;
    for frame in frames {
        firsts.push(slots);
        slots += frame.pages as usize;
    }
    // Nothing is allocated that the file does not justify: a slot without a place is an error.
    let enough = slots <= places.len();
    check(enough, "frames", offset, format_args!("at most {} pages", places.len()), slots)?;
    let mut named = vec![false; slots];
    for (place, bytes) in places.iter().enumerate() {
        let at = offset + (place * PLACE_LEN) as u64;
        let Slot { frame, slot } = Slot::from_bytes(bytes);
        let number = frame as usize;
        let found = frames.get(number).filter(|frame| slot < frame.pages);
        check(found.is_some(), "page's frame", at, "one with that slot", frame)?;
        if let Some(named) =
            firsts.get(number).and_then(|&first| named.get_mut(first + slot as usize))
        {
            *named = true;
        }
    }
    let unnamed = named.iter().position(|&named| !named);
    check(unnamed.is_none(), "slot of a frame", offset, "some page's", unnamed.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAW: Frame = Frame { offset: 4096, len: 8192, pages: 2, codec: Codec::Raw, crc: 0 };
    const SMALL: Frame = Frame { offset: 12288, len: 100, pages: 3, codec: Codec::Lz4, crc: 7 };

    fn table(frames: &[Frame]) -> Vec<u8> {
        let mut encoder = Encoder::default();
        frames.iter().for_each(|frame| frame.encode(&mut encoder));
        encoder.into_bytes()
    }

    #[test]
    fn frames_lie_one_after_the_other() {
        let decoded = decode_frames(&table(&[RAW, SMALL]), 0, 4096, Codec::Lz4).unwrap();
        assert_eq!(decoded, (vec![RAW, SMALL], 12388));
    }

    #[test]
    fn lengths_codecs_and_counts_are_checked() {
        for (bad, at) in [
            (Frame { pages: 0, len: 0, ..RAW }, 1004),
            (Frame { pages: 513, len: 513 * 4096, ..RAW }, 1004),
            (Frame { len: 4096, ..RAW }, 1000),
            (Frame { crc: 1, ..RAW }, 1012),
            (Frame { pages: 33, ..SMALL }, 1004),
            (Frame { len: 3 * 4096, ..SMALL }, 1000),
            (Frame { len: 0, ..SMALL }, 1000),
            (Frame { codec: Codec::Zstd, ..SMALL }, 1008),
        ] {
            let defect = decode_frames(&table(&[bad]), 1000, 4096, Codec::Lz4).unwrap_err();
            assert_eq!(defect.offset, at, "{bad:?}: {defect}");
        }
    }

    #[test]
    fn each_slot_is_somebodys() {
        let frames = [RAW, SMALL];
        let check = |slots: &[(u32, u32)]| {
            let places: Vec<_> =
                slots.iter().map(|&(frame, slot)| Slot { frame, slot }.to_bytes()).collect();
            check_places(&places, 50, &frames).map_err(|defect| defect.offset)
        };
        let all = [(1, 2), (0, 0), (1, 0), (1, 1), (0, 1)];
        assert_eq!(check(&all), Ok(()));
        assert_eq!(check(&[&all[..], &[(1, 2)]].concat()), Ok(()));
        assert_eq!(check(&all[1..]), Err(50));
        assert_eq!(check(&[&all[1..], &[(0, 0)]].concat()), Err(50));
        assert_eq!(check(&[&all[..], &[(1, 3)]].concat()), Err(90));
        assert_eq!(check(&[&all[..], &[(2, 0)]].concat()), Err(90));
    }
}
