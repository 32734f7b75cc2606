//! The saved pages of a packed segment in the order in which they lie in its file.

use super::{frame::Frame, segment_reader::SegmentReader};
use crate::os::File;
use std::ops::Range;

/// For each frame, the places (in the index) of the pages that it holds.
#[derive(Debug)]
pub struct ByFrame {
    /// Places, by frame.
    places: Vec<u32>,
    /// Where each frame's begin, and one more.
    starts: Vec<u32>,
}

impl ByFrame {
    /// Sorts a segment's pages; nothing in a placed one.
    pub fn of<F: File>(reader: &SegmentReader<F>) -> Self {
        let frames = reader.frames().len();
        let frame_of = |place| reader.slot_of(place).map_or(0, |slot| slot.frame as usize);
        let pages = if frames == 0 { 0 } else { reader.index().len() };
        // Counts, then sums, then each place to the next free one of its frame's.
        let mut starts = vec![0_u32; frames + 1];
        for place in 0..pages {
            starts[frame_of(place) + 1] += 1;
        }
        for frame in 0..frames {
            starts[frame + 1] += starts[frame];
        }
        let mut next = starts.clone();
        let mut places = vec![0; pages];
        for place in 0..pages {
            let next = &mut next[frame_of(place)];
            // There are at most 2^32 pages, whose places begin at 0.
            places[*next as usize] = u32::try_from(place).unwrap_or(u32::MAX);
            *next += 1;
        }
        Self { places, starts }
    }

    /// The places of a frame's pages; a page that is there several times has several.
    #[must_use]
    pub fn places(&self, frame: usize) -> &[u32] {
        let range = self.starts.get(frame).zip(self.starts.get(frame + 1));
        let (Some(start), Some(end)) = range.unzip() else { return &[] };
        &self.places[*start as usize..*end as usize]
    }

    /// Frames in pieces of about `pages` pages.
    #[must_use]
    pub fn pieces(frames: &[Frame], pages: u32) -> Vec<Range<usize>> {
        let mut pieces = Vec::new();
        let (mut begun, mut count) = (0, 0);
        for (number, frame) in frames.iter().enumerate() {
            count += frame.pages;
            if count >= pages || number + 1 == frames.len() {
                pieces.push(begun..number + 1);
                (begun, count) = (number + 1, 0);
            }
        }
        pieces
    }
}
