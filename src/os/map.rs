//! Address space: reserving it, giving it memory, taking memory back.
//!
//! Common to all calls: addresses and lengths are multiples of the page size; nothing here
//! allocates, so the allocator may call it. Those that replace a mapping are `unsafe`: they
//! destroy what lies there, so the caller must own the range.
#![allow(unsafe_code, reason = "this is the door to mmap and its kin")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

/// Address space without memory: anonymous, not accounted, faulting on any access.
const RESERVED: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
const READ_WRITE: i32 = libc::PROT_READ | libc::PROT_WRITE;

/// A range of address space that nobody else in the process maps; given back on drop.
#[derive(Debug)]
pub struct Reservation {
    start: usize,
    len: usize,
}

impl Reservation {
    /// Reserves exactly `start..start + len`.
    ///
    /// # Errors
    /// `EEXIST` (`AlreadyExists`) if anything in the range is mapped, or what the kernel says
    /// (`ENOMEM` under a limit of the address space).
    pub fn at(start: usize, len: usize) -> io::Result<Self> {
        let found = map(start, len, libc::PROT_NONE, RESERVED | libc::MAP_FIXED_NOREPLACE)?;
        let reservation = Self { start: found, len };
        // Kernels before 4.17 take the flag for a hint and map elsewhere.
        if found == start { Ok(reservation) } else { Err(io::ErrorKind::AlreadyExists.into()) }
    }

    /// Reserves `len` bytes anywhere, at a multiple of `align` (a power of two).
    ///
    /// # Errors
    /// What the kernel says.
    pub fn anywhere(len: usize, align: usize) -> io::Result<Self> {
        let padded = len.checked_add(align).ok_or(io::ErrorKind::OutOfMemory)?;
        let found = map(0, padded, libc::PROT_NONE, RESERVED)?;
        let start = found.next_multiple_of(align);
        let (before, after) = (start - found, padded - len - (start - found));
        unmap(found, before);
        unmap(start + len, after);
        Ok(Self { start, len })
    }

    /// The first address.
    #[must_use]
    pub fn start(&self) -> usize {
        self.start
    }

    /// Bytes reserved.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it is empty. It never is: the kernel refuses to map nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        unmap(self.start, self.len);
    }
}

/// A mark that forks lose. A `vfork`, which shares all memory, does not.
#[derive(Debug)]
pub struct ForkMark(Reservation);

impl ForkMark {
    /// A mark of this process's. Kernels before 4.14 cannot make one that forks lose.
    ///
    /// # Errors
    /// What the system says when it refuses a page.
    pub fn new() -> io::Result<Self> {
        let page = page_size();
        let mark = Self(Reservation::anywhere(page, page)?);
        // SAFETY: the reservation just made.
        unsafe { commit(mark.0.start, page)? };
        let address = ptr::without_provenance_mut(mark.0.start);
        // SAFETY: nothing lies there yet.
        let _ = unsafe { libc::madvise(address, page, libc::MADV_WIPEONFORK) };
        mark.renew();
        Ok(mark)
    }

    /// Whether this process is a fork of the one that made, or last renewed, the mark.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.word().load(Ordering::Relaxed) == 0
    }

    /// Makes it the calling process's.
    pub fn renew(&self) {
        self.word().store(1, Ordering::Relaxed);
    }

    fn word(&self) -> &AtomicU32 {
        let word: *const AtomicU32 = ptr::with_exposed_provenance(self.0.start);
        // SAFETY: committed memory of our own, in which any bytes are a valid word.
        unsafe { &*word }
    }
}

/// Makes a reserved range readable and writable; untouched pages read as zero.
///
/// # Errors
/// What the kernel says (`ENOMEM` when the process has too many mappings).
///
/// # Safety
/// The range lies in a reservation of the caller's.
pub unsafe fn commit(start: usize, len: usize) -> io::Result<()> {
    // SAFETY: changes the protection of a range that the caller owns; grants access, takes none.
    check(unsafe { libc::mprotect(ptr::without_provenance_mut(start), len, READ_WRITE) })
}

