//! Which heap an image belongs to, and what a process must be to use it: the same machine,
//! base, arena and page size. Every file of a heap carries it.

use super::codec::{Decoder, Defect, Encoder, check};
use crate::base::PAGE_SIZE;
use std::fmt;

/// The version of the format that this build writes, and the only one that it reads.
pub const FORMAT_VERSION: u32 = 2;

/// An identity's bytes in a file.
pub(super) const IDENTITY_LEN: usize = 40;
/// The page size, as an identity has it.
const PAGE_SIZE_FIELD: u32 = 4096;

static_assertions::const_assert_eq!(PAGE_SIZE_FIELD as usize, PAGE_SIZE);

/// Which heap, and where its pages lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    /// A random number, drawn when the heap was created.
    pub heap_id: u128,
    /// The arena's base address.
    pub base: u64,
    /// The arena's length in bytes.
    pub arena_len: u64,
    /// Bytes in a page.
    pub page_size: u32,
    /// The architecture that the pages' contents are laid out for.
    pub machine: Machine,
}

/// What a process offers to an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Host {
    /// Its arena's base address.
    pub base: u64,
    /// Its arena's length in bytes.
    pub arena_len: u64,
    /// Bytes in a page.
    pub page_size: u32,
    /// Its architecture.
    pub machine: Machine,
}

/// An architecture, by the number that ELF files give it (`e_machine`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Machine(pub u32);

/// Why an image cannot be used here. It may be sound all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// Written by an older stillheap.
    #[error(
        "the format is version {found}, and this build reads {FORMAT_VERSION} only: \
         open it with the stillheap that wrote it, or export its data with that"
    )]
    OlderFormat {
        /// The image's version.
        found: u32,
    },
    /// Written by a newer stillheap.
    #[error(
        "the format is version {found}, and this build reads up to {FORMAT_VERSION}: \
         use a newer stillheap"
    )]
    NewerFormat {
        /// The image's version.
        found: u32,
    },
    /// Written on another architecture.
    #[error("the image was made on {found}, and this is {expected}: open it on such a machine")]
    OtherMachine {
        /// This process's architecture.
        expected: Machine,
        /// The image's.
        found: Machine,
    },
    /// Its pages are of another size.
    #[error(
        "the image has pages of {found} bytes, and this process of {expected}: \
         open it on a system with pages of {found} bytes"
    )]
    OtherPageSize {
        /// This process's page size.
        expected: u32,
        /// The image's.
        found: u32,
    },
    /// Its arena lies elsewhere.
    #[error(
        "the image was made at base {found:#x}, and this process's arena is at {expected:#x}: \
         start the program with base {found:#x} (ProcessHeap::at)"
    )]
    OtherBase {
        /// This process's base.
        expected: u64,
        /// The image's.
        found: u64,
    },
    /// Its arena is longer or shorter.
    #[error(
        "the image's arena is {found:#x} bytes long, and this process's {expected:#x}: \
         start the program with an arena of the same length"
    )]
    OtherArenaLength {
        /// This process's length, in bytes.
        expected: u64,
        /// The image's.
        found: u64,
    },
    /// A file of another heap lies in the directory.
    #[error(
        "the file belongs to heap {found:032x}, and the directory to {expected:032x}: \
         put the right file back"
    )]
    OtherHeap {
        /// The directory's heap.
        expected: u128,
        /// The file's.
        found: u128,
    },
}

impl Identity {
    /// What a process must offer to use the image.
    #[must_use]
    pub fn host(&self) -> Host {
        let Self { base, arena_len, page_size, machine, .. } = *self;
        Host { base, arena_len, page_size, machine }
    }

    /// Whether a process can use the image.
    ///
    /// # Errors
    /// The first of machine, page size, base, arena length that differs.
    pub fn check(&self, host: &Host) -> Result<(), Mismatch> {
        if self.machine != host.machine {
            return Err(Mismatch::OtherMachine { expected: host.machine, found: self.machine });
        }
        if self.page_size != host.page_size {
            let (expected, found) = (host.page_size, self.page_size);
            return Err(Mismatch::OtherPageSize { expected, found });
        }
        if self.base != host.base {
            return Err(Mismatch::OtherBase { expected: host.base, found: self.base });
        }
        if self.arena_len != host.arena_len {
            let (expected, found) = (host.arena_len, self.arena_len);
            return Err(Mismatch::OtherArenaLength { expected, found });
        }
        Ok(())
    }

    /// Whether a file with the identity `found` belongs to this heap.
    pub(super) fn check_file(&self, found: &Self) -> Result<(), Mismatch> {
        if self.heap_id != found.heap_id {
            let (expected, found) = (self.heap_id, found.heap_id);
            return Err(Mismatch::OtherHeap { expected, found });
        }
        if found.page_size != PAGE_SIZE_FIELD {
            let expected = PAGE_SIZE_FIELD;
            return Err(Mismatch::OtherPageSize { expected, found: found.page_size });
        }
        found.check(&self.host())
    }

