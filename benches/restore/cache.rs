//! What of a folder's files is in the page cache.
#![allow(unsafe_code, reason = "a system call that std lacks")]

use crate::shared::Error;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

/// Reads all files, so that they are in the page cache.
pub(crate) fn warm(dir: &Path) -> Result<(), Error> {
    each_file(dir, |file| Ok(io::copy(file, &mut io::sink()).map(drop)?))
}

/// Takes all files out of it.
pub(crate) fn cool(dir: &Path) -> Result<(), Error> {
    each_file(dir, |file| {
        // What is dirty would stay.
        file.sync_all()?;
        // SAFETY: on an open descriptor; touches no memory.
        match unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) } {
            0 => Ok(()),
            errno => Err(io::Error::from_raw_os_error(errno).into()),
        }
    })
}

fn each_file(
    dir: &Path,
    mut visit: impl FnMut(&mut File) -> Result<(), Error>,
) -> Result<(), Error> {
    for entry in fs::read_dir(dir)? {
        visit(&mut File::open(entry?.path())?)?;
    }
    Ok(())
}
