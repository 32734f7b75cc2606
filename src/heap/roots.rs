//! The superblock and the root table, in the first cell's header slot.
//!
//! ```text
//! 0x1000  magic "stillsup" u64 | version u32, 0 u32 | base u64 | main cells u32, boot cells u32
//! 0x4000  128 root entries of 256 bytes, all little-endian; a name of length 0: vacant
//!         name length u32, 0 u32 | name [96] | value u64 | size u64 | align u32 |
//!         schema length u32 | schema u64 | fingerprint u128 | program start u64 |
//!         program length u64 | program build u128 | zeros
//! ```
//! The caller sees to it that no snapshot is taken while an entry is written.

use crate::base::sync::AtomicU64;
use crate::base::sync::Ordering::Relaxed;
use crate::base::{CellIndex, PAGE_SIZE, PageIndex};
use crate::heap::Heap;
use crate::heap::check::Damage;

/// How many roots a heap can have.
pub const ROOTS_MAX: usize = 128;
/// How many bytes a root's name can have.
pub const NAME_MAX: usize = 96;

const SUPERBLOCK: usize = 0x1000;
const TABLE: usize = 0x4000;
const ENTRY_WORDS: usize = 32;
const ENTRY_BYTES: usize = ENTRY_WORDS * 8;
const MAGIC: u64 = u64::from_le_bytes(*b"stillsup");
const VERSION: u64 = 1;

/// An entry of the root table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RootRecord {
    name: [u8; NAME_MAX],
    name_len: u32,
    /// Address of the value.
    pub value: u64,
    /// Bytes of the value.
    pub size: u64,
    /// Its alignment in bytes.
    pub align: u32,
    /// Bytes of the stored schema.
    pub schema_len: u32,
    /// Address of the stored schema.
    pub schema: u64,
    /// Fingerprint of the schema.
    pub fingerprint: u128,
    /// First address of the program that last linked the value.
    pub program_start: u64,
    /// Its length in bytes.
    pub program_len: u64,
    /// Which build of the program it was.
    pub program_build: u128,
}

/// Why a root cannot be entered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RootTableError {
    /// All entries are taken.
    #[error(
        "the heap has {ROOTS_MAX} roots already, and cannot have more: put values together in one"
    )]
    Full,
    /// The name is empty or too long.
    #[error("a root's name has 1 to {NAME_MAX} bytes, this one has {len}")]
    Name {
        /// The name's length in bytes.
        len: usize,
    },
}

impl RootRecord {
    /// A record with that name, and nothing else yet.
    ///
    /// # Errors
    /// If the name is empty or longer than 96 bytes.
    pub fn named(name: &str) -> Result<Self, RootTableError> {
        let len = name.len();
        let error = RootTableError::Name { len };
        let name_len = u32::try_from(len).map_err(|_| error)?;
        let mut bytes = [0; NAME_MAX];
        match bytes.get_mut(..len) {
            Some(place) if len > 0 => place.copy_from_slice(name.as_bytes()),
            _ => return Err(error),
        }
        Ok(Self {
            name: bytes,
            name_len,
            value: 0,
            size: 0,
            align: 1,
            schema_len: 0,
            schema: 0,
            fingerprint: 0,
            program_start: 0,
            program_len: 0,
            program_build: 0,
        })
    }

    /// The root's name.
    #[must_use]
    pub fn name(&self) -> &str {
        let bytes = self.name.get(..self.name_len as usize).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }

    /// The pages of an image that hold the root table, by their numbers there.
    pub fn table_pages() -> impl Iterator<Item = PageIndex> {
        let first = CellIndex(0).first_page().0;
        let page = |bytes: usize| u32::try_from(bytes / PAGE_SIZE).unwrap_or(0);
        (page(TABLE)..page(TABLE + ROOTS_MAX * ENTRY_BYTES)).map(move |n| PageIndex(first + n))
    }

    /// The roots in such a page.
    pub fn all_in(page: &[u8]) -> impl Iterator<Item = Self> {
        let entries = page.as_chunks::<ENTRY_BYTES>().0.iter();
        entries.map(Self::from_bytes).filter(|record| record.name_len != 0)
    }

    fn to_bytes(self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        let mut at = 0;
        let mut put = |field: &[u8]| {
            bytes[at..at + field.len()].copy_from_slice(field);
            at += field.len();
        };
        put(&self.name_len.to_le_bytes());
        put(&[0; 4]);
        put(&self.name);
        put(&self.value.to_le_bytes());
        put(&self.size.to_le_bytes());
        put(&self.align.to_le_bytes());
        put(&self.schema_len.to_le_bytes());
        put(&self.schema.to_le_bytes());
        put(&self.fingerprint.to_le_bytes());
        put(&self.program_start.to_le_bytes());
        put(&self.program_len.to_le_bytes());
        put(&self.program_build.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; ENTRY_BYTES]) -> Self {
        let mut rest = &bytes[..];
        Self {
            name_len: {
                let len = u32::from_le_bytes(take(&mut rest));
                let _zero: [u8; 4] = take(&mut rest);
                len
            },
            name: take(&mut rest),
            value: u64::from_le_bytes(take(&mut rest)),
            size: u64::from_le_bytes(take(&mut rest)),
            align: u32::from_le_bytes(take(&mut rest)),
            schema_len: u32::from_le_bytes(take(&mut rest)),
            schema: u64::from_le_bytes(take(&mut rest)),
            fingerprint: u128::from_le_bytes(take(&mut rest)),
            program_start: u64::from_le_bytes(take(&mut rest)),
            program_len: u64::from_le_bytes(take(&mut rest)),
            program_build: u128::from_le_bytes(take(&mut rest)),
        }
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    match rest.split_first_chunk::<N>() {
        Some((field, after)) => {
            *rest = after;
            *field
        }
        None => [0; N],
    }
}

impl Heap {
    /// The root with that name, and its place in the table.
    #[must_use]
    pub fn find_root(&self, name: &str) -> Option<(usize, RootRecord)> {
        self.roots().find(|(_, record)| record.name() == name)
    }

