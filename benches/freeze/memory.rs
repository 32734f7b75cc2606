//! The memory of this process's heap, for those who save it without stillheap: which of it is
//! in use, and what can be done to it.
#![allow(unsafe_code, reason = "copies, protects and writes memory by its addresses")]

use crate::timeline;
use std::io;
use std::ops::Range;
use std::ptr;
use stillheap::os;

/// Where the heap lies.
const ARENA: Range<usize> = 0x2000_0000_0000..0x3000_0000_0000;
/// What is taken together: a huge page.
const CHUNK: usize = 2 << 20;
const PAGE: usize = 4096;

/// The runs of chunks of which at least one page is in memory.
pub(crate) fn in_use() -> io::Result<Vec<Range<usize>>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for mapping in os::occupants(ARENA)? {
        if !mapping.access.starts_with("rw") {
            continue;
        }
        let Range { start, end } = mapping.addresses;
        for chunk in (start / CHUNK * CHUNK..end).step_by(CHUNK) {
            let part = chunk.max(start)..end.min(chunk + CHUNK);
            if !is_resident(&part)? {
                continue;
            }
            match runs.last_mut() {
                Some(run) if run.end == part.start => run.end = part.end,
                _ => runs.push(part),
            }
        }
    }
    Ok(runs)
}

/// Memory outside the heap that can hold `len` bytes, all of it there.
pub(crate) fn buffer(len: usize) -> io::Result<ptr::NonNull<u8>> {
    let buffer = timeline::map(len)?;
    os::map::advise_huge(buffer.addr().get(), len, true);
    // SAFETY: the mapping is that long, and nobody else's.
    unsafe { buffer.write_bytes(1, len) };
    Ok(buffer)
}

/// Copies all runs to `buffer`, which is long enough.
///
/// # Safety
/// Nobody writes to the runs.
pub(crate) unsafe fn copy(runs: &[Range<usize>], buffer: ptr::NonNull<u8>) {
    let mut to = buffer;
    for run in runs {
        let from = ptr::with_exposed_provenance::<u8>(run.start);
        // SAFETY: the run is mapped readable, and the buffer lies outside the heap.
        unsafe { ptr::copy_nonoverlapping(from, to.as_ptr(), run.len()) };
        // SAFETY: the buffer is as long as all runs together.
        to = unsafe { to.add(run.len()) };
    }
}

/// Makes all runs read-only, or writable again.
pub(crate) fn protect(runs: &[Range<usize>], writable: bool) -> bool {
    let access = if writable { libc::PROT_READ | libc::PROT_WRITE } else { libc::PROT_READ };
    runs.iter().all(|run| {
        let start = ptr::with_exposed_provenance_mut(run.start);
        // SAFETY: read-only memory that is written to ends the process, with no other harm.
        unsafe { libc::mprotect(start, run.len(), access) == 0 }
    })
}

/// Writes all runs to a file. Allocates nothing: the caller may be a fork.
pub(crate) fn write(runs: &[Range<usize>], file: i32) -> bool {
    let whole = runs.iter().all(|run| {
        let mut at = run.start;
        while at < run.end {
            let from = ptr::with_exposed_provenance(at);
            // SAFETY: the run is mapped readable.
            match unsafe { libc::write(file, from, run.end - at) } {
                written @ 1.. => at += written as usize,
                _ => return false,
            }
        }
        true
    });
    // SAFETY: takes a number only.
    whole && unsafe { libc::fsync(file) == 0 }
}

fn is_resident(part: &Range<usize>) -> io::Result<bool> {
    let mut pages = [0_u8; CHUNK / PAGE];
    let start = ptr::with_exposed_provenance_mut(part.start);
    // SAFETY: writes a byte for each page of a part that is no longer than a chunk.
    match unsafe { libc::mincore(start, part.len(), pages.as_mut_ptr()) } {
        0 => Ok(pages.iter().any(|page| page & 1 == 1)),
        _ => Err(io::Error::last_os_error()),
    }
}
