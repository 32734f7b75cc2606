//! Calls that wait while a freeze protects the memory that they are to write to, and that
//! deliver afterwards.

use super::worked;
use crate::{CHUNK, HEAP, is_protected};
use libc::c_int;
use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use stillheap::Options;

/// A call that waits, what is to be done for it to end, and its name.
struct Waiting {
    name: &'static str,
    /// Waits with outputs from the address on, and checks what it gets.
    call: Box<dyn FnOnce(*mut u8) + Send>,
    deliver: Box<dyn FnOnce()>,
}

/// The memory of one call: a chunk of its own.
struct Place(Vec<u8>);

impl Place {
    fn new() -> Self {
        let mut memory = vec![0; 3 * CHUNK];
        memory.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
        Self(memory)
    }

    fn start(&mut self) -> *mut u8 {
        let address = self.0.as_mut_ptr();
        address.wrapping_add(address.align_offset(CHUNK))
    }
}

/// All calls wait; the heap is opened before that or after, is frozen, and they are served.
pub(crate) fn across_a_freeze(dir: &Path, waits_first: bool) {
    let open = || HEAP.open(dir.join("heap"), Options::new().keep(1)).expect("a heap");
    let early = (!waits_first).then(open);
    let (mut places, mut threads, mut delivers) = (Vec::new(), Vec::new(), Vec::new());
    let (tell, told) = mpsc::channel();
    for Waiting { name, call, deliver } in all() {
        let mut place = Place::new();
        let (start, tell) = (place.start().expose_provenance(), tell.clone());
        threads.push(thread::spawn(move || {
            // SAFETY: asks for this thread's number.
            tell.send(unsafe { libc::gettid() }).expect("a listener");
            call(ptr::with_exposed_provenance_mut(start));
        }));
        wait_until_asleep(told.recv().expect("a thread"));
        places.push((name, place));
        delivers.push((name, deliver));
    }
    let heap = early.unwrap_or_else(open);
    for _ in 0..20 {
        heap.snapshot().expect("a freeze").wait_durable().expect("room");
        while heap.is_saving() {
            thread::yield_now();
        }
        if places.iter_mut().all(|(_, place)| is_protected(place.start())) {
            break;
        }
    }
    for (name, place) in &mut places {
        assert!(is_protected(place.start()), "{name}: the memory should be protected");
    }
    for ((name, deliver), thread) in delivers.into_iter().zip(threads) {
        deliver();
        assert!(thread.join().is_ok(), "{name}");
        println!("{name}: served");
    }
}

/// Until the thread has slept for a while: then it waits in its call.
fn wait_until_asleep(thread: libc::pid_t) {
    let mut seen = 0;
    while seen < 10 {
        thread::sleep(Duration::from_millis(2));
        let stat = fs::read_to_string(format!("/proc/self/task/{thread}/stat")).expect("a thread");
        let is_asleep = stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S'));
        seen = if is_asleep { seen + 1 } else { 0 };
    }
}

fn all() -> Vec<Waiting> {
    vec![
        waiting_for_child(),
        datagram(),
        stream(),
        large_stream(),
        udp(),
        connection(),
        events(),
        poll(),
        counter(),
    ]
}

fn boxed(
    name: &'static str,
    call: impl FnOnce(*mut u8) + Send + 'static,
    deliver: impl FnOnce() + 'static,
) -> Waiting {
    Waiting { name, call: Box::new(call), deliver: Box::new(deliver) }
}

fn waiting_for_child() -> Waiting {
    let (mut here, there) = UnixStream::pair().expect("sockets");
    let child = worked(c!(libc::fork())) as libc::pid_t;
    if child == 0 {
        let mut byte = 0_u8;
        c!(libc::read(there.as_raw_fd(), (&raw mut byte).cast(), 1));
        std::process::exit(7);
    }
    let call = move |place: *mut u8| {
        let status: *mut c_int = place.cast();
        assert_eq!(worked(c!(libc::waitpid(child, status, 0))), i64::from(child));
        assert_eq!(c!(status.read()), 7 << 8);
    };
    boxed("waitpid", call, move || here.write_all(b"x").expect("a child"))
}

#[track_caller]
fn is_hello(got: isize, place: *const u8) {
    assert_eq!(worked(got), 5);
    assert_eq!(c!(std::slice::from_raw_parts(place, 5)), b"hello");
}

fn datagram() -> Waiting {
    let (from, to) = UnixDatagram::pair().expect("sockets");
    let call = move |place: *mut u8| {
        is_hello(c!(libc::recv(to.as_raw_fd(), place.cast(), 100, 0)), place);
    };
    boxed("recv", call, move || assert_eq!(from.send(b"hello").expect("room"), 5))
}

