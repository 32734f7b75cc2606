//! Compression of frames: which, and how. A frame's decoded length is known before it is
//! decoded, so that no input makes a decoder allocate more.

use super::codec::{Decoder, Defect};

/// How a segment's pages are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Compression {
    /// Not at all: the fastest to write, and the only way to be mapped rather than loaded.
    #[default]
    None,
    /// LZ4: some hundred MB/s for each processor, often half the size.
    Lz4,
    /// Zstandard, at a level of 1 (fastest) to 22. Needs the crate's feature `zstd`.
    Zstd(i32),
}

/// What a frame's bytes are, as the file has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// The pages themselves.
    Raw,
    /// An LZ4 block.
    Lz4,
    /// A Zstandard frame.
    Zstd,
}

/// Why bytes cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum DecodeError {
    /// They are not of that codec, or do not hold what they should.
    #[error("{0}")]
    Damaged(String),
    /// This build has no decoder for them.
    #[cfg(not(feature = "zstd"))]
    #[error("this build cannot decode zstd: build stillheap with the feature `zstd`")]
    Unsupported,
}

impl Compression {
    /// Whether this build can compress in this way.
    #[must_use]
    pub fn is_supported(self) -> bool {
        cfg!(feature = "zstd") || !matches!(self, Self::Zstd(_))
    }

    /// The codec of frames that shrink.
    #[must_use]
    pub fn codec(self) -> Codec {
        match self {
            Self::None => Codec::Raw,
            Self::Lz4 => Codec::Lz4,
            Self::Zstd(_) => Codec::Zstd,
        }
    }
}

impl Codec {
    pub(super) fn to_tag(self) -> u32 {
        match self {
            Self::Raw => 0,
            Self::Lz4 => 1,
            Self::Zstd => 2,
        }
    }

    /// Reads a tag.
    pub(super) fn decode(decoder: &mut Decoder<'_>, field: &'static str) -> Result<Self, Defect> {
        let offset = decoder.offset();
        match decoder.u32(field)? {
            0 => Ok(Self::Raw),
            1 => Ok(Self::Lz4),
            2 => Ok(Self::Zstd),
            tag => Err(Defect::new(field, offset, "0 (none), 1 (LZ4) or 2 (zstd)", tag)),
        }
    }
}

/// Compresses `bytes` to the end of `out`; `None`, and `out` as it was, if that does not save at
/// least an eighth.
pub(super) fn compress(compression: Compression, bytes: &[u8], out: &mut Vec<u8>) -> Option<usize> {
    let start = out.len();
    let most = bytes.len() - bytes.len() / 8;
    let len = match compression {
        Compression::None => None,
        Compression::Lz4 => {
            out.resize(start + lz4_flex::block::get_maximum_output_size(bytes.len()), 0);
            lz4_flex::block::compress_into(bytes, &mut out[start..]).ok()
        }
        Compression::Zstd(level) => compress_zstd(level, bytes, out),
    };
    let len = len.filter(|&len| len <= most);
    out.truncate(start + len.unwrap_or(0));
    len
}

/// Decodes into `out`, which the contents have to fill.
pub(super) fn decompress(codec: Codec, bytes: &[u8], out: &mut [u8]) -> Result<(), DecodeError> {
    let len = match codec {
        Codec::Raw => {
            let len = bytes.len();
            if len == out.len() {
                out.copy_from_slice(bytes);
            }
            len
        }
        Codec::Lz4 => lz4_flex::block::decompress_into(bytes, out)
            .map_err(|error| DecodeError::Damaged(error.to_string()))?,
        Codec::Zstd => decompress_zstd(bytes, out)?,
    };
    if len == out.len() {
        return Ok(());
    }
    Err(DecodeError::Damaged(format!("{len} bytes came out where {} are expected", out.len())))
}

#[cfg(feature = "zstd")]
fn compress_zstd(level: i32, bytes: &[u8], out: &mut Vec<u8>) -> Option<usize> {
    let start = out.len();
    out.resize(start + zstd::zstd_safe::compress_bound(bytes.len()), 0);
    zstd::bulk::compress_to_buffer(bytes, &mut out[start..], level).ok()
}

#[cfg(not(feature = "zstd"))]
fn compress_zstd(_: i32, _: &[u8], _: &mut Vec<u8>) -> Option<usize> {
    None
}

#[cfg(feature = "zstd")]
fn decompress_zstd(bytes: &[u8], out: &mut [u8]) -> Result<usize, DecodeError> {
    zstd::bulk::decompress_to_buffer(bytes, out)
        .map_err(|error| DecodeError::Damaged(error.to_string()))
}

#[cfg(not(feature = "zstd"))]
fn decompress_zstd(_: &[u8], _: &mut [u8]) -> Result<usize, DecodeError> {
    Err(DecodeError::Unsupported)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ways() -> Vec<Compression> {
        let all = [Compression::Lz4, Compression::Zstd(1), Compression::Zstd(9)];
        all.into_iter().filter(|way| way.is_supported()).collect()
    }

    #[test]
    fn what_shrinks_comes_back() {
        let bytes: Vec<u8> = (0..40_000_u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        for way in ways() {
            let mut out = b"before".to_vec();
            let len = compress(way, &bytes, &mut out).unwrap();
            assert_eq!(out.len(), 6 + len);
            let mut back = vec![0; bytes.len()];
            decompress(way.codec(), &out[6..], &mut back).unwrap();
            assert!(back == bytes, "{way:?}");
            assert!(decompress(way.codec(), &out[6..], &mut back[1..]).is_err());
            back.push(0);
            assert!(decompress(way.codec(), &out[6..], &mut back).is_err());
        }
    }

    #[test]
    fn what_does_not_shrink_leaves_nothing() {
        let mut state = 1_u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_le_bytes()[7]
        };
        let bytes: Vec<u8> = (0..8192).map(|_| random()).collect();
        for way in ways().into_iter().chain([Compression::None]) {
            let mut out = vec![1];
            assert_eq!(compress(way, &bytes, &mut out), None);
            assert_eq!(out, [1]);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(bytes: Vec<u8>, len in 0..9000_usize) {
            let mut out = vec![0; len];
            for codec in [Codec::Raw, Codec::Lz4, Codec::Zstd] {
                let _ = decompress(codec, &bytes, &mut out);
            }
        }
    }
}
