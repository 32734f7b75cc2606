//! Sockets, pipes, waiting for them.

use super::{Case, worked};
use crate::Cold;
use libc::{c_int, c_void, iovec, size_t, sockaddr, socklen_t, ssize_t};
use std::mem::size_of;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::ptr;
use std::time::Duration;

pub(crate) const CASES: &[Case] = &[
    ("recv recvfrom __recv_chk __recvfrom_chk", datagrams),
    ("recvmsg recvmmsg", messages),
    ("recvmmsg", many_messages),
    ("accept accept4 getsockname getpeername getsockopt", names),
    ("pipe pipe2 socketpair", pairs),
    ("poll __poll_chk ppoll select pselect", waiting),
    ("epoll_wait epoll_pwait epoll_pwait2", events),
    ("ioctl", requests),
];

unsafe extern "C" {
    fn __recv_chk(fd: c_int, buf: *mut c_void, len: size_t, room: size_t, flags: c_int) -> ssize_t;
    fn __recvfrom_chk(
        fd: c_int,
        buf: *mut c_void,
        len: size_t,
        room: size_t,
        flags: c_int,
        address: *mut sockaddr,
        address_len: *mut socklen_t,
    ) -> ssize_t;
    fn __poll_chk(fds: *mut libc::pollfd, n: libc::nfds_t, limit: c_int, room: size_t) -> c_int;
    fn epoll_pwait2(
        fd: c_int,
        events: *mut libc::epoll_event,
        most: c_int,
        limit: *const libc::timespec,
        set: *const libc::sigset_t,
    ) -> c_int;
}

/// Datagrams that must come whole, small and larger than a thread's buffer.
fn datagrams(cold: &mut Cold, _: &Path) {
    let (from, to) = UnixDatagram::pair().expect("sockets");
    let (fd, place) = (to.as_raw_fd(), cold.start());
    for len in [700, 150_000] {
        let bytes: Vec<u8> = (0..len).map(|index| (index % 13) as u8).collect();
        for call in 0..4 {
            from.send(&bytes).expect("room");
            let (room, none) = (1 << 20, ptr::null_mut());
            let got = match call {
                0 => f!(cold, [place], libc::recv(fd, place.cast(), room, 0)),
                1 => f!(
                    cold,
                    [place],
                    libc::recvfrom(fd, place.cast(), room, 0, none, ptr::null_mut())
                ),
                2 => f!(cold, [place], __recv_chk(fd, place.cast(), room, room, 0)),
                _ => f!(
                    cold,
                    [place],
                    __recvfrom_chk(fd, place.cast(), room, room, 0, none, ptr::null_mut())
                ),
            };
            assert_eq!(worked(got), i64::from(len));
            let found = c!(std::slice::from_raw_parts(place, bytes.len()));
            assert_eq!(found, bytes);
        }
    }
    let (here, there) = udp();
    there.send_to(b"udp", here.local_addr().expect("an address")).expect("sent");
    let (address, len): (*mut libc::sockaddr_in, *mut socklen_t) = (cold.at(10), cold.at(20));
    c!(len.write(size_of::<libc::sockaddr_in>() as u32));
    let got = f!(
        cold,
        [place, address, len],
        libc::recvfrom(here.as_raw_fd(), place.cast(), 100, 0, address.cast(), len)
    );
    assert_eq!(worked(got), 3);
    let port = there.local_addr().expect("an address").port();
    assert_eq!((c!(len.read()), u16::from_be(c!((*address).sin_port))), (16, port));
}

fn udp() -> (UdpSocket, UdpSocket) {
    let socket = || UdpSocket::bind("127.0.0.1:0").expect("a socket");
    (socket(), socket())
}

