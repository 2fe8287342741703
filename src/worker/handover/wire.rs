//! Sockets between workers: packets with descriptors.

use core::mem::MaybeUninit;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use icomet_engine::socket_name;
use rustix::cmsg_space;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::net::{
    self, AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown, SocketFlags, SocketType,
    accept_with, bind, recvmsg, sendmsg, shutdown, socket_with, sockopt,
};

/// The longest packet, in bytes: more than a socket's buffer takes by default
/// (`net.core.wmem_default`, 212,992).
pub const LONGEST: usize = 256 << 10;

/// Descriptors that go along with a packet, at most.
const DESCRIPTORS: usize = 2;

/// A packet that came.
pub struct Received {
    /// Its length; 0: the other end is closed, and nothing will come any more.
    pub len: usize,
    /// The descriptors that came along.
    pub fds: Vec<OwnedFd>,
    /// It was longer than the buffer.
    pub is_cut: bool,
}

/// Connections that wait to be accepted, at most: one of each worker that can live.
const BACKLOG: i32 = icomet_engine::WORKER_SLOTS as i32;

/// A socket for packets, which keep their bounds and their order.
fn socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        flags,
        None,
    )?)
}

/// A socket that others can connect to by that number.
pub fn listen(name: u64) -> io::Result<OwnedFd> {
    let socket = socket()?;
    bind(&socket, &socket_name(name, "inbox")?)?;
    net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// A socket to whoever listens under that number.
pub fn connect(name: u64) -> io::Result<OwnedFd> {
    let socket = socket()?;
    net::connect(&socket, &socket_name(name, "inbox")?)?;
    Ok(socket)
}

/// The next connection; an error of kind `WouldBlock` when there is none now.
pub fn accept(inbox: impl AsFd) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(accept_with(inbox, flags)?)
}

/// The process at the other end: that connected, or began to listen.
pub fn process_of(socket: impl AsFd) -> io::Result<u32> {
    let peer = sockopt::socket_peercred(socket)?;
    Ok(peer.pid.as_raw_nonzero().get().unsigned_abs())
}

/// Sends a packet, whole, with two descriptors at most.
pub fn send(socket: impl AsFd, packet: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    sendmsg(
        socket,
        &[IoSlice::new(packet)],
        &mut ancillary,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

/// Receives the next packet; an error of kind `WouldBlock` when there is none now.
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<Received> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let message = recvmsg(
        socket,
        &mut [IoSliceMut::new(buffer)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let mut fds = Vec::new();
    for part in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = part {
            fds.extend(rights);
        }
    }
    Ok(Received {
        len: message.bytes,
        fds,
        is_cut: message.flags.contains(ReturnFlags::TRUNC),
    })
}

/// The other end can send nothing more; what it has sent is still to be received.
pub fn take_no_more(socket: impl AsFd) -> io::Result<()> {
    Ok(shutdown(socket, Shutdown::Read)?)
}

/// A file in memory with these bytes.
pub fn file_of(bytes: &[u8]) -> io::Result<OwnedFd> {
    let fd = memfd_create("icomet frame", MemfdFlags::CLOEXEC)?;
    let mut file = File::from(fd);
    file.write_all(bytes)?;
    Ok(file.into())
}

/// What is in such a file, unless it is longer than `most` bytes.
pub fn bytes_of(fd: OwnedFd, most: u64) -> io::Result<(OwnedFd, Vec<u8>)> {
    let file = File::from(fd);
    let len = file.metadata()?.len();
    if len > most {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut bytes = vec![0; len as usize];
    file.read_exact_at(&mut bytes, 0)?;
    Ok((file.into(), bytes))
}
