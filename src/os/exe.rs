//! Where this program's executable lies in memory, and which build it is.
//!
//! "The executable" is the ELF object that holds this crate: the program itself, or the
//! shared library that the crate was linked into. Pointers into it move from run to run
//! with address-space randomisation, and mean something else in another build.
#![allow(unsafe_code, reason = "reads the dynamic linker's table of loaded objects")]

use std::ffi::{c_int, c_void};
use std::ops::Range;
use std::slice;

use crate::base::digest;
use once_cell::sync::OnceCell;

/// The address range and build of an executable, as a run saw it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExecutableIdentity {
    /// Address of its first mapped byte.
    pub start: u64,
    /// Bytes from the first mapped byte to the end of the last segment.
    pub len: u64,
    /// Digest of its GNU build id, or of its read-only segments where it carries none.
    pub build: u128,
}

impl ExecutableIdentity {
    /// That of the running program; found once, then remembered.
    ///
    /// # Panics
    /// If the dynamic linker does not list the object that this very code lies in.
    #[must_use]
    pub fn current() -> Self {
        static CURRENT: OnceCell<ExecutableIdentity> = OnceCell::new();
        *CURRENT.get_or_init(|| {
            find_object(anchor()).expect("the linker lists the object that holds this code")
        })
    }

    /// The addresses it covers.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.start..self.start.saturating_add(self.len)
    }
}

/// An address inside the object that holds this crate.
fn anchor() -> u64 {
    anchor as fn() -> u64 as usize as u64
}

struct Search {
    address: u64,
    found: Option<ExecutableIdentity>,
}

fn find_object(address: u64) -> Option<ExecutableIdentity> {
    let mut search = Search { address, found: None };
    // SAFETY: the callback matches the expected signature, and `search` outlives the call, which
    // passes it back only while it runs.
    unsafe { libc::dl_iterate_phdr(Some(examine), (&raw mut search).cast()) };
    search.found
}

/// Called by the linker for each loaded object; a non-zero answer ends the walk.
unsafe extern "C" fn examine(
    info: *mut libc::dl_phdr_info,
    _size: usize,
    data: *mut c_void,
) -> c_int {
    // SAFETY: `find_object` passes a `Search` that nobody else uses during the walk.
    let search = unsafe { &mut *data.cast::<Search>() };
    // SAFETY: the linker passes a valid description that lives for this call.
    let info = unsafe { &*info };
    // SAFETY: the linker's program headers are `dlpi_phnum` long and stay mapped with the object,
    // which cannot be unloaded while the walk holds the linker's lock.
    let headers = unsafe { slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
    let object = Object { bias: info.dlpi_addr, headers };
    search.found = object.identity_if_it_holds(search.address);
    c_int::from(search.found.is_some())
}

/// A loaded ELF object: its headers, and what must be added to their addresses.
struct Object<'a> {
    bias: u64,
    headers: &'a [libc::Elf64_Phdr],
}

impl Object<'_> {
    fn identity_if_it_holds(&self, address: u64) -> Option<ExecutableIdentity> {
        let loaded = || self.headers.iter().filter(|header| header.p_type == libc::PT_LOAD);
        loaded().find(|header| self.range(header).contains(&address))?;
        let start = loaded().map(|header| self.range(header).start).min()?;
        let end = loaded().map(|header| self.range(header).end).max()?;
        Some(ExecutableIdentity { start, len: end - start, build: self.build() })
    }

    fn range(&self, header: &libc::Elf64_Phdr) -> Range<u64> {
        let start = self.bias.wrapping_add(header.p_vaddr);
        start..start.saturating_add(header.p_memsz)
    }

    fn build(&self) -> u128 {
        let notes = self.headers.iter().filter(|header| header.p_type == libc::PT_NOTE);
        let id = notes.map(|header| self.bytes(header)).find_map(build_id);
        digest(&id.map_or_else(|| self.read_only_bytes(), <[u8]>::to_vec)).0
    }

    /// The digests of the segments that no relocation changes, one after the other.
    fn read_only_bytes(&self) -> Vec<u8> {
        let constant = self.headers.iter().filter(|header| {
            let flags = header.p_flags & (libc::PF_R | libc::PF_W);
            header.p_type == libc::PT_LOAD && flags == libc::PF_R
        });
        constant.flat_map(|header| digest(self.bytes(header)).0.to_le_bytes()).collect()
    }

    /// The bytes of a readable segment.
    fn bytes(&self, header: &libc::Elf64_Phdr) -> &[u8] {
        let range = self.range(header);
        let len = usize::try_from(range.end - range.start).unwrap_or(0);
        // SAFETY: only asked for PT_NOTE and for PT_LOAD segments that are readable and not
        // writable: mapped, constant, and kept while the walk holds the linker's lock.
        unsafe { slice::from_raw_parts(range.start as *const u8, len) }
    }
}

/// The descriptor of the note `GNU`, type 3 (`NT_GNU_BUILD_ID`), in a segment of notes.
fn build_id(mut notes: &[u8]) -> Option<&[u8]> {
    const BUILD_ID: u32 = 3;
    loop {
        let (header, rest) = notes.split_at_checked(12)?;
        let word = |at: usize| header.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
        let (name_len, len, kind) = (word(0)? as usize, word(4)? as usize, word(8)?);
        let (name, rest) = rest.split_at_checked(name_len.next_multiple_of(4))?;
        let descriptor = rest.get(..len)?;
        if kind == BUILD_ID && name.get(..name_len)? == b"GNU\0" {
            return Some(descriptor);
        }
        notes = rest.get(len.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executable_holds_its_literals_and_code() {
        let range = ExecutableIdentity::current().range();
        assert!(range.contains(&("a literal".as_ptr() as u64)));
        assert!(range.contains(&anchor()));
        let boxed = Box::new(1_u8);
        assert!(!range.contains(&((&raw const *boxed) as u64)));
    }

    #[test]
    fn the_build_is_the_same_each_time_and_not_zero() {
        let build = ExecutableIdentity::current().build;
        assert_eq!(find_object(anchor()).map(|found| found.build), Some(build));
        assert_ne!(build, 0);
    }

    #[test]
    fn an_address_outside_every_object_is_in_none() {
        assert_eq!(find_object(8), None);
    }

    #[test]
    fn build_ids_are_found_among_other_notes_and_damage_gives_none() {
        let mut notes = Vec::new();
        for (kind, descriptor) in [(1_u32, &b"abcde"[..]), (3, b"0123456789")] {
            notes.extend(4_u32.to_le_bytes());
            notes.extend(u32::try_from(descriptor.len()).unwrap().to_le_bytes());
            notes.extend(kind.to_le_bytes());
            notes.extend(b"GNU\0");
            notes.extend(descriptor);
            notes.resize(notes.len().next_multiple_of(4), 0);
        }
        assert_eq!(build_id(&notes), Some(&b"0123456789"[..]));
        for len in 0..notes.len() - 2 {
            assert_eq!(build_id(&notes[..len]), None);
        }
    }
}