/// The message's header, its parts, its address and its control messages all lie in cold memory.
fn messages(cold: &mut Cold, _: &Path) {
    let (here, there) = udp();
    let target = here.local_addr().expect("an address");
    let place = cold.start();
    let (address, control): (*mut libc::sockaddr_in, *mut u8) = (cold.at(100), cold.at(110));
    let (first, second) = (place, place.wrapping_add(2 << 20));
    let parts: *mut iovec = cold.at(130);
    let header: *mut libc::mmsghdr = cold.at(140);
    let one: c_int = 1;
    worked(c!(libc::setsockopt(
        here.as_raw_fd(),
        libc::SOL_SOCKET,
        libc::SO_TIMESTAMP,
        (&raw const one).cast(),
        4,
    )));
    for call in 0..2 {
        there.send_to(b"scattered", target).expect("sent");
        c!(parts.write(iovec { iov_base: first.cast(), iov_len: 4 }));
        c!(parts.add(1).write(iovec { iov_base: second.cast(), iov_len: 100 }));
        c!(header.write(std::mem::zeroed()));
        let message = c!(&mut (*header).msg_hdr);
        (message.msg_name, message.msg_namelen) = (address.cast(), 16);
        (message.msg_iov, message.msg_iovlen) = (parts, 2);
        (message.msg_control, message.msg_controllen) = (control.cast(), 200);
        match call {
            0 => assert_eq!(
                worked(f!(
                    cold,
                    [header, first, second, address, control],
                    libc::recvmsg(here.as_raw_fd(), message, 0)
                )),
                9
            ),
            _ => {
                let (fd, flags, none) = (here.as_raw_fd(), libc::MSG_WAITFORONE, ptr::null_mut());
                assert_eq!(
                    worked(f!(
                        cold,
                        [header, first, second, address, control],
                        libc::recvmmsg(fd, header, 1, flags, none)
                    )),
                    1
                );
                assert_eq!(c!((*header).msg_len), 9);
            }
        }
        assert_eq!(c!(std::slice::from_raw_parts(first, 4)), b"scat");
        assert_eq!(c!(std::slice::from_raw_parts(second, 5)), b"tered");
        let port = there.local_addr().expect("an address").port();
        assert_eq!(u16::from_be(c!((*address).sin_port)), port);
        let control_len = c!((*header).msg_hdr.msg_controllen);
        assert!(control_len > 0 && control_len < 200, "{control_len} bytes of a time stamp");
        assert_eq!(c!((*control.cast::<libc::cmsghdr>()).cmsg_type), libc::SCM_TIMESTAMP);
    }
}

/// There is room for three, two come: the third stays as it was.
fn many_messages(cold: &mut Cold, _: &Path) {
    let (here, there) = udp();
    let target = here.local_addr().expect("an address");
    let (headers, parts): (*mut libc::mmsghdr, *mut iovec) = (cold.at(0), cold.at(10));
    let data = cold.start().wrapping_add(2 << 20);
    for index in 0..3 {
        let (header, part) = (headers.wrapping_add(index), parts.wrapping_add(index));
        let iov_base = data.wrapping_add(index * 100_000).cast();
        c!(part.write(iovec { iov_base, iov_len: 100_000 }));
        c!(header.write(std::mem::zeroed()));
        c!((*header).msg_hdr.msg_iov = part);
        c!((*header).msg_hdr.msg_iovlen = 1);
        c!((*header).msg_len = 99);
    }
    for message in [&b"first"[..], b"the second"] {
        there.send_to(message, target).expect("sent");
    }
    let limit: *mut libc::timespec = cold.at(20);
    c!(limit.write(libc::timespec { tv_sec: 50, tv_nsec: 0 }));
    let (fd, flags) = (here.as_raw_fd(), libc::MSG_WAITFORONE);
    let got = f!(cold, [headers, data, limit], libc::recvmmsg(fd, headers, 3, flags, limit));
    assert_eq!(worked(got), 2);
    let len = |index: usize| c!((*headers.wrapping_add(index)).msg_len);
    assert_eq!([len(0), len(1), len(2)], [5, 10, 99]);
    assert_eq!(c!(std::slice::from_raw_parts(data, 5)), b"first");
    assert_eq!(c!(std::slice::from_raw_parts(data.add(100_000), 10)), b"the second");
    assert!((40..=50).contains(&c!((*limit).tv_sec)), "what is left of the time");
}

fn names(cold: &mut Cold, _: &Path) {
    let server = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let target = server.local_addr().expect("an address");
    let (address, len): (*mut libc::sockaddr_in, *mut socklen_t) = (cold.at(0), cold.at(10));
    let check = |result: c_int, port: u16| {
        worked(result);
        assert_eq!((c!(len.read()), u16::from_be(c!((*address).sin_port))), (16, port));
        c!(address.write(std::mem::zeroed()));
    };
    for call in 0..2 {
        let client = TcpStream::connect(target).expect("a connection");
        let port = client.local_addr().expect("an address").port();
        c!(len.write(16));
        let fd = match call {
            0 => f!(cold, [address, len], libc::accept(server.as_raw_fd(), address.cast(), len)),
            _ => f!(
                cold,
                [address, len],
                libc::accept4(server.as_raw_fd(), address.cast(), len, libc::SOCK_CLOEXEC)
            ),
        };
        check(fd, port);
        check(f!(cold, [address, len], libc::getpeername(fd, address.cast(), len)), port);
        check(f!(cold, [address, len], libc::getsockname(fd, address.cast(), len)), target.port());
        let value: *mut c_int = cold.at(5);
        c!(len.write(4));
        let (level, option) = (libc::SOL_SOCKET, libc::SO_TYPE);
        worked(f!(cold, [value, len], libc::getsockopt(fd, level, option, value.cast(), len)));
        assert_eq!(c!(value.read()), libc::SOCK_STREAM);
        c!(libc::close(fd));
        let got = f!(cold, [address, len], libc::getpeername(-1, address.cast(), len));
        let error = std::io::Error::last_os_error().raw_os_error();
        assert_eq!((got, error), (-1, Some(libc::EBADF)));
    }
}