    /// The seed of the heap's page digests: a part of its id, which nobody knows who cannot read
    /// its files.
    #[must_use]
    pub fn digest_seed(&self) -> u64 {
        u64::try_from(self.heap_id & u128::from(u64::MAX)).unwrap_or(0)
    }

    /// Pages in the arena.
    pub(super) fn page_count(&self) -> u64 {
        self.arena_len / PAGE_SIZE as u64
    }

    pub(super) fn encode(&self, encoder: &mut Encoder) {
        encoder.u128(self.heap_id);
        encoder.u64(self.base);
        encoder.u64(self.arena_len);
        encoder.u32(self.page_size);
        encoder.u32(self.machine.0);
    }

    pub(super) fn decode(decoder: &mut Decoder<'_>) -> Result<Self, Defect> {
        let heap_id = decoder.u128("heap id")?;
        let at_base = decoder.offset();
        let base = decoder.u64("base address")?;
        let at_len = decoder.offset();
        let arena_len = decoder.u64("arena length")?;
        let page_size = decoder.u32("page size")?;
        let machine = Machine(decoder.u32("machine")?);
        let page = PAGE_SIZE as u64;
        check(
            base.is_multiple_of(page),
            "base address",
            at_base,
            format_args!("a multiple of {page}"),
            base,
        )?;
        let sound = arena_len > 0
            && arena_len.is_multiple_of(page)
            && arena_len / page <= 1 << 32
            && base.checked_add(arena_len).is_some();
        check(sound, "arena length", at_len, "1 to 2^32 pages below 2^64", arena_len)?;
        Ok(Self { heap_id, base, arena_len, page_size, machine })
    }
}

impl Machine {
    /// x86-64.
    pub const X86_64: Self = Self(62);
    /// 64-bit ARM.
    pub const AARCH64: Self = Self(183);
    /// 64-bit RISC-V.
    pub const RISCV64: Self = Self(243);

    /// The machine that this build is for.
    #[must_use]
    pub const fn current() -> Self {
        if cfg!(target_arch = "x86_64") {
            Self::X86_64
        } else if cfg!(target_arch = "aarch64") {
            Self::AARCH64
        } else if cfg!(target_arch = "riscv64") {
            Self::RISCV64
        } else {
            Self(0)
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::X86_64 => write!(f, "x86-64"),
            Self::AARCH64 => write!(f, "AArch64"),
            Self::RISCV64 => write!(f, "RISC-V 64"),
            Self(number) => write!(f, "machine {number} (ELF e_machine)"),
        }
    }
}

/// Refuses versions that this build does not read.
pub(super) fn check_version(found: u32) -> Result<(), Mismatch> {
    match found.cmp(&FORMAT_VERSION) {
        std::cmp::Ordering::Less => Err(Mismatch::OlderFormat { found }),
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => Err(Mismatch::NewerFormat { found }),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An identity for this layer's tests.
    pub(crate) fn identity() -> Identity {
        Identity {
            heap_id: 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff,
            base: 0x2000_0000_0000,
            arena_len: 16 << 40,
            page_size: 4096,
            machine: Machine::X86_64,
        }
    }

    #[test]
    fn every_difference_has_its_own_error() {
        let image = identity();
        let host = image.host();
        assert_eq!(image.check(&host), Ok(()));
        let refused = |host: Host| image.check(&host).unwrap_err();
        assert!(matches!(
            refused(Host { machine: Machine::AARCH64, ..host }),
            Mismatch::OtherMachine { .. }
        ));
        assert!(matches!(
            refused(Host { page_size: 16384, ..host }),
            Mismatch::OtherPageSize { .. }
        ));
        assert!(matches!(
            refused(Host { base: 0x3000_0000_0000, ..host }),
            Mismatch::OtherBase { .. }
        ));
        assert!(matches!(
            refused(Host { arena_len: 1 << 40, ..host }),
            Mismatch::OtherArenaLength { .. }
        ));
        let other = Identity { heap_id: 1, ..image };
        assert!(matches!(image.check_file(&other), Err(Mismatch::OtherHeap { .. })));
        assert_eq!(check_version(1), Err(Mismatch::OlderFormat { found: 1 }));
        assert_eq!(check_version(3), Err(Mismatch::NewerFormat { found: 3 }));
    }

    #[test]
    fn an_arena_that_wraps_is_refused() {
        for bad in [
            Identity { base: 0u64.wrapping_sub(4096), ..identity() },
            Identity { base: 1, ..identity() },
            Identity { arena_len: 0, ..identity() },
            Identity { arena_len: (16 << 40) + 4096, ..identity() },
        ] {
            let mut encoder = Encoder::default();
            bad.encode(&mut encoder);
            let bytes = encoder.into_bytes();
            assert_eq!(bytes.len(), IDENTITY_LEN);
            assert!(Identity::decode(&mut Decoder::new(&bytes)).is_err());
        }
    }
}
