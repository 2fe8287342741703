//! A parked connection on its way to another worker: what it takes along, and how it is made anew there.

use core::ptr::{self, NonNull};
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};

use icomet_handover::{ProxyProtocol, Socket};
use nginx_sys::ngx_str_t;

use super::address;
use super::conf::bytes;
use super::connection::{Connection, Origin, view};
use super::shim::{self, icomet_passage_t};

/// Why a connection was not made of a descriptor that came; what came was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The new configuration has nothing in its place.
    NoPlace,
    /// This worker has no connection or memory for it.
    Full,
}

/// A connection that was made of a descriptor, before it is a subscriber's.
#[must_use = "the connection would hang"]
pub struct Fresh(Connection);

impl Connection {
    /// Whether it may move: without TLS, whose state is in this process's memory.
    pub fn is_plain(self) -> bool {
        // SAFETY: the connection is live.
        unsafe { shim::icomet_connection_is_plain(self.as_ptr()) != 0 }
    }

    /// What it takes along, and the address it was accepted on; `None`: it cannot move.
    pub fn passage(&self) -> Option<(Socket<'_>, &[u8])> {
        // SAFETY: the connection is live; the strings live in its pool, or its configuration.
        unsafe {
            let mut raw: icomet_passage_t = core::mem::zeroed();
            if shim::icomet_connection_describe(self.as_ptr(), &raw mut raw) == 0 {
                return None;
            }
            let proxy_protocol = (raw.has_proxy_protocol != 0).then(|| ProxyProtocol {
                src_addr: bytes(raw.proxy_src_addr),
                dst_addr: bytes(raw.proxy_dst_addr),
                src_port: raw.proxy_src_port,
                dst_port: raw.proxy_dst_port,
                tlvs: bytes(raw.proxy_tlvs),
            });
            let socket = Socket {
                sockaddr: bytes(raw.sockaddr),
                addr_text: bytes(raw.addr_text),
                number: raw.number as u64,
                start_time: raw.start_time as u64,
                requests: raw.requests as u64,
                sent: raw.sent as i64,
                tcp_nodelay: raw.tcp_nodelay as u8,
                tcp_nopush: raw.tcp_nopush as u8,
                proxy_protocol,
            };
            Some((socket, bytes(raw.listening)))
        }
    }

    /// The client's address, if it has one.
    pub fn address(self) -> Option<IpAddr> {
        let connection = NonNull::new(self.as_ptr())?;
        // SAFETY: the connection is live.
        unsafe { address::of_connection(connection) }
    }

    /// Its descriptor, which it keeps.
    pub fn fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor is open as long as the connection lives.
        unsafe { BorrowedFd::borrow_raw((*self.as_ptr()).fd) }
    }

    /// Takes it out of the event loop: another worker is going to serve it.
    pub fn withdraw(self) {
        // SAFETY: the connection is live and parked.
        unsafe { shim::icomet_connection_withdraw(self.as_ptr()) }
    }

    /// Another worker serves it: frees what this one holds of it. It was withdrawn, and must not be used
    /// afterwards.
    pub fn release(self) {
        // SAFETY: the connection is live, and out of the event loop.
        unsafe { shim::icomet_connection_release(self.as_ptr()) }
    }
}

impl Fresh {
    /// Makes a connection of a descriptor that another worker passed on.
    pub fn adopt(fd: OwnedFd, socket: &Socket<'_>, listening: &[u8]) -> Result<Fresh, Refusal> {
        let none = ngx_str_t::empty();
        let proxy = socket.proxy_protocol.as_ref();
        let raw = icomet_passage_t {
            fd: fd.as_raw_fd(),
            listening: view(listening),
            sockaddr: view(socket.sockaddr),
            addr_text: view(socket.addr_text),
            number: socket.number as _,
            start_time: socket.start_time as _,
            requests: socket.requests as _,
            sent: socket.sent as _,
            tcp_nodelay: socket.tcp_nodelay.into(),
            tcp_nopush: socket.tcp_nopush.into(),
            has_proxy_protocol: proxy.is_some().into(),
            proxy_src_addr: proxy.map_or(none, |p| view(p.src_addr)),
            proxy_dst_addr: proxy.map_or(none, |p| view(p.dst_addr)),
            proxy_tlvs: proxy.map_or(none, |p| view(p.tlvs)),
            proxy_src_port: proxy.map_or(0, |p| p.src_port),
            proxy_dst_port: proxy.map_or(0, |p| p.dst_port),
        };
        let mut refused = 0;
        // SAFETY: the strings are copied or only compared; who owns the descriptor afterwards is said in
        // icomet_handover.c, and kept to below.
        let connection = unsafe { shim::icomet_connection_adopt(&raw const raw, &raw mut refused) };
        if let Some(connection) = NonNull::new(connection) {
            let _ = fd.into_raw_fd();
            return Ok(Fresh(Connection::from_ptr(connection)));
        }
        let refused = refused as u32;
        if [
            shim::ICOMET_REFUSED_CLOSED,
            shim::ICOMET_REFUSED_NO_PLACE_CLOSED,
        ]
        .contains(&refused)
        {
            let _ = fd.into_raw_fd();
        }
        match refused {
            shim::ICOMET_REFUSED_NO_PLACE | shim::ICOMET_REFUSED_NO_PLACE_CLOSED => {
                Err(Refusal::NoPlace)
            }
            _ => Err(Refusal::Full),
        }
    }

    /// Whether the server of that origin answers where it came to.
    pub fn reaches(&self, origin: Origin) -> bool {
        // SAFETY: the connection is live, and its data is still nginx's record of it.
        unsafe { shim::icomet_connection_reaches(self.0.as_ptr(), origin.srv_conf()) != 0 }
    }

    /// nginx's own record of it, as a number.
    pub fn http_connection(&self) -> usize {
        // SAFETY: the connection is live, and its data is that record until it is settled.
        unsafe { (*self.0.as_ptr()).data.expose_provenance() }
    }

    /// It is the parked connection of that subscriber from here on.
    pub fn settle(self, subscriber: u32) -> Connection {
        let data = ptr::without_provenance_mut(subscriber as usize);
        // SAFETY: the connection is live; nginx calls the handlers with its events.
        unsafe {
            shim::icomet_connection_settle(
                self.0.as_ptr(),
                data,
                Some(super::connection::icomet_on_parked_read),
                Some(super::connection::icomet_on_parked_write),
            );
        }
        self.0
    }

    /// It stays with the worker that it came from.
    pub fn give_up(self) {
        self.0.withdraw();
        self.0.release();
    }
}
