//! Sockets, epoll, descriptor tables and the clock, straight from libc.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Nanoseconds of CLOCK_MONOTONIC: one clock for all threads and processes.
pub fn now() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the structure is ours and valid for the call.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

/// Turns -1 into the error of the call.
fn check(result: i32) -> io::Result<i32> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

fn size(bytes: isize) -> io::Result<usize> {
    usize::try_from(bytes).map_err(|_| io::Error::last_os_error())
}

/// Gives this thread a descriptor table of its own, with nothing in it but the standard three: the
/// limit of open files then counts for this thread alone.
///
/// The thread must not use a descriptor that was opened before.
pub fn own_files() -> io::Result<()> {
    unshare_files()?;
    // SAFETY: takes integers only. The caller keeps to descriptors opened afterwards.
    check(unsafe { libc::close_range(3, libc::c_uint::MAX, 0) })?;
    Ok(())
}

/// The same, with copies of what was open.
pub fn unshare_files() -> io::Result<()> {
    // SAFETY: takes an integer only; every descriptor stays what it was.
    check(unsafe { libc::unshare(libc::CLONE_FILES) })?;
    Ok(())
}

/// Raises the limit of open files as far as it goes and answers it.
pub fn raise_open_files() -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the structure is ours and valid for the calls.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
    }
    limit.rlim_cur
}

/// Lets this thread run before all ordinary ones, or no longer. A publisher is on another machine
/// in real life: it does not wait for a core that subscribers and server keep busy. Where it is not
/// allowed, nothing changes.
pub fn run_first(first: bool) {
    let (policy, priority) = if first {
        (libc::SCHED_FIFO, 1)
    } else {
        (libc::SCHED_OTHER, 0)
    };
    let parameters = libc::sched_param {
        sched_priority: priority,
    };
    // SAFETY: the structure is valid for the call; 0 is this thread.
    unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) };
}

/// An epoll instance. Level-triggered.
#[derive(Debug)]
pub struct Epoll(OwnedFd);

impl Epoll {
    /// A new one.
    pub fn new() -> io::Result<Self> {
        // SAFETY: the descriptor is fresh and owned by nobody else.
        unsafe {
            let fd = check(libc::epoll_create1(libc::EPOLL_CLOEXEC))?;
            Ok(Self(OwnedFd::from_raw_fd(fd)))
        }
    }

    /// Watches a descriptor for input; `token` comes back with its events.
    pub fn add(&self, fd: RawFd, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: libc::EPOLLIN.cast_unsigned(),
            u64: token,
        };
        // SAFETY: the structure is ours and valid for the call.
        check(unsafe {
            libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event)
        })?;
        Ok(())
    }

    /// Waits at most `milliseconds` and answers the tokens that have input, an error or an end.
    pub fn wait<'a>(&self, events: &'a mut Events, milliseconds: i32) -> &'a [libc::epoll_event] {
        let room = i32::try_from(events.0.len()).unwrap_or(i32::MAX);
        // SAFETY: the buffer is ours and as long as said.
        let found = unsafe {
            libc::epoll_wait(
                self.0.as_raw_fd(),
                events.0.as_mut_ptr(),
                room,
                milliseconds,
            )
        };
        // An interrupted wait found nothing.
        &events.0[..usize::try_from(found).unwrap_or(0)]
    }
}

/// The wait above knows milliseconds only.
impl Epoll {
    /// Waits until there is something, or so many nanoseconds.
    pub fn wait_nanoseconds(&self, nanoseconds: u64) {
        let mut poll = libc::pollfd {
            fd: self.0.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        let time = libc::timespec {
            tv_sec: i64::try_from(nanoseconds / 1_000_000_000).unwrap_or(0),
            tv_nsec: i64::try_from(nanoseconds % 1_000_000_000).unwrap_or(0),
        };
        // SAFETY: both structures are ours and valid for the call.
        unsafe { libc::ppoll(&raw mut poll, 1, &raw const time, std::ptr::null()) };
    }
}

/// Room for the events of one wait.
pub struct Events(Vec<libc::epoll_event>);

impl Events {
    /// Room for so many.
    pub fn new(count: usize) -> Self {
        Self(vec![libc::epoll_event { events: 0, u64: 0 }; count])
    }
}

fn socket() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: the descriptor is fresh and owned by nobody else.
    unsafe {
        let fd = check(libc::socket(libc::AF_INET, kind, 0))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

fn option<T>(fd: &OwnedFd, level: i32, name: i32, value: &T) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<T>()).unwrap_or(0);
    // SAFETY: the value is valid for the call and as long as said.
    check(unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            std::ptr::from_ref(value).cast(),
            length,
        )
    })?;
    Ok(())
}

