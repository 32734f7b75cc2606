//! Checksums: CRC-32 finds damage, a 128-bit digest tells whether a page is the same.
//!
//! A CRC never decides that a page is unchanged: with millions of pages a 32-bit
//! collision is a matter of days, a 128-bit one is not.

use std::fmt;
use twox_hash::XxHash3_128;

/// A 128-bit digest (XXH3) of a page's bytes: equal digests are taken to mean equal pages.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Digest(pub u128);

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({:032x})", self.0)
    }
}

/// The CRC-32 (IEEE 802.3, reflected, as in zlib and gzip) of `bytes`.
#[must_use]
pub fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// The CRC-32 of bytes that come part by part.
#[derive(Debug, Clone, Default)]
pub struct Crc32(crc32fast::Hasher);

impl Crc32 {
    /// Adds the next part.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The CRC-32 of all parts together.
    #[must_use]
    pub fn finish(self) -> u32 {
        self.0.finalize()
    }
}

/// The XXH3-128 digest of `bytes`, seed 0.
#[must_use]
pub fn digest(bytes: &[u8]) -> Digest {
    Digest(XxHash3_128::oneshot(bytes))
}

/// The XXH3-128 digest of `bytes` with a seed. Who does not know the seed cannot make two pages
/// with the same digest.
#[must_use]
pub fn digest_seeded(bytes: &[u8], seed: u64) -> Digest {
    Digest(XxHash3_128::oneshot_with_seed(seed, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_has_the_published_check_value() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn parts_have_the_crc_of_the_whole() {
        let mut sum = Crc32::default();
        ["1234", "", "56789"].iter().for_each(|part| sum.add(part.as_bytes()));
        assert_eq!(sum.finish(), crc32(b"123456789"));
    }

    #[test]
    fn digest_of_nothing_is_the_published_one() {
        assert_eq!(digest(b"").0, 0x99aa_06d3_0147_98d8_6001_c324_468d_497f);
    }

    /// As two libraries that are independent of each other have it: files have such digests.
    #[test]
    fn digests_of_a_page_stay_what_they_are() {
        let page: Vec<u8> = (0..4096_u32).map(|place| (place % 251) as u8).collect();
        assert_eq!(digest(&page).0, 0xe12c_d721_4499_0fe5_7135_ffa5_04f1_bc71);
        assert_eq!(digest_seeded(&page, 77).0, 0xcffa_632a_392f_9a1c_7b00_d0ee_7aa9_e2fd);
    }

    #[test]
    fn seeds_make_a_difference() {
        let page = [7; 4096];
        assert_eq!(digest_seeded(&page, 0), digest(&page));
        assert_ne!(digest_seeded(&page, 1), digest(&page));
    }
}
