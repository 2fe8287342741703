//! A socket to another worker, in the event loop.

use core::ptr::{self, NonNull};
use std::os::fd::{BorrowedFd, IntoRawFd, OwnedFd};

use nginx_sys::{ngx_connection_t, ngx_event_t};

use super::event::Handler;
use super::shim;

/// A descriptor that nginx watches for reading, as long as nobody closes it. A copy must not be used
/// after [`LoopSocket::close`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoopSocket(NonNull<ngx_connection_t>);

impl LoopSocket {
    /// Watches a descriptor; `handler` is called when it can be read, and finds `number` by
    /// [`LoopSocket::of_event`]. `None` when nginx has no connection for it; it is closed then.
    pub fn open(fd: OwnedFd, number: u32, handler: Handler) -> Option<LoopSocket> {
        let data = ptr::without_provenance_mut(number as usize);
        let fd = fd.into_raw_fd();
        // SAFETY: the descriptor is open and ours; on success the connection owns it.
        unsafe {
            match NonNull::new(shim::icomet_socket_open(fd, data, Some(handler))) {
                Some(connection) => Some(LoopSocket(connection)),
                None => {
                    libc::close(fd);
                    None
                }
            }
        }
    }

    /// The socket whose handler was called, and its number.
    ///
    /// # Safety
    ///
    /// `event` is what nginx passed to a handler that was given to [`LoopSocket::open`].
    pub unsafe fn of_event(event: *mut ngx_event_t) -> Option<(LoopSocket, u32)> {
        // SAFETY: see the function: an event's data is its connection.
        unsafe {
            let connection = NonNull::new((*event).data.cast::<ngx_connection_t>())?;
            let number = (*connection.as_ptr()).data.addr() as u32;
            Some((LoopSocket(connection), number))
        }
    }

    /// Its descriptor.
    pub fn fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor is open until close().
        unsafe { BorrowedFd::borrow_raw((*self.0.as_ptr()).fd) }
    }

    /// Has its handler called once more, in the next turn of the loop.
    pub fn again(self) {
        // SAFETY: the connection is live.
        unsafe { shim::icomet_socket_again(self.0.as_ptr()) }
    }

    /// Closes it.
    pub fn close(self) {
        // SAFETY: the connection is live, and no copy of it is used from here on.
        unsafe { shim::icomet_socket_close(self.0.as_ptr()) }
    }
}
