//! The data of a packed segment while it is being written: pages go into frames, each digest
//! once.

use super::{
    codec::Encoder,
    compression::{Codec, Compression, compress},
    frame::{COMPRESSED_PAGES, Frame, RAW_PAGES, Slot},
    header::DATA_OFFSET,
};
use crate::{
    base::{Digest, PAGE_SIZE, crc32},
    os::File,
};
use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    io,
};

/// Compressed bytes are written when there are so many of them.
const FLUSH: usize = 1 << 20;

/// Frames being written.
#[derive(Debug)]
pub(super) struct Packing {
    compression: Compression,
    frames: Vec<Frame>,
    /// Where the next frame begins.
    end: u64,
    /// Frames that have not been written yet: the last bytes before `end`.
    unwritten: Vec<u8>,
    /// Where the pages with these digests are.
    seen: HashMap<Digest, Slot>,
}

impl Packing {
    pub(super) fn new(compression: Compression) -> Self {
        Self {
            compression,
            frames: Vec::new(),
            end: DATA_OFFSET,
            unwritten: Vec::new(),
            seen: HashMap::new(),
        }
    }

    /// Writes those of the pages that are not there yet. Gives where each of them is.
    pub(super) fn write<F: File>(
        &mut self,
        file: &F,
        digests: &[Digest],
        pages: &[[u8; PAGE_SIZE]],
    ) -> io::Result<Vec<Slot>> {
        let mut new = Vec::with_capacity(pages.len());
        for (place, digest) in digests.iter().enumerate() {
            if let Entry::Vacant(vacant) = self.seen.entry(*digest) {
                // Known in a moment.
                vacant.insert(Slot { frame: u32::MAX, slot: 0 });
                new.push(place);
            }
        }
        if new.len() == pages.len() {
            self.add(file, digests, pages)?;
        } else {
            let new_digests: Vec<Digest> = new.iter().map(|&place| digests[place]).collect();
            let new_pages: Vec<[u8; PAGE_SIZE]> = new.iter().map(|&place| pages[place]).collect();
            self.add(file, &new_digests, &new_pages)?;
        }
        Ok(self.places(digests))
    }

    /// Makes room for raw pages, 512 at most, that the caller copies to the offset that comes
    /// back, with their places. `None`: pages are compressed here, or one of these is there
    /// already, so that they have to be written.
    pub(super) fn take_copied(&mut self, digests: &[Digest]) -> Option<(u64, Vec<Slot>)> {
        let distinct: HashSet<&Digest> = digests.iter().collect();
        let is_there = digests.iter().any(|digest| self.seen.contains_key(digest));
        if self.compression != Compression::None || is_there || distinct.len() < digests.len() {
            return None;
        }
        let offset = self.end;
        self.push(Codec::Raw, digests, digests.len() * PAGE_SIZE, 0);
        Some((offset, self.places(digests)))
    }

    fn places(&self, digests: &[Digest]) -> Vec<Slot> {
        // All of them are there.
        digests.iter().filter_map(|digest| self.seen.get(digest).copied()).collect()
    }

    /// Where the next frame begins. All before it has been written, or is written by `flush`.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    pub(super) fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// The frames' table.
    pub(super) fn table(&self) -> Vec<u8> {
        let mut encoder = Encoder::default();
        self.frames.iter().for_each(|frame| frame.encode(&mut encoder));
        encoder.into_bytes()
    }

    /// Writes what has been compressed.
    pub(super) fn flush<F: File>(&mut self, file: &F) -> io::Result<()> {
        if !self.unwritten.is_empty() {
            file.write_at(self.end - self.unwritten.len() as u64, &self.unwritten)?;
            self.unwritten.clear();
        }
        Ok(())
    }

    fn add<F: File>(
        &mut self,
        file: &F,
        digests: &[Digest],
        pages: &[[u8; PAGE_SIZE]],
    ) -> io::Result<()> {
        if self.compression == Compression::None {
            let size = RAW_PAGES as usize;
            for (digests, pages) in digests.chunks(size).zip(pages.chunks(size)) {
                file.write_at(self.end, pages.as_flattened())?;
                self.push(Codec::Raw, digests, pages.len() * PAGE_SIZE, 0);
            }
            return Ok(());
        }
        let size = COMPRESSED_PAGES as usize;
        for (digests, pages) in digests.chunks(size).zip(pages.chunks(size)) {
            self.add_compressed(digests, pages);
        }
        if self.unwritten.len() >= FLUSH { self.flush(file) } else { Ok(()) }
    }

    /// Together, if that shrinks them; or else each for itself, and raw what does not shrink.
    fn add_compressed(&mut self, digests: &[Digest], pages: &[[u8; PAGE_SIZE]]) {
        if self.try_compressed(digests, pages) {
            return;
        }
        let mut raw = 0;
        for (place, page) in pages.iter().enumerate().filter(|_| pages.len() > 1) {
            let mut small = Vec::new();
            if let Some(len) = compress(self.compression, page, &mut small) {
                self.add_raw(&digests[raw..place], &pages[raw..place]);
                self.unwritten.extend_from_slice(&small);
                let codec = self.compression.codec();
                self.push(codec, &digests[place..=place], len, crc32(&small));
                raw = place + 1;
            }
        }
        self.add_raw(&digests[raw..], &pages[raw..]);
    }

    fn try_compressed(&mut self, digests: &[Digest], pages: &[[u8; PAGE_SIZE]]) -> bool {
        let start = self.unwritten.len();
        let bytes = pages.as_flattened();
        let Some(len) = compress(self.compression, bytes, &mut self.unwritten) else {
            return false;
        };
        let crc = crc32(&self.unwritten[start..]);
        self.push(self.compression.codec(), digests, len, crc);
        true
    }

    fn add_raw(&mut self, digests: &[Digest], pages: &[[u8; PAGE_SIZE]]) {
        if !digests.is_empty() {
            self.unwritten.extend_from_slice(pages.as_flattened());
            self.push(Codec::Raw, digests, pages.len() * PAGE_SIZE, 0);
        }
    }

    fn push(&mut self, codec: Codec, digests: &[Digest], len: usize, crc: u32) {
        let number = u32::try_from(self.frames.len()).unwrap_or(u32::MAX);
        for (slot, digest) in (0..).zip(digests) {
            self.seen.insert(*digest, Slot { frame: number, slot });
        }
        let pages = u32::try_from(digests.len()).unwrap_or(u32::MAX);
        // A frame has at most 2 MiB.
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        self.frames.push(Frame { offset: self.end, len, pages, codec, crc });
        self.end += u64::from(len);
    }
}
