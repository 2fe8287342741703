//! The address of a client, as nginx knows it: that of the connection, or what `realip` put in its place.

use core::ptr::NonNull;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nginx_sys::ngx_connection_t;

use super::request::Request;

/// The client's address; `None` when it has none (a Unix socket).
pub fn of_request(request: &Request) -> Option<IpAddr> {
    // SAFETY: the request is live, and so is its connection; neither field is a bitfield.
    let connection = unsafe { (*request.as_ptr()).connection };
    // SAFETY: as above.
    unsafe { of_connection(NonNull::new(connection)?) }
}

/// The same for a connection without a request.
///
/// # Safety
///
/// The connection is live.
pub unsafe fn of_connection(connection: NonNull<ngx_connection_t>) -> Option<IpAddr> {
    // SAFETY: nginx keeps the address as long as the connection, in memory of its own that is aligned
    // and long enough for the family that it names.
    unsafe {
        let address = (*connection.as_ptr())
            .sockaddr
            .cast::<libc::sockaddr>()
            .cast_const();
        match i32::from(address.as_ref()?.sa_family) {
            libc::AF_INET => {
                let address = address.cast::<libc::sockaddr_in>().read_unaligned();
                let octets = address.sin_addr.s_addr.to_ne_bytes();
                Some(Ipv4Addr::from(octets).into())
            }
            libc::AF_INET6 => {
                let address = address.cast::<libc::sockaddr_in6>().read_unaligned();
                Some(Ipv6Addr::from(address.sin6_addr.s6_addr).into())
            }
            _ => None,
        }
    }
}