fn stream() -> Waiting {
    let (mut from, to) = UnixStream::pair().expect("sockets");
    let call = move |place: *mut u8| {
        is_hello(c!(libc::read(to.as_raw_fd(), place.cast(), 100)), place);
    };
    boxed("read", call, move || from.write_all(b"hello").expect("room"))
}

/// Larger than a thread's buffer, and wanted in full.
fn large_stream() -> Waiting {
    const LEN: usize = 300_000;
    let (mut from, to) = UnixStream::pair().expect("sockets");
    let call = move |place: *mut u8| {
        let got = c!(libc::recv(to.as_raw_fd(), place.cast(), LEN, libc::MSG_WAITALL));
        assert_eq!(worked(got), LEN as i64);
        assert!(c!(std::slice::from_raw_parts(place, LEN)).iter().all(|byte| *byte == 7));
    };
    boxed("recv, all of it", call, move || from.write_all(&vec![7; LEN]).expect("room"))
}

fn udp() -> Waiting {
    let socket = || UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let (from, to) = (socket(), socket());
    let target = to.local_addr().expect("an address");
    let call = move |place: *mut u8| {
        let (address, len): (_, *mut libc::socklen_t) =
            (place.wrapping_add(4096).cast(), place.wrapping_add(256).cast());
        c!(len.write(16));
        is_hello(c!(libc::recvfrom(to.as_raw_fd(), place.cast(), 100, 0, address, len)), place);
        assert_eq!(c!(len.read()), 16);
    };
    boxed("recvfrom", call, move || assert_eq!(from.send_to(b"hello", target).expect("room"), 5))
}

fn connection() -> Waiting {
    let server = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let target = server.local_addr().expect("an address");
    let call = move |place: *mut u8| {
        let len: *mut libc::socklen_t = place.wrapping_add(256).cast();
        c!(len.write(16));
        let fd = worked(c!(libc::accept(server.as_raw_fd(), place.cast(), len)));
        assert_eq!(c!(len.read()), 16);
        assert_eq!(c!((*place.cast::<libc::sockaddr_in>()).sin_family), libc::AF_INET as u16);
        c!(libc::close(fd as c_int));
    };
    boxed("accept", call, move || drop(TcpStream::connect(target).expect("a server")))
}

fn events() -> Waiting {
    let (from, to) = UnixDatagram::pair().expect("sockets");
    let call = move |place: *mut u8| {
        let poll = worked(c!(libc::epoll_create1(0))) as c_int;
        let mut wanted = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 77 };
        let (add, fd) = (libc::EPOLL_CTL_ADD, to.as_raw_fd());
        worked(c!(libc::epoll_ctl(poll, add, fd, &raw mut wanted)));
        let found: *mut libc::epoll_event = place.cast();
        assert_eq!(worked(c!(libc::epoll_wait(poll, found, 8, -1))), 1);
        assert_eq!(c!((*found).u64), 77);
    };
    boxed("epoll_wait", call, move || assert_eq!(from.send(b"x").expect("room"), 1))
}

/// While it waits, another thread changes what the entry asks for: that stays.
fn poll() -> Waiting {
    let (from, to) = UnixDatagram::pair().expect("sockets");
    let list = Arc::new(AtomicPtr::new(ptr::null_mut()));
    let shared = Arc::clone(&list);
    let call = move |place: *mut u8| {
        let list: *mut libc::pollfd = place.cast();
        shared.store(list, Relaxed);
        c!(list.write(libc::pollfd { fd: to.as_raw_fd(), events: libc::POLLIN, revents: 0 }));
        assert_eq!(worked(c!(libc::poll(list, 1, -1))), 1);
        assert_eq!(c!(((*list).events, (*list).revents)), (99, libc::POLLIN));
    };
    boxed("poll", call, move || {
        c!((*list.load(Relaxed)).events = 99);
        assert_eq!(from.send(b"x").expect("room"), 1);
    })
}

/// A count that is read is gone.
fn counter() -> Waiting {
    let fd = worked(c!(libc::eventfd(0, 0))) as c_int;
    let call = move |place: *mut u8| {
        assert_eq!(worked(c!(libc::read(fd, place.cast(), 8))), 8);
        assert_eq!(c!(place.cast::<u64>().read()), 5);
    };
    boxed("an event's count", call, move || {
        let five = 5_u64;
        worked(c!(libc::write(fd, (&raw const five).cast(), 8)));
    })
}
