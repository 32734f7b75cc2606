//! Busy programs under a snapshot every 50 ms: echo servers of std's threads and of tokio, a file
//! copier, C code, all with buffers in the heap. Not one call may fail.
//!
//! A few seconds in `cargo test`, three minutes with `STILLHEAP_LONG=1`.
#![allow(unsafe_code, reason = "calls C code")]
#![allow(clippy::cast_possible_truncation, reason = "bytes below 251")]

mod support;

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};
use stillheap::{Options, ProcessHeap, Root};

#[global_allocator]
static HEAP: ProcessHeap = ProcessHeap::new();

static STOP: AtomicBool = AtomicBool::new(false);
static DONE: [AtomicU64; 5] = [const { AtomicU64::new(0) }; 5];
const NAMES: [&str; 5] = ["std echoes", "tokio echoes", "datagrams", "copies", "C reads"];

/// Counts a piece of work. `false`: it is time to stop.
fn done(what: usize) -> bool {
    DONE[what].fetch_add(1, Relaxed);
    !STOP.load(Relaxed)
}

fn storm(dir: &Path) {
    let options = Options::new().snapshot_every(Duration::from_millis(50)).keep(1);
    let heap = HEAP.open(dir.join("heap"), options).expect("a heap");
    let ballast: Root<Vec<Vec<u64>>> = heap.root("ballast").expect("a root");
    ballast.write(|ballast| ballast.extend((0..16).map(|_| vec![1; 256 << 10])));
    let long = std::env::var_os("STILLHEAP_LONG").is_some();
    let time = Duration::from_secs(if long { 180 } else { 4 });
    let begun = Instant::now();
    thread::scope(|scope| {
        let workers = [
            scope.spawn(echo_with_std),
            scope.spawn(echo_with_tokio),
            scope.spawn(send_datagrams),
            scope.spawn(|| copy_files(dir)),
            scope.spawn(|| run_c(dir)),
        ];
        let mut step = 0;
        // A busy machine takes longer.
        let is_enough = || begun.elapsed() >= time && heap.stats().freezes.freezes > 10;
        while !is_enough() && workers.iter().all(|worker| !worker.is_finished()) {
            // Every write is the first one to a chunk, again and again.
            step += 1;
            ballast.write(|ballast| ballast.iter_mut().for_each(|part| part[step % 1000] += 1));
            thread::sleep(Duration::from_millis(1));
        }
        STOP.store(true, Relaxed);
    });
    let counts = DONE.each_ref().map(|count| count.load(Relaxed));
    let snapshots = heap.stats().freezes.freezes;
    for (name, count) in NAMES.iter().zip(counts) {
        assert!(count > 10, "only {count} {name}");
        println!("{count} {name}");
    }
    assert!(snapshots > 10, "only {snapshots} snapshots");
    println!("{snapshots} snapshots, {:?}", heap.stats().cow);
}

/// Numbered bytes of a length that differs from round to round.
fn message(round: usize) -> Vec<u8> {
    (0..100 + round * 997 % 90_000).map(|index| (index % 251) as u8).collect()
}

fn echo_with_std() {
    let server = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = server.local_addr().expect("an address");
    thread::scope(|scope| {
        scope.spawn(move || {
            for client in server.incoming().take(2) {
                let mut client = client.expect("a connection");
                let mut buffer = vec![0; 8 << 10];
                loop {
                    let got = client.read(&mut buffer).expect("no EFAULT");
                    if got == 0 {
                        break;
                    }
                    client.write_all(&buffer[..got]).expect("a listener");
                }
            }
        });
        for _ in 0..2 {
            let stream = TcpStream::connect(address).expect("a server");
            scope.spawn(move || ask_std(stream));
        }
    });
}