/// What may be done with memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protection {
    /// Reading alone: a write raises SIGSEGV.
    ReadOnly,
    /// Reading and writing.
    Writable,
}

/// Changes what may be done with a range. Neighbouring ranges that then agree become one
/// mapping of the kernel's, ranges that then differ become two.
///
/// # Errors
/// What the kernel says (`ENOMEM` when the process has too many mappings).
///
/// # Safety
/// The range is committed memory of the caller's, and who writes to it meanwhile is prepared
/// for a SIGSEGV.
pub unsafe fn protect(start: usize, len: usize, protection: Protection) -> io::Result<()> {
    let bits = match protection {
        Protection::ReadOnly => libc::PROT_READ,
        Protection::Writable => READ_WRITE,
    };
    // SAFETY: changes the protection of a range that the caller owns.
    check(unsafe { libc::mprotect(ptr::without_provenance_mut(start), len, bits) })
}

/// Moves the memory of one range over another, which loses its own; the source stays mapped,
/// without memory. (Kernels before 5.7 cannot do that.)
///
/// # Errors
/// What the kernel says; both ranges are then as they were, or as good as.
///
/// # Safety
/// Both ranges are the caller's, and nobody has a use for the destination's old contents.
pub unsafe fn move_over(source: usize, len: usize, destination: usize) -> io::Result<()> {
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED | libc::MREMAP_DONTUNMAP;
    let source: *mut libc::c_void = ptr::without_provenance_mut(source);
    let destination: *mut libc::c_void = ptr::without_provenance_mut(destination);
    // SAFETY: replaces what lies at the destination, which the caller owns.
    let found = unsafe { libc::mremap(source, len, len, flags, destination) };
    if found == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The same for a source that may consist of several mappings, or of none: that is refused before
/// anything is touched.
///
/// # Errors
/// As [`move_over`].
///
/// # Safety
/// As for [`move_over`].
pub unsafe fn move_over_if_one(source: usize, len: usize, destination: usize) -> io::Result<()> {
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_DONTUNMAP;
    let source: *mut libc::c_void = ptr::without_provenance_mut(source);
    // SAFETY: the kernel finds a place that nobody uses, and takes the source's memory there.
    let between = unsafe { libc::mremap(source, len, len, flags, ptr::null_mut::<libc::c_void>()) };
    if between == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
    let destination: *mut libc::c_void = ptr::without_provenance_mut(destination);
    // SAFETY: replaces what lies at the destination, which the caller owns.
    if unsafe { libc::mremap(between, len, len, flags, destination) } == libc::MAP_FAILED {
        let error = io::Error::last_os_error();
        // SAFETY: as above, back to where it was.
        unsafe { libc::mremap(between, len, len, flags, source) };
        return Err(error);
    }
    Ok(())
}

/// Reads a mapped file's pages in, so that who reads them next does not wait for the disk. A
/// kernel that cannot do that (before 5.14) leaves it to the reads.
///
/// # Errors
/// If a read would raise SIGBUS: the disk does not give the page, the file ends before it, or a
/// file system in memory is full and has a hole there.
pub fn fetch(start: usize, len: usize) -> io::Result<()> {
    let at = ptr::without_provenance_mut(start);
    // SAFETY: changes no contents.
    if unsafe { libc::madvise(at, len, libc::MADV_POPULATE_READ) } == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        // "Bad address" would be said of the caller's.
        Some(libc::EFAULT) => Err(io::Error::other("its pages cannot be had in memory")),
        Some(libc::EHWPOISON) => Err(error),
        _ => Ok(()),
    }
}

/// Whether anything is mapped in all of a range; `true` also if the system does not say.
#[must_use]
pub fn is_mapped(start: usize, len: usize) -> bool {
    // SAFETY: changes nothing; the system refuses ranges with holes.
    let synced = unsafe { libc::msync(ptr::without_provenance_mut(start), len, libc::MS_ASYNC) };
    synced == 0 || io::Error::last_os_error().raw_os_error() != Some(libc::ENOMEM)
}