fn pairs(cold: &mut Cold, _: &Path) {
    let fds: *mut c_int = cold.at(0);
    for call in 0..3 {
        worked(match call {
            0 => f!(cold, [fds], libc::pipe(fds)),
            1 => f!(cold, [fds], libc::pipe2(fds, libc::O_CLOEXEC)),
            _ => f!(cold, [fds], libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, fds)),
        });
        let (from, to) = (c!(fds.read()), c!(fds.add(1).read()));
        assert_eq!(worked(c!(libc::write(to, c"x".as_ptr().cast(), 1))), 1);
        let place: *mut u8 = cold.at(9);
        assert_eq!(worked(f!(cold, [place], libc::read(from, place.cast(), 10))), 1);
        assert_eq!(c!(place.read()), b'x');
        [from, to].into_iter().for_each(|fd| assert_eq!(c!(libc::close(fd)), 0));
    }
}

/// One descriptor that can be read, one that cannot.
fn waiting(cold: &mut Cold, _: &Path) {
    let (from, to) = UnixDatagram::pair().expect("sockets");
    let idle = UnixDatagram::unbound().expect("a socket");
    from.send(b"x").expect("room");
    let (ready, idle) = (to.as_raw_fd(), idle.as_raw_fd());
    let fds: *mut libc::pollfd = cold.at(0);
    let entry = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let limit = libc::timespec { tv_sec: 5, tv_nsec: 0 };
    for call in 0..3 {
        c!(fds.write(entry(idle)));
        c!(fds.add(1).write(entry(ready)));
        let got = match call {
            0 => f!(cold, [fds], libc::poll(fds, 2, 5000)),
            1 => f!(cold, [fds], __poll_chk(fds, 2, 5000, 16)),
            _ => f!(cold, [fds], libc::ppoll(fds, 2, &raw const limit, ptr::null())),
        };
        assert_eq!(worked(got), 1);
        assert_eq!((c!((*fds).revents), c!((*fds.add(1)).revents)), (0, libc::POLLIN));
    }
    let (reads, left): (*mut libc::fd_set, *mut libc::timeval) = (cold.at(10), cold.at(20));
    let none = ptr::null_mut();
    for call in 0..2 {
        c!(libc::FD_ZERO(reads));
        c!(libc::FD_SET(ready, reads));
        c!(libc::FD_SET(idle, reads));
        c!(left.write(libc::timeval { tv_sec: 5, tv_usec: 0 }));
        let most = ready.max(idle) + 1;
        let got = match call {
            0 => f!(cold, [reads, left], libc::select(most, reads, none, none, left)),
            _ => f!(
                cold,
                [reads],
                libc::pselect(most, reads, none, none, &raw const limit, ptr::null())
            ),
        };
        assert_eq!(worked(got), 1);
        assert!(c!(libc::FD_ISSET(ready, reads)) && !c!(libc::FD_ISSET(idle, reads)));
    }
}

fn events(cold: &mut Cold, _: &Path) {
    let (from, to) = UnixDatagram::pair().expect("sockets");
    from.send(b"x").expect("room");
    let poll = worked(c!(libc::epoll_create1(0))) as c_int;
    let mut wanted = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 77 };
    worked(c!(libc::epoll_ctl(poll, libc::EPOLL_CTL_ADD, to.as_raw_fd(), &raw mut wanted)));
    let found: *mut libc::epoll_event = cold.at(0);
    let limit = libc::timespec { tv_sec: 5, tv_nsec: 0 };
    for call in 0..3 {
        c!(found.write(libc::epoll_event { events: 0, u64: 0 }));
        let got = match call {
            0 => f!(cold, [found], libc::epoll_wait(poll, found, 8, 5000)),
            1 => f!(cold, [found], libc::epoll_pwait(poll, found, 8, 5000, ptr::null())),
            _ => f!(cold, [found], epoll_pwait2(poll, found, 8, &raw const limit, ptr::null())),
        };
        assert_eq!(worked(got), 1);
        let event = c!(found.read());
        assert_eq!({ event.u64 }, 77);
    }
    c!(libc::close(poll));
}

fn requests(cold: &mut Cold, _: &Path) {
    let (from, to) = UnixDatagram::pair().expect("sockets");
    from.send(b"seven b").expect("room");
    let count: *mut c_int = cold.at(0);
    worked(f!(cold, [count], libc::ioctl(to.as_raw_fd(), libc::FIONREAD, count)));
    assert_eq!(c!(count.read()), 7);
    to.set_read_timeout(Some(Duration::from_millis(1))).expect("a limit");
}