/// Asks one client after the other: the server serves one at a time.
fn ask_std(mut stream: TcpStream) {
    stream.set_read_timeout(Some(Duration::from_secs(250))).expect("a limit");
    let mut answer = Vec::new();
    for round in 0.. {
        let sent = message(round);
        let mut writer = stream.try_clone().expect("a second handle");
        thread::scope(|scope| {
            scope.spawn(|| writer.write_all(&sent).expect("a server"));
            answer.resize(sent.len(), 0);
            stream.read_exact(&mut answer).expect("no EFAULT");
        });
        assert!(sent == answer, "round {round}");
        if !done(0) {
            return;
        }
    }
}

fn echo_with_tokio() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let address = server.local_addr().expect("an address");
        tokio::spawn(async move {
            loop {
                let (mut client, _) = server.accept().await.expect("a connection");
                tokio::spawn(async move {
                    let mut buffer = vec![0; 8 << 10];
                    while let Ok(got @ 1..) = client.read(&mut buffer).await {
                        client.write_all(&buffer[..got]).await.expect("a listener");
                    }
                });
            }
        });
        let clients: Vec<_> = (0..4).map(|_| tokio::spawn(ask_tokio(address))).collect();
        for client in clients {
            client.await.expect("no panic");
        }
    });
}

async fn ask_tokio(address: SocketAddr) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let stream = tokio::net::TcpStream::connect(address).await.expect("a server");
    let (mut reader, mut writer) = stream.into_split();
    for round in 0.. {
        let sent = message(round);
        let expected = sent.clone();
        let sending = tokio::spawn(async move {
            writer.write_all(&sent).await.expect("a server");
            writer
        });
        let mut answer = vec![0; expected.len()];
        reader.read_exact(&mut answer).await.expect("no EFAULT");
        assert!(answer == expected, "round {round}");
        writer = sending.await.expect("no panic");
        if !done(1) {
            return;
        }
    }
}

/// A datagram that the kernel cannot deliver is gone: so each is waited for.
fn send_datagrams() {
    let (here, there) = (udp(), udp());
    let target = here.local_addr().expect("an address");
    here.set_read_timeout(Some(Duration::from_secs(60))).expect("a limit");
    let mut buffer = vec![0; 64 << 10];
    for round in 0_u64.. {
        there.send_to(&round.to_le_bytes(), target).expect("sent");
        let (len, from) = here.recv_from(&mut buffer).expect("not lost");
        assert_eq!((len, from), (8, there.local_addr().expect("an address")));
        assert_eq!(buffer[..8], round.to_le_bytes());
        if !done(2) {
            return;
        }
    }
}

fn udp() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").expect("a socket")
}

fn copy_files(dir: &Path) {
    let (from, to) = (dir.join("from"), dir.join("to"));
    for round in 0.. {
        let bytes = message(round).repeat(1 + round % 30);
        std::fs::write(&from, &bytes).expect("room");
        let mut reader = File::open(&from).expect("the file");
        let mut writer = File::create(&to).expect("a file");
        let mut buffer = vec![0; [4 << 10, 64 << 10, 1 << 20][round % 3]];
        loop {
            let got = reader.read(&mut buffer).expect("no EFAULT");
            if got == 0 {
                break;
            }
            writer.write_all(&buffer[..got]).expect("room");
        }
        // A file gives less than it is asked for at its end only.
        buffer.resize(bytes.len(), 0);
        assert_eq!(reader.read_at(&mut buffer, 0).expect("no EFAULT"), bytes.len());
        assert!(buffer == bytes, "round {round}");
        assert!(std::fs::read(&to).expect("no EFAULT") == bytes, "round {round}");
        assert_eq!(std::fs::metadata(&to).expect("no EFAULT").len(), bytes.len() as u64);
        if !done(3) {
            return;
        }
    }
}

