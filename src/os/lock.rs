//! One owner for a heap's directory: a lock on the file `LOCK`, whose text names the owner.
//!
//! Invariants: the lock goes with the open file, so it ends with the process, however that
//! ends; the file is never removed, since a name that comes and goes could be locked twice.
//! The text is a courtesy to the one who is refused: nothing is decided by it.
//!
//! A child made by a plain `fork` shares the lock and keeps it as long as it lives.

use std::{
    fs, io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

/// The lock's file name.
pub const LOCK_NAME: &str = "LOCK";

/// The right to change a heap's directory; given back when dropped.
#[derive(Debug)]
pub struct DirLock {
    file: fs::File,
    process: u32,
}

/// Why a directory could not be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process, or another heap of this one, has it open.
    #[error(
        "{} is held by another owner: {owner}; close that one first, or open another directory",
        path.display()
    )]
    Held {
        /// The lock's path.
        path: PathBuf,
        /// What the owner wrote about itself: process, program, start.
        owner: String,
    },
    /// The lock file could not be opened or locked.
    #[error("cannot lock {}: {source}; check that the directory is writable", path.display())]
    Io {
        /// The lock's path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl DirLock {
    /// Locks the directory at `path`, without waiting.
    ///
    /// # Errors
    /// [`LockError::Held`] names the owner.
    pub fn acquire(path: &Path) -> Result<Self, LockError> {
        let path = path.join(LOCK_NAME);
        let file = match open(&path) {
            Ok(file) => file,
            Err(source) => return Err(LockError::Io { path, source }),
        };
        match file.try_lock() {
            Ok(()) => {
                // A full disk must not keep a heap from being read.
                let _ = sign(&file);
                Ok(Self { file, process: std::process::id() })
            }
            Err(fs::TryLockError::WouldBlock) => {
                Err(LockError::Held { owner: read_owner(&file), path })
            }
            Err(fs::TryLockError::Error(source)) => Err(LockError::Io { path, source }),
        }
    }
}

impl Drop for DirLock {
    fn drop(&mut self) {
        // A close alone would leave the lock with a forked child; but a child that drops its
        // copy must not take it from us. If this fails, the close gives the lock back.
        if self.process == std::process::id() {
            let _ = self.file.unlock();
        }
    }
}

fn open(path: &Path) -> io::Result<fs::File> {
    let file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok(file)
}

/// Overwrites before it cuts, so that a full disk leaves the space that the text needs.
fn sign(file: &fs::File) -> io::Result<()> {
    let program = std::env::current_exe().unwrap_or_default();
    let text = format!(
        "process {}, program {}, since {}\n",
        std::process::id(),
        program.display(),
        utc_text(SystemTime::now())
    );
    file.write_all_at(text.as_bytes(), 0)?;
    file.set_len(text.len() as u64)
}

fn read_owner(file: &fs::File) -> String {
    let mut bytes = [0; 4096];
    let count = file.read_at(&mut bytes, 0).unwrap_or(0);
    let text = String::from_utf8_lossy(&bytes[..count]);
    let text = text.lines().next().unwrap_or("").trim();
    if text.is_empty() { "an owner that left no name".to_owned() } else { text.to_owned() }
}

/// A time in UTC: `2026-05-15T12:34:56Z`.
#[must_use]
pub fn utc_text(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (year, month, day) = civil_from_days(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The date that lies `days` after 1970-01-01, by Howard Hinnant's algorithm: years start in
/// March, so that the leap day comes last.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_second_owner_learns_of_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let lock = DirLock::acquire(dir.path()).unwrap();
        let refused = DirLock::acquire(dir.path()).unwrap_err().to_string();
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        drop(lock);
        DirLock::acquire(dir.path()).unwrap();
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let error = DirLock::acquire(&dir.path().join("none")).unwrap_err();
        assert!(matches!(error, LockError::Io { .. }));
    }

    #[test]
    fn times_are_civil() {
        let text = |seconds| utc_text(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(text(0), "1970-01-01T00:00:00Z");
        assert_eq!(text(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(text(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(text(1_767_225_599), "2025-12-31T23:59:59Z");
    }
}