    /// All roots, by their places in the table.
    pub fn roots(&self) -> impl Iterator<Item = (usize, RootRecord)> {
        (0..ROOTS_MAX).filter_map(|index| Some((index, self.read_root(index)?)))
    }

    /// Enters a root, in place of the one with its name if there is one.
    ///
    /// # Errors
    /// If the table is full. The heap must have been founded or adopted.
    pub fn put_root(&self, record: &RootRecord) -> Result<(), RootTableError> {
        let _shared = self.lock();
        let vacant = || (0..ROOTS_MAX).find(|&index| self.read_root(index).is_none());
        let place = self.find_root(record.name()).map(|(index, _)| index).or_else(vacant);
        let index = place.ok_or(RootTableError::Full)?;
        let words = self.entry(index).ok_or(RootTableError::Full)?;
        let bytes = record.to_bytes();
        self.arena.announce_header(CellIndex(0), TABLE + index * ENTRY_BYTES, ENTRY_BYTES);
        for (word, bytes) in words.iter().zip(bytes.as_chunks::<8>().0) {
            word.store(u64::from_le_bytes(*bytes), Relaxed);
        }
        Ok(())
    }

    /// Takes a root's entry out of the table. Its value and schema stay in use. `None`: there is no
    /// such root.
    pub fn remove_root(&self, name: &str) -> Option<RootRecord> {
        let _shared = self.lock();
        let (index, record) = self.find_root(name)?;
        self.arena.announce_header(CellIndex(0), TABLE + index * ENTRY_BYTES, ENTRY_BYTES);
        self.entry(index)?.iter().for_each(|word| word.store(0, Relaxed));
        Some(record)
    }

    fn read_root(&self, index: usize) -> Option<RootRecord> {
        let mut bytes = [0; ENTRY_BYTES];
        for (word, bytes) in self.entry(index)?.iter().zip(bytes.as_chunks_mut::<8>().0) {
            *bytes = word.load(Relaxed).to_le_bytes();
        }
        let record = RootRecord::from_bytes(&bytes);
        (record.name_len != 0).then_some(record)
    }

    pub(super) fn write_superblock(&self) {
        let Some(words) = self.arena.header_words(CellIndex(0), SUPERBLOCK, 4) else { return };
        self.arena.announce_header(CellIndex(0), SUPERBLOCK, 32);
        for (word, value) in words.iter().zip(self.superblock()) {
            word.store(value.1, Relaxed);
        }
    }

    pub(super) fn check_superblock(&self) -> Result<(), Damage> {
        let Some(words) = self.arena.header_words(CellIndex(0), SUPERBLOCK, 4) else {
            return Err(Damage::NoFirstCell);
        };
        for (word, (what, expected)) in words.iter().zip(self.superblock()) {
            let found = word.load(Relaxed);
            if found != expected {
                return Err(Damage::Superblock { what, expected, found });
            }
        }
        Ok(())
    }

    /// Every entry is vacant, or names live blocks that are large enough.
    pub(super) fn check_roots(&self) -> Result<(), Damage> {
        for (index, record) in self.roots() {
            let wrong = |what, found| Damage::Root { index, what, found };
            if record.name().is_empty() {
                return Err(wrong("its name is no text of that length", record.name_len.into()));
            }
            if !record.align.is_power_of_two() || !record.value.is_multiple_of(record.align.into())
            {
                return Err(wrong("its value is not aligned", record.value));
            }
            if !self.holds(record.value, record.size) {
                return Err(wrong("its value is not a block in use, or too small", record.value));
            }
            if !self.holds(record.schema, record.schema_len.into()) {
                return Err(wrong("its schema is not a block in use, or too small", record.schema));
            }
            if self.find_root(record.name()).is_some_and(|(first, _)| first != index) {
                return Err(wrong("another root has the same name", record.name_len.into()));
            }
        }
        Ok(())
    }

    /// Whether a block in use starts at `address` and holds `len` bytes.
    fn holds(&self, address: u64, len: u64) -> bool {
        let Ok(address) = usize::try_from(address) else { return false };
        self.is_live_block(address)
            && self.usable_size(address).is_ok_and(|usable| usable as u64 >= len)
    }

    fn superblock(&self) -> [(&'static str, u64); 4] {
        let config = self.arena.config();
        let cells = u64::from(config.main_cells) | u64::from(config.boot_cells) << 32;
        [
            ("magic", MAGIC),
            ("version", VERSION),
            ("base address", config.base as u64),
            ("numbers of cells", cells),
        ]
    }

    fn entry(&self, index: usize) -> Option<&[AtomicU64]> {
        self.arena.header_words(CellIndex(0), TABLE + index * ENTRY_BYTES, ENTRY_WORDS)
    }
}