/// Replaces a range by fresh anonymous memory, zero, readable and writable.
///
/// # Errors
/// What the kernel says; the range is then in doubt and must not be used.
///
/// # Safety
/// The range lies in a reservation of the caller's, and nothing refers to its contents.
pub unsafe fn renew(start: usize, len: usize) -> io::Result<()> {
    map(start, len, READ_WRITE, RESERVED | libc::MAP_FIXED).map(drop)
}

/// Turns a range back into bare address space.
///
/// # Errors
/// What the kernel says.
///
/// # Safety
/// As for [`renew`].
pub unsafe fn decommit(start: usize, len: usize) -> io::Result<()> {
    map(start, len, libc::PROT_NONE, RESERVED | libc::MAP_FIXED).map(drop)
}

/// Gives the memory of an anonymous range back to the system; it reads as zero afterwards.
///
/// # Errors
/// What the kernel says.
///
/// # Safety
/// As for [`renew`]; and the range is anonymous memory, since a file mapping would show the
/// file's bytes again.
pub unsafe fn discard(start: usize, len: usize) -> io::Result<()> {
    let address = ptr::without_provenance_mut(start);
    // SAFETY: nothing refers to the contents, says the caller.
    check(unsafe { libc::madvise(address, len, libc::MADV_DONTNEED) })
}

/// Maps `len` bytes of `file` from `offset` on at `start`, private to this process, writable.
///
/// # Errors
/// What the kernel says.
///
/// # Safety
/// As for [`renew`]; and the file is never shortened or changed while it is mapped.
pub unsafe fn map_file(
    start: usize,
    len: usize,
    file: BorrowedFd<'_>,
    offset: u64,
) -> io::Result<()> {
    let flags = libc::MAP_PRIVATE | libc::MAP_FIXED | libc::MAP_NORESERVE;
    let offset = i64::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
    let address = ptr::without_provenance_mut(start);
    // SAFETY: MAP_FIXED replaces what lies in the range, which the caller owns.
    let found = unsafe { libc::mmap(address, len, READ_WRITE, flags, file.as_raw_fd(), offset) };
    if found == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    found.expose_provenance();
    Ok(())
}

/// Asks for huge pages (or for none) in a range; a kernel without them ignores it.
pub fn advise_huge(start: usize, len: usize, huge: bool) {
    let advice = if huge { libc::MADV_HUGEPAGE } else { libc::MADV_NOHUGEPAGE };
    // SAFETY: this advice changes how memory is backed, never what it holds.
    let _ = unsafe { libc::madvise(ptr::without_provenance_mut(start), len, advice) };
}

/// The system's page size in bytes.
#[must_use]
pub fn page_size() -> usize {
    // SAFETY: sysconf only reads.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(0)
}

fn map(start: usize, len: usize, protection: i32, flags: i32) -> io::Result<usize> {
    let address = ptr::without_provenance_mut(start);
    // SAFETY: without MAP_FIXED nothing is replaced; with it, the callers above own the range.
    let found = unsafe { libc::mmap(address, len, protection, flags, -1, 0) };
    if found == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    Ok(found.expose_provenance())
}

fn unmap(start: usize, len: usize) {
    if len > 0 {
        // SAFETY: called on parts of a reservation that is being given up.
        let _ = unsafe { libc::munmap(ptr::without_provenance_mut(start), len) };
    }
}

fn check(result: i32) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_seen() {
        let range = Reservation::anywhere(2 << 20, 1 << 20).unwrap();
        assert!(is_mapped(range.start(), range.len()));
        unmap(range.start() + 8192, 4096);
        assert!(!is_mapped(range.start(), range.len()));
    }

    #[test]
    fn a_taken_range_is_refused() {
        let first = Reservation::anywhere(1 << 20, 1 << 20).unwrap();
        assert_eq!(first.start() % (1 << 20), 0);
        let second = Reservation::at(first.start(), 4096);
        assert_eq!(second.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }
}
