//! Drawing with a palette, a strip of a picture at a time, so that no picture is too large for
//! memory.

use crate::letters;
use std::io::{self, Write};

/// What is around everything.
pub(crate) const BACKGROUND: u8 = 0;
/// A page that is not in use.
pub(crate) const FREE: u8 = 1;
/// A page in use that is zero.
pub(crate) const ZERO: u8 = 2;
/// A page that is as it was.
pub(crate) const SAME: u8 = 3;
/// A page that was given back, or has become zero.
pub(crate) const GONE: u8 = 4;
pub(crate) const INK: u8 = 5;
/// Where the colours from cold to hot begin, and how many there are.
const RAMP: u8 = 64;
const RAMP_LEN: u8 = 128;

/// Colours between which the ramp goes: as in viridis, told apart by those who see no red, too.
const STOPS: [[u8; 3]; 5] =
    [[72, 20, 103], [57, 86, 140], [31, 150, 139], [85, 198, 103], [253, 231, 37]];
/// Pixels of a letter's pixel.
const SCALE: usize = 2;
/// How wide and high a letter is, with the gap to the next.
pub(crate) const LETTER_WIDTH: usize = (letters::WIDTH + 1) * SCALE;
pub(crate) const LETTER_HEIGHT: usize = letters::HEIGHT * SCALE;

/// Rows of pixels, each the number of a colour.
#[derive(Debug)]
pub(crate) struct Strip {
    width: usize,
    pixels: Vec<u8>,
}

impl Strip {
    pub(crate) fn new(width: usize, height: usize) -> Self {
        Self { width, pixels: vec![BACKGROUND; width * height] }
    }

    /// Sets a pixel; outside there is none.
    pub(crate) fn set(&mut self, x: usize, y: usize, colour: u8) {
        if x < self.width
            && let Some(pixel) = self.pixels.get_mut(y * self.width + x)
        {
            *pixel = colour;
        }
    }

    pub(crate) fn fill(&mut self, at: (usize, usize), size: (usize, usize), colour: u8) {
        for y in at.1..at.1 + size.1 {
            for x in at.0..at.0 + size.0 {
                self.set(x, y, colour);
            }
        }
    }

    /// Writes a text, and gives where it ends.
    pub(crate) fn write(&mut self, at: (usize, usize), text: &str) -> usize {
        let mut left = at.0;
        for letter in text.chars() {
            for (row, bits) in letters::rows(letter).into_iter().enumerate() {
                for column in (0..letters::WIDTH).filter(|column| bits & (4 >> column) != 0) {
                    let corner = (left + column * SCALE, at.1 + row * SCALE);
                    self.fill(corner, (SCALE, SCALE), INK);
                }
            }
            left += LETTER_WIDTH;
        }
        left
    }

    pub(crate) fn pixels(&self) -> &[u8] {
        &self.pixels
    }
}

/// The colour at `place` of `last`, from cold to hot.
pub(crate) fn ramp(place: usize, last: usize) -> u8 {
    let steps = usize::from(RAMP_LEN - 1);
    let step = (place.min(last) * steps).checked_div(last).unwrap_or(steps);
    RAMP + u8::try_from(step).unwrap_or(RAMP_LEN - 1)
}

/// Begins a picture: what follows are its pixels, row by row.
pub(crate) fn encoder<W: Write>(out: W, width: usize, height: usize) -> io::Result<png::Writer<W>> {
    let size = |length| u32::try_from(length).map_err(|_| io::Error::other("too large a picture"));
    let mut encoder = png::Encoder::new(out, size(width)?, size(height)?);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(palette());
    Ok(encoder.write_header()?)
}

fn palette() -> Vec<u8> {
    let mut colours = vec![[0_u8; 3]; usize::from(RAMP) + usize::from(RAMP_LEN)];
    let named = [
        (BACKGROUND, [12, 12, 16]),
        (FREE, [32, 32, 40]),
        (ZERO, [84, 84, 92]),
        (SAME, [110, 110, 118]),
        (GONE, [66, 110, 230]),
        (INK, [225, 225, 225]),
    ];
    for (number, colour) in named {
        colours[usize::from(number)] = colour;
    }
    for step in 0..usize::from(RAMP_LEN) {
        colours[usize::from(RAMP) + step] = between(step * (STOPS.len() - 1));
    }
    colours.into_flattened()
}

/// The colour so far along the stops, each of which is a whole ramp after the one before.
fn between(at: usize) -> [u8; 3] {
    let whole = usize::from(RAMP_LEN - 1);
    let (stop, rest) = (at / whole, at % whole);
    let left = STOPS[stop.min(STOPS.len() - 1)];
    let right = STOPS[(stop + 1).min(STOPS.len() - 1)];
    std::array::from_fn(|part| {
        let (left, right) = (usize::from(left[part]), usize::from(right[part]));
        u8::try_from((left * (whole - rest) + right * rest) / whole).unwrap_or(u8::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ramp_goes_from_the_first_stop_to_the_last() {
        let colours = palette();
        let of = |number: u8| {
            let at = usize::from(number) * 3;
            [colours[at], colours[at + 1], colours[at + 2]]
        };
        assert_eq!(of(ramp(0, 8)), STOPS[0]);
        assert_eq!(of(ramp(8, 8)), STOPS[4]);
        assert_eq!(of(ramp(0, 0)), STOPS[4]);
        assert_eq!(of(ramp(99, 8)), STOPS[4]);
    }

    #[test]
    fn nothing_is_drawn_outside() {
        let mut strip = Strip::new(4, 2);
        strip.set(4, 0, 9);
        strip.set(0, 2, 9);
        strip.fill((3, 1), (5, 5), 7);
        assert_eq!(strip.pixels(), [0, 0, 0, 0, 0, 0, 0, 7]);
        assert_eq!(strip.write((0, 0), "1X"), 2 * LETTER_WIDTH);
    }
}
