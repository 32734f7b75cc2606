//! Files, links, streams.

use super::{Case, path_of, worked};
use crate::Cold;
use libc::{c_char, c_int, c_void, iovec, size_t, ssize_t};
use std::ffi::CStr;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;

pub(crate) const CASES: &[Case] = &[
    ("read pread pread64", reading),
    ("__read_chk __pread_chk __pread64_chk", reading_fortified),
    ("readv preadv preadv64 preadv2 preadv64v2", reading_scattered),
    ("fread fread_unlocked", streams),
    ("stat lstat fstat fstatat stat64 lstat64 fstat64 fstatat64 statx", stats),
    ("statfs fstatfs statfs64 fstatfs64", file_systems),
    ("readlink readlinkat __readlink_chk", links),
    ("getdents64 getcwd __getcwd_chk", folders),
    ("sendfile sendfile64 copy_file_range splice", offsets),
    ("getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr name_to_handle_at", attributes),
];

unsafe extern "C" {
    fn __read_chk(fd: c_int, buf: *mut c_void, len: size_t, room: size_t) -> ssize_t;
    fn __pread_chk(fd: c_int, buf: *mut c_void, len: size_t, at: i64, room: size_t) -> ssize_t;
    fn __pread64_chk(fd: c_int, buf: *mut c_void, len: size_t, at: i64, room: size_t) -> ssize_t;
    fn __readlink_chk(p: *const c_char, buf: *mut c_char, len: size_t, room: size_t) -> ssize_t;
    fn __getcwd_chk(buf: *mut c_char, len: size_t, room: size_t) -> *mut c_char;
    fn fread_unlocked(buf: *mut c_void, size: size_t, n: size_t, f: *mut libc::FILE) -> size_t;
    fn preadv64v2(fd: c_int, parts: *const iovec, n: c_int, at: i64, flags: c_int) -> ssize_t;
    fn name_to_handle_at(
        fd: c_int,
        path: *const c_char,
        handle: *mut c_void,
        mount: *mut c_int,
        flags: c_int,
    ) -> c_int;
}

/// Lengths of transfers: within a thread's buffer, and above.
const SMALL: usize = 5000;
const LARGE: usize = 1 << 20;

/// A file of numbered bytes, open for reading.
fn numbered(folder: &Path, len: usize) -> File {
    let bytes: Vec<u8> = (0..len).map(|index| (index % 251) as u8).collect();
    let path = folder.join("numbered");
    std::fs::write(&path, bytes).expect("a file");
    File::open(path).expect("the file")
}

#[track_caller]
fn is_numbered(memory: *const u8, from: usize, len: usize) {
    let bytes = c!(std::slice::from_raw_parts(memory, len));
    let wrong = bytes.iter().zip(from..).position(|(byte, place)| *byte != (place % 251) as u8);
    assert_eq!(wrong, None, "of {len} bytes");
}

fn reading(cold: &mut Cold, folder: &Path) {
    let place = cold.start();
    for len in [SMALL, LARGE] {
        let file = numbered(folder, len + 10);
        let fd = file.as_raw_fd();
        assert_eq!(worked(f!(cold, [place], libc::read(fd, place.cast(), len))), len as i64);
        is_numbered(place, 0, len);
        assert_eq!(
            worked(f!(cold, [place], libc::read(fd, place.cast(), len))),
            10,
            "what is left"
        );
        is_numbered(place, len, 10);
        assert_eq!(worked(f!(cold, [place], libc::pread(fd, place.cast(), len, 3))), len as i64);
        is_numbered(place, 3, len);
        assert_eq!(worked(f!(cold, [place], libc::pread64(fd, place.cast(), len, 7))), len as i64);
        is_numbered(place, 7, len);
    }
    assert_eq!(f!(cold, [place], libc::read(-1, place.cast(), 10)), -1);
    assert_eq!(std::io::Error::last_os_error().raw_os_error(), Some(libc::EBADF));
}

fn reading_fortified(cold: &mut Cold, folder: &Path) {
    let file = numbered(folder, 100);
    let (fd, place) = (file.as_raw_fd(), cold.start());
    assert_eq!(worked(f!(cold, [place], __read_chk(fd, place.cast(), 60, 100))), 60);
    is_numbered(place, 0, 60);
    assert_eq!(worked(f!(cold, [place], __pread_chk(fd, place.cast(), 60, 1, 100))), 60);
    is_numbered(place, 1, 60);
    assert_eq!(worked(f!(cold, [place], __pread64_chk(fd, place.cast(), 60, 2, 100))), 60);
    is_numbered(place, 2, 60);
}

