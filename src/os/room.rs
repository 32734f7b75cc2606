//! Room on the disk that a file gets ahead of its bytes, all at once: a write that has the blocks
//! chosen waits whenever the file system's journal is busy, as it is while the file is written
//! behind. What is not used of it is given back.
#![allow(unsafe_code, reason = "calls fallocate and fstatvfs")]

use crate::base::{PAGE_SIZE, PageIndex, PageRun, RunSet};
use std::{
    fs::File,
    io,
    mem::{self, MaybeUninit},
    ops::Range,
    os::fd::AsRawFd,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Gaps that are given back at most, the largest ones: each takes the file system a while.
const GAPS: usize = 4096;

/// Which pages of a file have blocks of their own already.
#[derive(Debug, Default)]
pub(super) struct Room(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    reserved: RunSet,
    /// What has been written since something was reserved.
    written: Vec<PageRun>,
}

impl Room {
    /// Has the file system choose blocks for all of these bytes. A hint: nothing is done if it
    /// cannot, or if they are more than half of what is free, since others need room as well.
    pub(super) fn reserve(&self, file: &File, parts: &[Range<u64>]) {
        let len = parts.iter().map(|part| part.end - part.start).sum::<u64>();
        if len > free(file) / 2 {
            return;
        }
        let mut pages = RunSet::of(parts.iter().filter_map(pages_of));
        let made = pages
            .iter()
            .try_for_each(|run| allocate(file, libc::FALLOC_FL_KEEP_SIZE, &bytes_of(run)));
        if made.is_err() {
            // It may have gone half of the way.
            pages.iter().for_each(|run| give_back(file, run));
            pages = RunSet::default();
        }
        self.lock().reserved = pages;
    }

    /// Notes that bytes are written. `true`: there was room for them.
    pub(super) fn take(&self, bytes: &Range<u64>) -> bool {
        let mut state = self.lock();
        let Some(run) = pages_of(bytes).filter(|_| !state.reserved.is_empty()) else {
            return false;
        };
        state.written.push(run);
        state.reserved.contains_all(run)
    }

    /// Gives back what has not been written; nobody may be writing.
    pub(super) fn close(&self, file: &File) {
        let State { reserved, written } = mem::take(&mut *self.lock());
        give_back_behind(file, &reserved);
        let mut gaps: Vec<PageRun> = reserved.without(&RunSet::of(written)).iter().collect();
        gaps.sort_unstable_by_key(|gap| std::cmp::Reverse(gap.count));
        gaps.into_iter().take(GAPS).for_each(|gap| give_back(file, gap));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The file's pages that bytes lie in; `None`: there are none, or no image has so many.
fn pages_of(bytes: &Range<u64>) -> Option<PageRun> {
    let size = PAGE_SIZE as u64;
    let first = u32::try_from(bytes.start / size).ok()?;
    let end = u32::try_from(bytes.end.div_ceil(size)).ok()?;
    let count = end.checked_sub(first).filter(|&count| count > 0)?;
    Some(PageRun { first: PageIndex(first), count })
}

fn bytes_of(run: PageRun) -> Range<u64> {
    let pages = run.pages();
    pages.start * PAGE_SIZE as u64..pages.end * PAGE_SIZE as u64
}

/// Has the file system choose blocks for those bytes, whatever the file's length. One that cannot
/// do that leaves it to the write, which then says what is wrong.
pub(super) fn make_room(file: &File, bytes: &Range<u64>) -> io::Result<()> {
    match allocate(file, libc::FALLOC_FL_KEEP_SIZE, bytes) {
        Err(error) if error.kind() == io::ErrorKind::StorageFull => Err(error),
        _ => Ok(()),
    }
}

fn give_back(file: &File, run: PageRun) {
    let mode = libc::FALLOC_FL_KEEP_SIZE | libc::FALLOC_FL_PUNCH_HOLE;
    // If that is refused, the file takes more space than it needs.
    let _ = allocate(file, mode, &bytes_of(run));
}

/// Gives back what lies behind the file's end: there ext4 makes no holes, but cuts it off when the
/// file gets the length that it has.
fn give_back_behind(file: &File, reserved: &RunSet) {
    let end = reserved.iter().map(|run| bytes_of(run).end).max().unwrap_or(0);
    if end == 0 {
        return;
    }
    if let Ok(len) = file.metadata().map(|metadata| metadata.len())
        && len < end
    {
        // If that is refused, as above.
        let _ = file.set_len(len);
    }
}

fn allocate(file: &File, mode: i32, bytes: &Range<u64>) -> io::Result<()> {
    let too_long = |_| io::ErrorKind::InvalidInput;
    let start = i64::try_from(bytes.start).map_err(too_long)?;
    let len = i64::try_from(bytes.end - bytes.start).map_err(too_long)?;
    // SAFETY: a system call on an open descriptor, which touches no memory of the program's. What
    // it reserves, or gives back, reads as zero.
    let made = unsafe { libc::fallocate(file.as_raw_fd(), mode, start, len) };
    if made == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Bytes that are free on the file's file system; 0: it does not say.
fn free(file: &File) -> u64 {
    let mut told = MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: fills the structure.
    let asked = unsafe { libc::fstatvfs(file.as_raw_fd(), told.as_mut_ptr()) };
    // SAFETY: zero is a value of its, as is what the system has written.
    let told = unsafe { told.assume_init() };
    if asked == 0 { told.f_bavail.saturating_mul(told.f_frsize) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{FileExt, MetadataExt};

    const MIB: u64 = 1 << 20;

    fn mib(at: u64) -> Range<u64> {
        at * MIB..(at + 1) * MIB
    }

    #[test]
    fn what_lies_behind_the_end_is_given_back() {
        let file = tempfile::tempfile().unwrap();
        let room = Room::default();
        room.reserve(&file, std::slice::from_ref(&(0..16 * MIB)));
        file.write_all_at(&[1; 5000], 0).unwrap();
        room.take(&(0..5000));
        room.close(&file);
        file.sync_all().unwrap();
        let metadata = file.metadata().unwrap();
        assert_eq!(metadata.len(), 5000);
        assert!(metadata.blocks() * 512 <= MIB, "{} blocks", metadata.blocks());
    }

    #[test]
    fn what_is_not_written_is_given_back() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(16 * MIB).unwrap();
        let room = Room::default();
        room.reserve(&file, &[0..4 * MIB, 8 * MIB..16 * MIB]);
        let is_reserved = room.take(&mib(0));
        file.write_all_at(&vec![1; 1 << 20], 0).unwrap();
        for (at, expected) in [(14, is_reserved), (2, is_reserved), (3, is_reserved), (6, false)] {
            assert_eq!(room.take(&mib(at)), expected);
            file.write_all_at(&vec![1; 1 << 20], at * MIB).unwrap();
        }
        assert!(!room.take(&(3 * MIB..5 * MIB)));
        room.close(&file);
        file.sync_all().unwrap();
        let taken = file.metadata().unwrap().blocks() * 512;
        assert!((5 * MIB..=6 * MIB).contains(&taken), "{taken}");
        assert!(!room.take(&mib(0)));
        let mut bytes = vec![0; 1 << 20];
        for at in 0..16 {
            file.read_exact_at(&mut bytes, at * MIB).unwrap();
            let expected = u8::from([0, 2, 3, 6, 14].contains(&at));
            assert!(bytes.iter().all(|&byte| byte == expected), "{at}");
        }
    }

    #[test]
    fn too_much_is_not_reserved() {
        let file = tempfile::tempfile().unwrap();
        let room = Room::default();
        room.reserve(&file, std::slice::from_ref(&(0..1 << 43)));
        assert!(!room.take(&mib(0)));
        assert_eq!(file.metadata().unwrap().blocks(), 0);
    }
}
