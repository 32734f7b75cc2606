//! Bytes from one file to another, within the kernel where the file system can: it may share
//! blocks instead of copying them, and nothing passes through this process.
//!
//! Invariant: success means that every byte arrived. What the kernel refuses, or stops short
//! of without saying why, is read and written instead, and that call's error is the answer.
#![allow(unsafe_code, reason = "copy_file_range, which std lacks")]

use std::{fs, io, os::fd::AsRawFd, os::unix::fs::FileExt};

/// What one call is asked for at most: some kernels mishandle sums near the ends of types.
const CALL_MAX: u64 = 1 << 30;
/// What is read at once where the kernel does not copy.
const BUFFER: u64 = 1 << 20;

/// A part of a file, and where it goes in another one.
#[derive(Debug, Clone, Copy)]
struct Part {
    from: u64,
    to: u64,
    len: u64,
}

impl Part {
    /// `None` if an end lies beyond what a file can have.
    fn new(from: u64, to: u64, len: u64) -> Option<Self> {
        let fits = |start: u64| i64::try_from(start.checked_add(len)?).ok();
        fits(from).and(fits(to)).map(|_| Self { from, to, len })
    }

    fn skip(&mut self, count: u64) {
        self.from += count;
        self.to += count;
        self.len -= count;
    }
}

/// Copies `len` bytes at `from` in `source` to `to` in `file`.
///
/// # Errors
/// `UnexpectedEof` if the source ends before; else those of reading and writing. Some of the
/// bytes may have been written.
pub(super) fn copy(
    file: &fs::File,
    to: u64,
    source: &fs::File,
    from: u64,
    len: u64,
) -> io::Result<()> {
    let mut part = Part::new(from, to, len).ok_or(io::ErrorKind::InvalidInput)?;
    while part.len > 0 {
        match copy_in_kernel(file, source, part) {
            Ok(0) => break,
            Ok(count) => part.skip(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if is_refusal(&error) => break,
            Err(error) => return Err(error),
        }
    }
    copy_through_memory(file, source, part)
}

/// How many bytes were copied: no more than were asked for, and none at the source's end.
fn copy_in_kernel(file: &fs::File, source: &fs::File, part: Part) -> io::Result<u64> {
    let too_far = |_| io::ErrorKind::InvalidInput;
    let mut from = i64::try_from(part.from).map_err(too_far)?;
    let mut to = i64::try_from(part.to).map_err(too_far)?;
    let len = usize::try_from(part.len.min(CALL_MAX)).map_err(too_far)?;
    let (source, file) = (source.as_raw_fd(), file.as_raw_fd());
    // SAFETY: open descriptors, and two offsets of ours that the kernel may move. The files'
    // own positions stay.
    let copied = unsafe { libc::copy_file_range(source, &raw mut from, file, &raw mut to, len, 0) };
    u64::try_from(copied).map_err(|_| io::Error::last_os_error())
}

/// Whether the error says that these two files cannot be copied so, and not that copying failed.
fn is_refusal(error: &io::Error) -> bool {
    let refusals = [
        libc::EXDEV,
        libc::EINVAL,
        libc::ENOSYS,
        libc::EOPNOTSUPP,
        libc::EPERM,
        libc::ETXTBSY,
        libc::EBUSY,
    ];
    error.raw_os_error().is_some_and(|errno| refusals.contains(&errno))
}

fn copy_through_memory(file: &fs::File, source: &fs::File, mut part: Part) -> io::Result<()> {
    let too_long = |_| io::ErrorKind::InvalidInput;
    let mut buffer = vec![0; usize::try_from(part.len.min(BUFFER)).map_err(too_long)?];
    while part.len > 0 {
        let count = part.len.min(BUFFER);
        let bytes = &mut buffer[..usize::try_from(count).map_err(too_long)?];
        source.read_exact_at(bytes, part.from)?;
        file.write_all_at(bytes, part.to)?;
        part.skip(count);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{ErrorKind, Read, Write};

    const LEN: u64 = 2 * BUFFER + 100;

    /// A file of bytes that repeat only after 251 of them.
    fn source() -> (fs::File, Vec<u8>) {
        let bytes: Vec<u8> = (0..LEN).map(|at| (at % 251) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        (file, bytes)
    }

    fn contents(file: &fs::File) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    #[test]
    fn the_part_asked_for_arrives_where_it_was_asked_for_in_either_way() {
        let (source, bytes) = source();
        for in_kernel in [true, false] {
            let file = tempfile::tempfile().unwrap();
            let part = Part::new(17, 5000, LEN - 20).unwrap();
            if in_kernel {
                copy(&file, part.to, &source, part.from, part.len).unwrap();
            } else {
                copy_through_memory(&file, &source, part).unwrap();
            }
            let found = contents(&file);
            assert_eq!(found[..5000], [0; 5000]);
            assert_eq!(found[5000..], bytes[17..bytes.len() - 3]);
        }
    }

    #[test]
    fn a_source_that_ends_too_soon_is_an_error() {
        let (source, _) = source();
        let file = tempfile::tempfile().unwrap();
        for (from, len) in [(0, LEN + 1), (LEN, 1), (LEN + 1, 1), (LEN - BUFFER, 2 * BUFFER)] {
            let error = copy(&file, 0, &source, from, len).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{len} bytes at {from}");
        }
        copy(&file, 0, &source, LEN + 1, 0).unwrap();
    }

    #[test]
    fn a_file_that_the_kernel_will_not_copy_is_read() {
        // It has a length of zero, so the kernel takes its start for its end, or refuses.
        let mut source = fs::File::open("/proc/self/cmdline").unwrap();
        let mut expected = Vec::new();
        source.read_to_end(&mut expected).unwrap();
        let file = tempfile::tempfile().unwrap();
        copy(&file, 0, &source, 0, expected.len() as u64).unwrap();
        assert_eq!(contents(&file), expected);
    }

    #[test]
    fn offsets_that_no_file_has_are_refused_and_errors_are_told() {
        let (source, _) = source();
        let file = tempfile::tempfile().unwrap();
        for (to, from, len) in [(u64::MAX, 0, 1), (0, u64::MAX, 1), (0, 1, i64::MAX as u64)] {
            let error = copy(&file, to, &source, from, len).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{len} bytes from {from} to {to}");
        }
        let read_only = fs::File::open("/proc/self/cmdline").unwrap();
        let error = copy(&read_only, 0, &source, 0, 1).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EBADF));
        assert!(is_refusal(&io::Error::from_raw_os_error(libc::EXDEV)));
        assert!(!is_refusal(&io::Error::from_raw_os_error(libc::ENOSPC)));
    }
}
