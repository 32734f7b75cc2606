//! How the kernel is asked which pages have been written: userfaultfd's asynchronous write
//! protection, and the call PAGEMAP_SCAN, of Linux 6.7 and later.
//!
//! A page counts as written if it is there, is not the common page of zeros, and is not protected.
//! A scan protects what it has found; the first write to it takes the protection away, in the
//! kernel.
#![allow(unsafe_code, reason = "speaks to the kernel by system calls without wrappers")]

use std::fs::File;
use std::io;
use std::mem::size_of;
use std::ops::Range;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const UFFD_USER_MODE_ONLY: libc::c_int = 1;
const UFFD_API: u64 = 0xaa;
const UFFD_FEATURES: u64 = 1 | 1 << 13 | 1 << 15; // Flags in faults, unpopulated pages, async.
const UFFDIO_API: libc::Ioctl = 0xc018_aa3f;
const UFFDIO_REGISTER: libc::Ioctl = 0xc020_aa00;
const REGISTER_MODE_WP: u64 = 2;
const PAGEMAP_SCAN: libc::Ioctl = 0xc060_6610;
const WRITTEN: u64 = 1 << 1;
const ZERO: u64 = 1 << 5;
/// Protect what is found, and fail where that is not possible.
const PROTECT: u64 = 1 | 2;

#[repr(C)]
struct Api {
    api: u64,
    features: u64,
    ioctls: u64,
}

#[repr(C)]
struct Register {
    start: u64,
    len: u64,
    mode: u64,
    ioctls: u64,
}

#[repr(C)]
#[derive(Default)]
struct Scan {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    found: u64,
    found_len: u64,
    max_pages: u64,
    inverted: u64,
    wanted: u64,
    any_of: u64,
    told: u64,
}

/// A run of pages that a scan has found.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct Found {
    start: u64,
    end: u64,
    categories: u64,
}

/// The two files that the kernel is asked through.
pub(super) struct Kernel {
    faults: OwnedFd,
    pagemap: File,
}

impl Kernel {
    /// # Errors
    /// If the kernel lacks something, or does not allow it.
    pub(super) fn open() -> io::Result<Self> {
        let flags = libc::O_CLOEXEC | UFFD_USER_MODE_ONLY;
        // SAFETY: a system call that takes no memory.
        let fd = unsafe { libc::syscall(libc::SYS_userfaultfd, flags) };
        let fd =
            i32::try_from(fd).ok().filter(|&fd| fd >= 0).ok_or_else(io::Error::last_os_error)?;
        // SAFETY: the file has just been opened, and nobody else has it.
        let faults = unsafe { OwnedFd::from_raw_fd(fd) };
        let mut api = Api { api: UFFD_API, features: UFFD_FEATURES, ioctls: 0 };
        // SAFETY: the request's own structure, as the kernel defines it.
        let result = unsafe { libc::ioctl(faults.as_raw_fd(), UFFDIO_API, &raw mut api) };
        checked(result)?;
        Ok(Self { faults, pagemap: File::open("/proc/self/pagemap")? })
    }

    /// Has writes to a private mapping noticed from the next scan on that protects it.
    pub(super) fn register(&self, range: &Range<usize>) -> io::Result<()> {
        let (start, len) = (range.start as u64, range.len() as u64);
        let mut register = Register { start, len, mode: REGISTER_MODE_WP, ioctls: 0 };
        let fd = self.faults.as_raw_fd();
        // SAFETY: the request's own structure. Faults are resolved by the kernel without anybody's
        // help, so the memory stays usable as it is.
        let result = unsafe { libc::ioctl(fd, UFFDIO_REGISTER, &raw mut register) };
        checked(result).map(drop)
    }

    /// Calls `each` for the runs of written pages, and protects them if `protect` says so.
    ///
    /// # Errors
    /// `PermissionDenied` if they are to be protected, and the range is not registered.
    pub(super) fn scan(
        &self,
        range: &Range<usize>,
        protect: bool,
        found: &mut [Found],
        mut each: impl FnMut(Range<usize>),
    ) -> io::Result<()> {
        let mut start = range.start as u64;
        while start < range.end as u64 {
            let mut scan = Scan {
                size: size_of::<Scan>() as u64,
                flags: if protect { PROTECT } else { 0 },
                start,
                end: range.end as u64,
                found: found.as_mut_ptr().expose_provenance() as u64,
                found_len: found.len() as u64,
                inverted: ZERO,
                wanted: WRITTEN | ZERO,
                told: WRITTEN,
                ..Scan::default()
            };
            let fd = self.pagemap.as_raw_fd();
            // SAFETY: the request's own structure; the kernel writes to no more of the slice, which
            // is borrowed exclusively, than its length says.
            let result = unsafe { libc::ioctl(fd, PAGEMAP_SCAN, &raw mut scan) };
            for run in &found[..checked(result)?] {
                each(run.start as usize..run.end as usize);
            }
            start = scan.walk_end;
        }
        Ok(())
    }
}

fn checked(result: libc::c_int) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// Whether this process gets no huge pages.
pub(super) fn has_small_pages_only() -> bool {
    // SAFETY: a question without pointers.
    unsafe { libc::prctl(libc::PR_GET_THP_DISABLE, 0, 0, 0, 0) == 1 }
}

/// Decides whether this process, and those it starts, get huge pages.
///
/// # Errors
/// If the kernel refuses.
pub fn set_huge_pages(allowed: bool) -> io::Result<()> {
    let disable = libc::c_ulong::from(!allowed);
    // SAFETY: takes no pointers, and changes no contents of memory.
    checked(unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, disable, 0, 0, 0) }).map(drop)
}
