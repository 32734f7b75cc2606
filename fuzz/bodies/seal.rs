//! Changes to the bytes of a segment, and right checksums for what they have become, by the tables
//! of the specification: so that the checks behind the checksums are reached.

use stillheap::base::{PAGE_SIZE, crc32};

/// Files do not grow beyond this.
const LEN_MAX: u64 = 256 << 10;

/// What a sealed segment's record has to say.
#[allow(dead_code, reason = "not every fuzzer has a manifest to be told")]
pub(crate) struct Sealed {
    pub(crate) number: u64,
    pub(crate) crc: u32,
    pub(crate) len: u64,
}

/// Gives a segment the checksums of what it holds, and also its length.
pub(crate) fn seal_segment(bytes: &mut [u8], lengths: bool) -> Option<Sealed> {
    if bytes.len() < 256 {
        return None;
    }
    if lengths {
        let len = bytes.len() as u64;
        bytes[152..160].copy_from_slice(&len.to_le_bytes());
    }
    let [pages, tables, notes, notes_len] = [120, 128, 136, 144].map(|at| field(bytes, at));
    seal_pages(bytes, pages, tables);
    for (at, start, len) in [(116, tables, notes.saturating_sub(tables)), (160, notes, notes_len)] {
        if let Some(part) = part(bytes, start, len) {
            let crc = crc32(part);
            bytes[at..at + 4].copy_from_slice(&crc.to_le_bytes());
        }
    }
    let crc = crc32(&bytes[..252]);
    bytes[252..256].copy_from_slice(&crc.to_le_bytes());
    Some(Sealed { number: field(bytes, 56), crc, len: field(bytes, 152) })
}

/// The checksums in the index, and those of frames, for pages as the tables place them.
fn seal_pages(bytes: &mut [u8], pages: u64, tables: u64) {
    let [run_count, frame_count, zero_count] = [104, 108, 112].map(|at| low(&bytes[at..]));
    let is_placed = bytes[96] == 1 && bytes[100] == 0;
    let places = tables.saturating_add(pages.saturating_mul(24));
    let frames = places.saturating_add(if is_placed { 0 } else { pages.saturating_mul(8) });
    let runs = frames.saturating_add(16 * frame_count).saturating_add(8 * zero_count);
    let table = |at: u64, len: u64| part(bytes, at, len).map(<[u8]>::to_vec).unwrap_or_default();
    let (frames, runs) = (table(frames, 16 * frame_count), table(runs, 8 * run_count));
    let mut offsets = vec![4096_u64];
    for frame in frames.as_chunks::<16>().0 {
        offsets.push(offsets[offsets.len() - 1].saturating_add(low(&frame[..4])));
    }
    for place in 0..pages.min(LEN_MAX / 24) {
        let entry = clamp(tables.saturating_add(place * 24));
        let Some(page) = part(bytes, entry as u64, 4).map(low) else { return };
        let offset = if is_placed {
            placed(&runs, page)
        } else {
            let slot = part(bytes, places.saturating_add(place * 8), 8)
                .map_or((0, 0), |slot| (low(&slot[..4]), low(&slot[4..])));
            offsets.get(clamp(slot.0)).map(|offset| offset + slot.1 * PAGE_SIZE as u64)
        };
        let Some(crc) = offset.and_then(|at| part(bytes, at, PAGE_SIZE as u64)).map(crc32) else {
            continue;
        };
        if let Some(stored) = bytes.get_mut(entry + 4..entry + 8) {
            stored.copy_from_slice(&crc.to_le_bytes());
        }
    }
    let at = places.saturating_add(if is_placed { 0 } else { pages.saturating_mul(8) });
    for (number, frame) in (0..).zip(frames.as_chunks::<16>().0) {
        let crc = part(bytes, offsets[clamp(number)], low(&frame[..4])).map(crc32);
        let stored = clamp(at.saturating_add(16 * number + 12));
        if let (Some(crc), Some(stored)) = (crc, bytes.get_mut(stored..stored + 4)) {
            // Raw frames have none.
            let crc = if low(&frame[8..]) == 0 { 0 } else { crc };
            stored.copy_from_slice(&crc.to_le_bytes());
        }
    }
}

/// Where a page lies in a placed segment with these runs.
fn placed(runs: &[u8], page: u64) -> Option<u64> {
    let mut offset = 4096_u64;
    for run in runs.as_chunks::<8>().0 {
        let (first, count) = (low(&run[..4]), low(&run[4..]));
        if first <= page && page - first < count {
            return Some(offset.saturating_add((page - first) * PAGE_SIZE as u64));
        }
        offset = offset.saturating_add(count * PAGE_SIZE as u64);
    }
    None
}

/// Writes the first `1 << width` bytes there.
pub(crate) fn overwrite(bytes: &mut [u8], offset: u64, value: &[u8; 8], width: u8) {
    let start = clamp(offset);
    for (byte, new) in bytes.iter_mut().skip(start).zip(&value[..1 << width]) {
        *byte = *new;
    }
}

/// Adds to the number of 64 bits there.
pub(crate) fn add(bytes: &mut [u8], offset: u64, value: u64) {
    let start = clamp(offset);
    if let Some(field) = bytes.get_mut(start..).and_then(|rest| rest.first_chunk_mut::<8>()) {
        *field = u64::from_le_bytes(*field).wrapping_add(value).to_le_bytes();
    }
}

/// As a place in a file.
pub(crate) fn clamp(value: u64) -> usize {
    usize::try_from(value.min(LEN_MAX)).expect("small")
}

fn part(bytes: &[u8], offset: u64, len: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    bytes.get(start..start.checked_add(usize::try_from(len).ok()?)?)
}

/// The 64-bit field at an offset.
pub(crate) fn field(bytes: &[u8], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |field| u64::from_le_bytes(*field))
}

/// The 32-bit field at the start.
pub(crate) fn low(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |field| u64::from(u32::from_le_bytes(*field)))
}