fn raw(address: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: 2, // AF_INET
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from(*address.ip()).to_be(),
        },
        sin_zero: [0; 8],
    }
}

fn bind(fd: &OwnedFd, address: SocketAddrV4) -> io::Result<()> {
    let address = raw(address);
    // SAFETY: the address is valid for the call and as long as said.
    check(unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), ADDRESS_LENGTH) })?;
    Ok(())
}

const ADDRESS_LENGTH: libc::socklen_t = 16;

/// How long a connect may take (a full accept queue costs a second's retransmission).
const CONNECT_MILLISECONDS: i32 = 10_000;

/// Connects from a source address, whose port is chosen by the whole four-tuple. When the
/// descriptor is closed, the connection is reset: it leaves no TIME_WAIT behind.
pub fn connect(source: Ipv4Addr, to: SocketAddrV4) -> io::Result<OwnedFd> {
    let fd = socket()?;
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    option(&fd, libc::SOL_SOCKET, libc::SO_LINGER, &linger)?;
    option(&fd, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, &1i32)?;
    bind(&fd, SocketAddrV4::new(source, 0))?;
    let address = raw(to);
    // SAFETY: the address is valid for the call and as long as said.
    let result = check(unsafe {
        libc::connect(fd.as_raw_fd(), (&raw const address).cast(), ADDRESS_LENGTH)
    });
    match result {
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {
            connected(&fd)?;
        }
        Err(error) => return Err(error),
        Ok(_) => {}
    }
    Ok(fd)
}

/// Waits until a connect is through. On loopback it nearly always is at once.
fn connected(fd: &OwnedFd) -> io::Result<()> {
    let mut poll = libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLOUT,
        revents: 0,
    };
    // SAFETY: the structure is ours and valid for the call.
    match check(unsafe { libc::poll(&raw mut poll, 1, CONNECT_MILLISECONDS) })? {
        0 => return Err(io::ErrorKind::TimedOut.into()),
        _ if poll.revents & (libc::POLLERR | libc::POLLHUP) == 0 => return Ok(()),
        _ => {}
    }
    let mut error: i32 = 0;
    let mut length: libc::socklen_t = 4;
    // SAFETY: both are ours and valid for the call.
    unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ERROR,
            (&raw mut error).cast(),
            &raw mut length,
        )
    };
    Err(io::Error::from_raw_os_error(error))
}

/// Sends each write at once.
pub fn no_delay(fd: &OwnedFd) -> io::Result<()> {
    option(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, &1i32)
}

/// A listening socket that shares its port with others.
pub fn listen(address: SocketAddrV4) -> io::Result<OwnedFd> {
    let fd = socket()?;
    option(&fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, &1i32)?;
    option(&fd, libc::SOL_SOCKET, libc::SO_REUSEPORT, &1i32)?;
    bind(&fd, address)?;
    // SAFETY: takes integers only.
    check(unsafe { libc::listen(fd.as_raw_fd(), 4096) })?;
    Ok(fd)
}

/// The next connection of a listening socket.
pub fn accept(fd: &OwnedFd) -> io::Result<OwnedFd> {
    // SAFETY: no address is asked for; the descriptor is fresh and owned by nobody else.
    unsafe {
        let fd = check(libc::accept4(
            fd.as_raw_fd(),
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
        ))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Receives what is there; 0 is the end of the stream.
pub fn receive(fd: &OwnedFd, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the buffer is ours and as long as said.
    size(unsafe {
        libc::recv(
            fd.as_raw_fd(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            libc::MSG_DONTWAIT,
        )
    })
}

/// Sends what fits.
pub fn send(fd: &OwnedFd, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: the bytes are valid for the call and as many as said.
    size(unsafe {
        libc::send(
            fd.as_raw_fd(),
            bytes.as_ptr().cast(),
            bytes.len(),
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
        )
    })
}

/// A counter that wakes an epoll.
#[derive(Debug)]
pub struct Bell(OwnedFd);

impl Bell {
    /// A new one.
    pub fn new() -> io::Result<Self> {
        // SAFETY: the descriptor is fresh and owned by nobody else.
        unsafe {
            let fd = check(libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK))?;
            Ok(Self(OwnedFd::from_raw_fd(fd)))
        }
    }

    /// Its descriptor.
    pub fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Rings the bell that has this descriptor in the table of this thread.
    pub fn ring(fd: RawFd) {
        let one: u64 = 1;
        // SAFETY: the value is valid for the call and as long as said. A failure leaves it rung.
        unsafe { libc::write(fd, (&raw const one).cast(), 8) };
    }

    /// Makes it silent.
    pub fn silence(&self) {
        let mut count: u64 = 0;
        // SAFETY: the value is ours and as long as said.
        unsafe { libc::read(self.fd(), (&raw mut count).cast(), 8) };
    }
}
