//! Sockets between workers: packets with descriptors.

use core::mem::MaybeUninit;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rustix::cmsg_space;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown, SocketFlags, SocketType,
    recvmsg, sendmsg, shutdown, socketpair,
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

/// Two ends of a socket for packets, which keep their bounds and their order.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        flags,
        None,
    )?)
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