fn reading_scattered(cold: &mut Cold, folder: &Path) {
    let place = cold.start();
    for part in [300, 400_000] {
        let file = numbered(folder, 10 * part);
        let fd = file.as_raw_fd();
        let far = place.wrapping_add(2 * part);
        let parts = [
            iovec { iov_base: far.cast(), iov_len: part },
            iovec { iov_base: place.cast(), iov_len: part + 1 },
        ];
        let check = |from: usize, got: ssize_t| {
            assert_eq!(worked(got), 2 * part as i64 + 1);
            is_numbered(far, from, part);
            is_numbered(place, from + part, part + 1);
        };
        check(0, f!(cold, [far, place], libc::readv(fd, parts.as_ptr(), 2)));
        check(5, f!(cold, [far, place], libc::preadv(fd, parts.as_ptr(), 2, 5)));
        check(6, f!(cold, [far, place], libc::preadv64(fd, parts.as_ptr(), 2, 6)));
        check(7, f!(cold, [far, place], libc::preadv2(fd, parts.as_ptr(), 2, 7, 0)));
        check(8, f!(cold, [far, place], preadv64v2(fd, parts.as_ptr(), 2, 8, 0)));
    }
}

fn streams(cold: &mut Cold, folder: &Path) {
    drop(numbered(folder, 200_000));
    let (path, place) = (path_of(folder, "numbered"), cold.start());
    let stream = c!(libc::fopen(path.as_ptr(), c"r".as_ptr()));
    assert!(!stream.is_null());
    assert_eq!(f!(cold, [place], libc::fread(place.cast(), 100, 1000, stream)), 1000);
    is_numbered(place, 0, 100_000);
    assert_eq!(
        f!(cold, [place], fread_unlocked(place.cast(), 100, 2000, stream)),
        1000,
        "what is left"
    );
    is_numbered(place, 100_000, 100_000);
    c!(libc::fclose(stream));
}

fn stats(cold: &mut Cold, folder: &Path) {
    let file = numbered(folder, 77);
    let (path, fd) = (path_of(folder, "numbered"), file.as_raw_fd());
    let (here, name) = (libc::AT_FDCWD, path.as_ptr());
    let place: *mut libc::stat = cold.at(0);
    let place64: *mut libc::stat64 = cold.at(10);
    let check = |result: c_int| {
        worked(result);
        assert_eq!(c!((*place).st_size), 77);
        c!((*place).st_size = 0);
    };
    check(f!(cold, [place], libc::stat(name, place)));
    check(f!(cold, [place], libc::lstat(name, place)));
    check(f!(cold, [place], libc::fstat(fd, place)));
    check(f!(cold, [place], libc::fstatat(here, name, place, 0)));
    let check = |result: c_int| {
        worked(result);
        assert_eq!(c!((*place64).st_size), 77);
    };
    check(f!(cold, [place64], libc::stat64(name, place64)));
    check(f!(cold, [place64], libc::lstat64(name, place64)));
    check(f!(cold, [place64], libc::fstat64(fd, place64)));
    check(f!(cold, [place64], libc::fstatat64(here, name, place64, 0)));
    let large: *mut libc::statx = cold.at(20);
    worked(f!(cold, [large], libc::statx(here, name, 0, libc::STATX_SIZE, large)));
    assert_eq!(c!((*large).stx_size), 77);
}

fn file_systems(cold: &mut Cold, folder: &Path) {
    let file = numbered(folder, 1);
    let (path, fd) = (path_of(folder, "numbered"), file.as_raw_fd());
    let (place, place64): (*mut libc::statfs, *mut libc::statfs64) = (cold.at(0), cold.at(10));
    worked(f!(cold, [place], libc::statfs(path.as_ptr(), place)));
    assert!(c!((*place).f_bsize) > 0);
    worked(f!(cold, [place], libc::fstatfs(fd, place)));
    worked(f!(cold, [place64], libc::statfs64(path.as_ptr(), place64)));
    assert!(c!((*place64).f_bsize) > 0);
    worked(f!(cold, [place64], libc::fstatfs64(fd, place64)));
}

fn links(cold: &mut Cold, folder: &Path) {
    let link = folder.join("link");
    let _ = std::fs::remove_file(&link);
    std::os::unix::fs::symlink("where it leads", &link).expect("a link");
    let (path, place): (_, *mut c_char) = (path_of(folder, "link"), cold.at(0));
    let check = |got: ssize_t| {
        assert_eq!(worked(got), 14);
        let text = c!(std::slice::from_raw_parts(place.cast::<u8>(), 14));
        assert_eq!(text, b"where it leads");
    };
    check(f!(cold, [place], libc::readlink(path.as_ptr(), place, 100)));
    check(f!(cold, [place], libc::readlinkat(libc::AT_FDCWD, path.as_ptr(), place, 100)));
    check(f!(cold, [place], __readlink_chk(path.as_ptr(), place, 100, 100)));
}

