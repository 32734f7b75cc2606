//! A file system that shows a folder's files, for reading, and does not give one of their pages: a
//! disk with a bad place. A process of its own serves it, since the kernel waits for it while it
//! changes what the asking one has mapped.
#![allow(unsafe_code, reason = "takes the file system away")]

use super::support;
use fuser::{
    Config, Errno, FileAttr, FileHandle, FileType, Filesystem, Generation, INodeNo, LockOwner,
    MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEntry, Request,
};
use std::ffi::{CString, OsStr};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};
use stillheap::base::PAGE_SIZE;

/// The role of the process that serves it.
pub(crate) const SERVES: &str = "serves_a_bad_disk";
/// Who asks for a name that begins so says which page is bad.
const SPOIL: &str = "spoil ";
/// Nothing changes while it is mounted.
const FOR_LONG: Duration = Duration::from_secs(3600);
const FOLDER: u64 = 1;

/// The mounted file system.
pub(crate) struct BadDisk {
    place: PathBuf,
    server: Child,
}

impl BadDisk {
    /// Shows the files that `folder` has now. `None`: nothing can be mounted here.
    pub(crate) fn mount(folder: &Path) -> Option<Self> {
        let place = place_for(folder);
        fs::create_dir(&place).expect("a new folder");
        let server = support::child(SERVES, folder).stdout(Stdio::null()).spawn().expect("a child");
        let mut disk = Self { place, server };
        while fs::read_dir(&disk.place).expect("the folder").next().is_none() {
            if disk.server.try_wait().expect("the server").is_some() {
                return None;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Some(disk)
    }

    /// Where its files are.
    pub(crate) fn place(&self) -> &Path {
        &self.place
    }

    /// Which page of which file cannot be read, from its next opening on.
    pub(crate) fn spoil(&self, file: &str, page: usize) {
        let asked = fs::metadata(self.place.join(format!("{SPOIL}{page} {file}")));
        assert_eq!(asked.expect_err("no file").kind(), io::ErrorKind::NotFound);
    }
}

impl Drop for BadDisk {
    fn drop(&mut self) {
        let place = CString::new(self.place.as_os_str().as_encoded_bytes()).expect("no zeros");
        // SAFETY: a text that ends in zero.
        unsafe { libc::umount2(place.as_ptr(), libc::MNT_DETACH) };
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn place_for(folder: &Path) -> PathBuf {
    folder.with_extension("shown")
}

/// Serves `folder` until it is taken away.
pub(crate) fn serves(folder: &Path) {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder") {
        let entry = entry.expect("an entry");
        let bytes = fs::read(entry.path()).expect("a file");
        files.push((entry.file_name().into_string().expect("a name"), bytes));
    }
    let mut config = Config::default();
    // A read for each page, so that no other is lost with it.
    let max_read = MountOption::CUSTOM(format!("max_read={PAGE_SIZE}"));
    config.mount_options = vec![MountOption::RO, max_read];
    let shown = Shown { files, bad: Mutex::default() };
    if let Err(error) = fuser::mount(shown, place_for(folder), &config) {
        eprintln!("no file system can be mounted: {error}");
    }
}

struct Shown {
    files: Vec<(String, Vec<u8>)>,
    /// A file, and which of its pages cannot be read.
    bad: Mutex<Option<(String, usize)>>,
}

impl Shown {
    fn file(&self, number: INodeNo) -> Option<&(String, Vec<u8>)> {
        let place = u64::from(number).checked_sub(FOLDER + 1)?;
        self.files.get(usize::try_from(place).ok()?)
    }

    fn number(place: usize) -> INodeNo {
        INodeNo(FOLDER + 1 + place as u64)
    }

    fn attributes(&self, number: INodeNo) -> Option<FileAttr> {
        let (kind, len) = match self.file(number) {
            Some((_, bytes)) => (FileType::RegularFile, bytes.len() as u64),
            None if number == INodeNo::ROOT => (FileType::Directory, 0),
            None => return None,
        };
        let is_folder = kind == FileType::Directory;
        Some(FileAttr {
            ino: number,
            size: len,
            blocks: len.div_ceil(512),
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind,
            perm: if is_folder { 0o700 } else { 0o600 },
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }
}

impl Filesystem for Shown {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let spoilt = name.to_str().and_then(|name| name.strip_prefix(SPOIL)?.split_once(' '));
        if let Some((page, file)) = spoilt {
            let bad = page.parse().ok().map(|page| (file.to_owned(), page));
            *self.bad.lock().unwrap_or_else(PoisonError::into_inner) = bad;
        }
        let place = self.files.iter().position(|(other, _)| name == other.as_str());
        match place.and_then(|place| self.attributes(Self::number(place))) {
            Some(found) => reply.entry(&FOR_LONG, &found, Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(number) {
            Some(found) => reply.attr(&FOR_LONG, &found),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn read(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let Some((name, bytes)) = self.file(number) else { return reply.error(Errno::ENOENT) };
        let start = usize::try_from(offset).expect("a file in memory").min(bytes.len());
        let end = (start + size as usize).min(bytes.len());
        let touches = |page: usize| page * PAGE_SIZE < end && start < (page + 1) * PAGE_SIZE;
        let bad = self.bad.lock().unwrap_or_else(PoisonError::into_inner);
        match bad.as_ref().is_some_and(|(file, page)| file == name && touches(*page)) {
            true => reply.error(Errno::EIO),
            false => reply.data(&bytes[start..end]),
        }
    }

    fn readdir(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let skipped = usize::try_from(offset).unwrap_or(usize::MAX);
        for (place, (name, _)) in self.files.iter().enumerate().skip(skipped) {
            let (number, next) = (Self::number(place), place as u64 + 1);
            if reply.add(number, next, FileType::RegularFile, name) {
                break;
            }
        }
        reply.ok();
    }
}
