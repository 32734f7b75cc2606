//! Little-endian fields in a row, written and read in the order of the format's tables.
//!
//! Invariant: reading never passes the end, and every complaint names the field's offset.

use std::fmt::Display;

/// A field that breaks the format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} at offset {offset}: expected {expected}, found {found}")]
pub struct Defect {
    /// The field.
    pub field: &'static str,
    /// Where it starts in the file, in bytes.
    pub offset: u64,
    /// What it should have been.
    pub expected: String,
    /// What it was.
    pub found: String,
}

impl Defect {
    pub(super) fn new(
        field: &'static str,
        offset: u64,
        expected: impl Display,
        found: impl Display,
    ) -> Self {
        Self { field, offset, expected: expected.to_string(), found: found.to_string() }
    }

    /// The same, of bytes that begin at `start` in the file.
    pub(super) fn moved(self, start: u64) -> Self {
        Self { offset: self.offset + start, ..self }
    }
}

/// Fields being written.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    bytes: Vec<u8>,
}

impl Encoder {
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.raw(&value.to_le_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.raw(&value.to_le_bytes());
    }

    pub(super) fn u128(&mut self, value: u128) {
        self.raw(&value.to_le_bytes());
    }

    /// Zeros up to `offset`.
    pub(super) fn zero_to(&mut self, offset: usize) {
        debug_assert!(self.bytes.len() <= offset);
        self.bytes.resize(offset, 0);
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes, and at the end their CRC-32.
    pub(super) fn seal(mut self) -> Vec<u8> {
        let crc = crate::base::crc32(&self.bytes);
        self.u32(crc);
        self.bytes
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Fields being read. Offsets count from the start of `bytes`.
#[derive(Debug)]
pub(super) struct Decoder<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn offset(&self) -> u64 {
        self.at as u64
    }

    pub(super) fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(super) fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], Defect> {
        match self.bytes[self.at..].first_chunk::<N>() {
            Some(array) => {
                self.at += N;
                Ok(*array)
            }
            None => {
                let expected = format!("{N} bytes");
                let found = format!("{} before the end", self.remaining());
                Err(Defect::new(field, self.offset(), expected, found))
            }
        }
    }

    pub(super) fn u32(&mut self, field: &'static str) -> Result<u32, Defect> {
        self.array(field).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, field: &'static str) -> Result<u64, Defect> {
        self.array(field).map(u64::from_le_bytes)
    }

    pub(super) fn u128(&mut self, field: &'static str) -> Result<u128, Defect> {
        self.array(field).map(u128::from_le_bytes)
    }

    pub(super) fn expect_u32(&mut self, field: &'static str, expected: u32) -> Result<(), Defect> {
        let offset = self.offset();
        let found = self.u32(field)?;
        check(found == expected, field, offset, expected, found)
    }

    pub(super) fn expect_u64(&mut self, field: &'static str, expected: u64) -> Result<(), Defect> {
        let offset = self.offset();
        let found = self.u64(field)?;
        check(found == expected, field, offset, expected, found)
    }

    /// Reserved bytes up to `end`: zero, or the file is not of this version.
    pub(super) fn zero_to(&mut self, field: &'static str, end: usize) -> Result<(), Defect> {
        let rest = self.bytes.get(self.at..end).ok_or_else(|| {
            Defect::new(field, self.offset(), format!("zeros up to {end}"), "the end")
        })?;
        if let Some(place) = rest.iter().position(|&byte| byte != 0) {
            return Err(Defect::new(field, (self.at + place) as u64, 0, rest[place]));
        }
        self.at = end;
        Ok(())
    }
}

/// `Ok` if the condition holds, else the complaint.
pub(super) fn check(
    holds: bool,
    field: &'static str,
    offset: u64,
    expected: impl Display,
    found: impl Display,
) -> Result<(), Defect> {
    if holds { Ok(()) } else { Err(Defect::new(field, offset, expected, found)) }
}

/// The part of `bytes` that starts at `offset` and is `len` long, if it is within.
pub(super) fn part(bytes: &[u8], offset: u64, len: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    let end = usize::try_from(offset.checked_add(len)?).ok()?;
    bytes.get(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back() {
        let mut encoder = Encoder::default();
        encoder.u32(7);
        encoder.u64(8);
        encoder.u128(9);
        encoder.zero_to(32);
        let bytes = encoder.seal();
        let mut decoder = Decoder::new(&bytes);
        assert_eq!(decoder.u32("a"), Ok(7));
        assert_eq!(decoder.u64("b"), Ok(8));
        assert_eq!(decoder.u128("c"), Ok(9));
        decoder.zero_to("reserved", 32).unwrap();
        assert_eq!(decoder.u32("crc"), Ok(crate::base::crc32(&bytes[..32])));
        assert_eq!(decoder.u32("more").unwrap_err().offset, 36);
    }

    #[test]
    fn a_complaint_names_offset_expected_and_found() {
        let mut decoder = Decoder::new(&[0, 0, 5, 0]);
        let defect = decoder.zero_to("reserved", 4).unwrap_err();
        assert_eq!(defect.to_string(), "reserved at offset 2: expected 0, found 5");
        assert!(decoder.zero_to("reserved", 9).is_err());
    }

    #[test]
    fn parts_are_within() {
        assert_eq!(part(&[1, 2, 3], 1, 2), Some(&[2, 3][..]));
        assert_eq!(part(&[1, 2, 3], 1, 3), None);
        assert_eq!(part(&[1, 2, 3], u64::MAX, 2), None);
    }
}
