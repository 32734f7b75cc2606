//! A file of the simulated directory.

use super::{
    disk::{Disk, lock},
    state::{FileId, Op, index},
};
use crate::os::{File, FileBytes};
use std::{
    io,
    sync::{Arc, Mutex},
};

/// Files longer than this are refused with EFBIG, to spare the host.
const LEN_MAX: u64 = 1 << 30;
/// What the simulated disk finds holes by.
const BLOCK: usize = 4096;

/// A file of a [`SimDir`](super::SimDir); lives on when its name is removed.
#[derive(Debug)]
pub struct SimFile {
    pub(super) disk: Arc<Mutex<Disk>>,
    pub(super) id: FileId,
    pub(super) writable: bool,
}

impl File for SimFile {
    fn len(&self) -> io::Result<u64> {
        let mut disk = lock(&self.disk);
        disk.call()?;
        Ok(disk.state.bytes(self.id).len() as u64)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut disk = lock(&self.disk);
        self.check_change(offset.saturating_add(bytes.len() as u64))?;
        let called = disk.call();
        let count = if called.is_ok() { bytes.len() } else { bytes.len() / 2 };
        disk.make(Op::Write(self.id, offset, bytes[..count].to_vec()));
        called
    }

    fn copy_from(
        &self,
        offset: u64,
        source: &Self,
        source_offset: u64,
        len: u64,
    ) -> io::Result<()> {
        // Taken before this disk's lock: it may be the same one.
        let bytes = lock(&source.disk).state.bytes(source.id);
        let (start, end) = (index(source_offset), index(source_offset.saturating_add(len)));
        match bytes.get(start..end) {
            Some(part) => self.write_at(offset, part),
            None if len == 0 => self.write_at(offset, &[]),
            None => lock(&self.disk).call().and(Err(io::ErrorKind::UnexpectedEof.into())),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut disk = lock(&self.disk);
        self.check_change(len)?;
        disk.call()?;
        disk.make(Op::SetLen(self.id, len));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut disk = lock(&self.disk);
        disk.call()?;
        disk.make(Op::SyncFile(self.id));
        Ok(())
    }

    fn view(&self) -> io::Result<FileBytes> {
        let mut disk = lock(&self.disk);
        disk.call()?;
        let asked = Arc::clone(&self.disk);
        let fetched = move || lock(&asked).fetch();
        Ok(FileBytes::shared(disk.state.bytes(self.id), Box::new(fetched)))
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<u64>> {
        let mut disk = lock(&self.disk);
        disk.call()?;
        let bytes = disk.state.bytes(self.id);
        let Ok(offset) = usize::try_from(offset) else { return Ok(None) };
        let Some(rest) = bytes.get(offset..) else { return Ok(None) };
        let zeros = rest.chunks(BLOCK).take_while(|block| **block == [0; BLOCK][..block.len()]);
        let found = offset + zeros.count() * BLOCK;
        Ok((found < bytes.len()).then_some(found as u64))
    }
}

impl SimFile {
    fn check_change(&self, len: u64) -> io::Result<()> {
        match (self.writable, len <= LEN_MAX) {
            (false, _) => Err(io::Error::from_raw_os_error(libc::EBADF)),
            (_, false) => Err(io::Error::from_raw_os_error(libc::EFBIG)),
            (true, true) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::{
        Dir,
        sim::{Fault, SimDir},
    };

    #[test]
    fn a_failed_write_leaves_half() {
        let dir = SimDir::new();
        let file = dir.create("a").unwrap();
        dir.fail(Some(Fault { after: 0, errno: libc::ENOSPC, lasting: true }));
        assert_eq!(file.write_at(0, b"abcd").unwrap_err().raw_os_error(), Some(libc::ENOSPC));
        assert_eq!(dir.get("a"), Some(b"ab".to_vec()));
        assert!(file.sync().is_err());
    }

    #[test]
    fn a_copy_is_one_write_of_the_bytes_and_fails_like_one() {
        let dir = SimDir::with_files([("from", b"0123456789".to_vec())]);
        let (from, to) = (dir.open("from").unwrap(), dir.create("to").unwrap());
        to.copy_from(1, &from, 2, 4).unwrap();
        assert_eq!(dir.get("to"), Some(b"\x002345".to_vec()));
        let Some(Op::Write(id, 1, bytes)) = dir.log().pop() else { panic!() };
        assert_eq!((id, bytes), (to.id, b"2345".to_vec()));
        for (offset, len) in [(8, 3), (11, 1), (u64::MAX, 1), (0, u64::MAX)] {
            let calls = dir.calls();
            let error = to.copy_from(0, &from, offset, len).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{len} bytes at {offset}");
            assert_eq!(dir.calls(), calls + 1);
        }
        to.copy_from(0, &from, 11, 0).unwrap();
        assert!(from.copy_from(0, &to, 0, 1).is_err());
        dir.fail(Some(Fault { after: 0, errno: libc::ENOSPC, lasting: false }));
        let error = to.copy_from(5, &from, 0, 4).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
        assert_eq!(dir.get("to"), Some(b"\x00234501".to_vec()));
    }

    #[test]
    fn holes_are_whole_blocks_of_zero() {
        let dir = SimDir::new();
        let file = dir.create("a").unwrap();
        file.set_len(3 * 4096).unwrap();
        assert_eq!(file.next_data(0).unwrap(), None);
        file.write_at(2 * 4096 + 5, b"x").unwrap();
        assert_eq!(file.next_data(0).unwrap(), Some(2 * 4096));
    }

    #[test]
    fn read_only_files_refuse_writes() {
        let dir = SimDir::with_files([("a", vec![1])]);
        let file = dir.open("a").unwrap();
        assert!(file.write_at(0, b"x").is_err());
        assert!(dir.create("b").unwrap().set_len(u64::MAX).is_err());
    }
}