fn folders(cold: &mut Cold, folder: &Path) {
    let file = numbered(folder, 1);
    drop(file);
    let open = File::open(folder).expect("the folder");
    let place: *mut c_char = cold.at(0);
    let got = worked(c!(libc::syscall(libc::SYS_lseek, open.as_raw_fd(), 0, 0)));
    assert_eq!(got, 0);
    unsafe extern "C" {
        fn getdents64(fd: c_int, buf: *mut c_void, len: size_t) -> ssize_t;
    }
    let got = worked(f!(cold, [place], getdents64(open.as_raw_fd(), place.cast(), 4000)));
    let bytes = c!(std::slice::from_raw_parts(place.cast::<u8>(), got as usize));
    assert!(bytes.windows(8).any(|name| name == b"numbered"));
    let here = std::env::current_dir().expect("a folder");
    for round in 0..2 {
        let got = match round {
            0 => f!(cold, [place], libc::getcwd(place, 4096)),
            _ => f!(cold, [place], __getcwd_chk(place, 4096, 4096)),
        };
        assert_eq!(got, place);
        let text = c!(CStr::from_ptr(place));
        assert_eq!(text.to_str().expect("a path"), here.to_str().expect("a path"));
        c!(place.write(0));
    }
}

fn offsets(cold: &mut Cold, folder: &Path) {
    let from = numbered(folder, 1000);
    let to = File::create(folder.join("copy")).expect("a file");
    let (from, to) = (from.as_raw_fd(), to.as_raw_fd());
    let at: *mut i64 = cold.at(0);
    let place: *mut i64 = cold.at(1);
    c!(at.write(100));
    c!(place.write(0));
    assert_eq!(worked(f!(cold, [at], libc::sendfile(to, from, at, 50))), 50);
    assert_eq!(c!(at.read()), 150);
    assert_eq!(worked(f!(cold, [at], libc::sendfile64(to, from, at, 50))), 50);
    assert_eq!(c!(at.read()), 200);
    assert_eq!(
        worked(f!(cold, [at, place], libc::copy_file_range(from, at, to, place, 50, 0))),
        50
    );
    assert_eq!(c!((at.read(), place.read())), (250, 50));
    let mut pipe = [0; 2];
    worked(c!(libc::pipe(pipe.as_mut_ptr())));
    let none = std::ptr::null_mut();
    assert_eq!(worked(f!(cold, [at], libc::splice(from, at, pipe[1], none, 50, 0))), 50);
    assert_eq!(c!(at.read()), 300);
    assert_eq!(worked(f!(cold, [place], libc::splice(pipe[0], none, to, place, 50, 0))), 50);
    assert_eq!(c!(place.read()), 100);
    pipe.into_iter().for_each(|fd| assert_eq!(c!(libc::close(fd)), 0));
}

fn attributes(cold: &mut Cold, folder: &Path) {
    let file = numbered(folder, 1);
    let (path, fd) = (path_of(folder, "numbered"), file.as_raw_fd());
    let (name, place) = (c"user.stillheap", cold.start());
    let set = c!(libc::setxattr(path.as_ptr(), name.as_ptr(), c"value".as_ptr().cast(), 5, 0));
    // Not every file system has them; then there is nothing to be got, and no EFAULT.
    let expected = if set == 0 { 5 } else { -1 };
    let check = |got: ssize_t, with: ssize_t| {
        let error = std::io::Error::last_os_error().raw_os_error();
        assert!(got == with || set != 0 && error != Some(libc::EFAULT), "{got} {error:?}");
    };
    check(
        f!(cold, [place], libc::getxattr(path.as_ptr(), name.as_ptr(), place.cast(), 99)),
        expected,
    );
    check(
        f!(cold, [place], libc::lgetxattr(path.as_ptr(), name.as_ptr(), place.cast(), 99)),
        expected,
    );
    check(f!(cold, [place], libc::fgetxattr(fd, name.as_ptr(), place.cast(), 99)), expected);
    if set == 0 {
        assert_eq!(c!(std::slice::from_raw_parts(place, 5)), b"value");
    }
    let list = name.to_bytes_with_nul().len() as ssize_t;
    check(f!(cold, [place], libc::listxattr(path.as_ptr(), place.cast(), 4000)), list);
    check(f!(cold, [place], libc::llistxattr(path.as_ptr(), place.cast(), 4000)), list);
    check(f!(cold, [place], libc::flistxattr(fd, place.cast(), 4000)), list);
    let (handle, mount): (*mut u32, *mut c_int) = (cold.at(100), cold.at(110));
    c!(handle.write(128));
    let got = f!(
        cold,
        [handle, mount],
        name_to_handle_at(fd, c"".as_ptr(), handle.cast(), mount, 0x1000)
    );
    let error = std::io::Error::last_os_error().raw_os_error();
    assert!(got == 0 || error != Some(libc::EFAULT));
}