const C_CODE: &str = r#"
#include <stdio.h>
#include <unistd.h>
#include <fcntl.h>
#include <sys/stat.h>
/* Reads a file into `buf` with streams and with calls; gives its length, or -1. */
long slurp(const char *path, char *buf, unsigned long room) {
    FILE *stream = fopen(path, "r");
    if (!stream) return -1;
    size_t got = fread(buf, 1, room, stream);
    if (ferror(stream)) { fclose(stream); return -1; }
    fclose(stream);
    int fd = open(path, O_RDONLY);
    if (fd < 0) return -1;
    size_t again = 0;
    ssize_t piece;
    while ((piece = read(fd, buf + again, room - again)) > 0) again += piece;
    if (piece < 0 || fstat(fd, (struct stat *)(buf + room)) != 0) { close(fd); return -1; }
    close(fd);
    return again == got ? (long)again : -1;
}
"#;

/// C code in a shared library, built by the compiler driver that Rust links with.
fn run_c(dir: &Path) {
    let (source, library, data) = (dir.join("c.c"), dir.join("libc_code.so"), dir.join("data"));
    std::fs::write(&source, C_CODE).expect("room");
    let mut cc = std::process::Command::new("cc");
    cc.args(["-O2", "-D_FORTIFY_SOURCE=2", "-shared", "-fPIC", "-o"]).arg(&library).arg(&source);
    assert!(cc.status().expect("the linker that Rust needs, too").success());
    let path = |path: &Path| {
        std::ffi::CString::new(path.to_str().expect("a path").to_owned()).expect("no zero")
    };
    let (library, name) = (path(&library), path(&data));
    // SAFETY: a library without initialisers.
    let handle = unsafe { libc::dlopen(library.as_ptr(), libc::RTLD_NOW) };
    assert!(!handle.is_null());
    type Slurp = extern "C" fn(*const libc::c_char, *mut u8, libc::c_ulong) -> libc::c_long;
    // SAFETY: the library has it.
    let slurp = unsafe { libc::dlsym(handle, c"slurp".as_ptr()) };
    // SAFETY: of this type.
    let slurp: Slurp = unsafe { std::mem::transmute(slurp) };
    let room = 2 << 20;
    let mut buffer = vec![0; room + 4096];
    for round in 0.. {
        let bytes = message(round).repeat(1 + round % 20);
        std::fs::write(&data, &bytes).expect("room");
        let got = slurp(name.as_ptr(), buffer.as_mut_ptr(), room as libc::c_ulong);
        assert_eq!(got, libc::c_long::try_from(bytes.len()).expect("a length"), "round {round}");
        assert!(buffer[..bytes.len()] == bytes, "round {round}");
        if !done(4) {
            return;
        }
    }
}

fn not_one_call_fails() {
    let folder = tempfile::tempdir().expect("a folder");
    print!("{}", support::run("storm", folder.path()));
}

/// What bypasses the C library fails, unless the memory is touched in a scope.
fn raw_calls(dir: &Path) {
    let heap = HEAP.open(dir.join("heap"), Options::new()).expect("a heap");
    let mut buffer = vec![1_u8; 8 << 20];
    let middle = &mut buffer[4 << 20..][..100];
    heap.snapshot().expect("a freeze").wait_durable().expect("room");
    let raw =
        |buffer: &mut [u8]| rustix::rand::getrandom(buffer, rustix::rand::GetRandomFlags::empty());
    let error = raw(middle).expect_err("the memory is protected");
    assert_eq!(error, rustix::io::Errno::FAULT);
    let scope = stillheap::Scope::enter();
    stillheap::touch(middle);
    assert_eq!(raw(middle).expect("it has been touched"), 100);
    drop(scope);
}

fn raw_calls_need_a_touch() {
    let folder = tempfile::tempdir().expect("a folder");
    support::run("raw_calls", folder.path());
}

fn main() {
    match support::role() {
        Some((role, dir)) if role == "storm" => storm(&dir),
        Some((role, dir)) if role == "raw_calls" => raw_calls(&dir),
        Some((role, _)) => panic!("no role {role}"),
        None => support::run_all(&[
            ("raw_calls_need_a_touch", raw_calls_need_a_touch),
            ("not_one_call_fails", not_one_call_fails),
        ]),
    }
}
