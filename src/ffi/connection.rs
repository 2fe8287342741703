//! The connection of a request that was given back to nginx while its client waits, and the request
//! that is made anew on it to end.

use core::ffi::c_void;
use core::ptr::{self, NonNull};

use nginx_sys::{
    NGX_AGAIN, ngx_connection_t, ngx_event_t, ngx_http_connection_t, ngx_http_request_t,
    ngx_http_test_reading, ngx_str_t, ngx_uint_t,
};

use super::conf::{Conf, bytes};
use super::guard::guarded;
use super::request::{Request, code};
use super::shim::{self, icomet_kept_t};
use crate::worker::{input, parking, websocket};

/// nginx's NGX_HTTP_VERSION_10 and NGX_HTTP_VERSION_11 (ngx_http_request.h).
const HTTP_10: ngx_uint_t = 1000;
const HTTP_11: ngx_uint_t = 1001;

/// A connection that nginx has no request on. It belongs to one subscriber, who is taken out of the
/// worker's tables before a request is made on it again; so no copy outlives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection(NonNull<ngx_connection_t>);

/// The configuration that a request was served by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    srv_conf: *mut *mut c_void,
    loc_conf: *mut *mut c_void,
}

impl Origin {
    /// What the block that is being read will serve with.
    pub fn of_block(conf: Conf) -> Origin {
        let (mut srv_conf, mut loc_conf) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the configuration context is live, and in a location's block.
        unsafe {
            shim::icomet_conf_origin(conf.as_ptr(), &raw mut srv_conf, &raw mut loc_conf);
        }
        Origin { srv_conf, loc_conf }
    }

    /// The server's arrays, for a call into nginx.
    pub fn srv_conf(self) -> *mut *mut c_void {
        self.srv_conf
    }

    /// The server's first name, the location's kind as a set of bits, and its name; equal in two
    /// configurations for what an operator would call the same location.
    pub fn names(&self) -> (&[u8], u8, &[u8]) {
        let (mut server, mut name) = (ngx_str_t::empty(), ngx_str_t::empty());
        let mut kind = 0;
        // SAFETY: an origin is one of a configuration that lives; the strings live in its pool.
        unsafe {
            shim::icomet_location_describe(
                self.srv_conf,
                self.loc_conf,
                &raw mut server,
                &raw mut name,
                &raw mut kind,
            );
            (bytes(server), kind as u8, bytes(name))
        }
    }
}

/// What is kept of a parked request, besides variables.
#[derive(Clone, Copy, Debug)]
pub struct Kept<'a> {
    /// nginx's own record of the connection, as a number; it lives as long as the connection.
    pub http_connection: usize,
    /// Server and location.
    pub origin: Origin,
    /// When the request began: seconds since 1970, and milliseconds.
    pub start: (u64, u16),
    /// Bytes of the request.
    pub request_length: u64,
    /// Bytes of the answer's head, once that was sent.
    pub header_size: usize,
    /// The status that error_page gave the answer; 0: none.
    pub err_status: u16,
    /// HTTP/1.0, not 1.1.
    pub is_http_10: bool,
    /// The connection may serve another request afterwards.
    pub keepalive: bool,
    /// The answer's head was sent.
    pub head_sent: bool,
    /// The answer is in chunks (RFC 9112, section 7.1).
    pub chunked: bool,
    /// It was answered by 101: the connection speaks another protocol.
    pub upgraded: bool,
    /// `$request`
    pub request_line: &'a [u8],
    /// `$request_uri`
    pub unparsed_uri: &'a [u8],
    /// `$uri`
    pub uri: &'a [u8],
    /// `$args`
    pub args: &'a [u8],
}

/// What became of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// So many bytes were taken; fewer than all when the client takes no more now.
    Bytes(usize),
    /// The connection is broken.
    Broken,
}

/// What a client has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// So many bytes.
    Bytes(usize),
    /// Nothing for now; the read event tells when there is something.
    Nothing,
    /// It has gone.
    Gone,
    /// The worker begins to exit.
    Exiting,
}

/// # Safety
///
/// The connection is live, and nginx has no other reader on it.
unsafe fn receive(connection: *mut ngx_connection_t, buffer: &mut [u8]) -> Received {
    let mut received = 0;
    // SAFETY: see the function; nginx writes no more than the buffer's length.
    let seen = unsafe {
        shim::icomet_connection_receive(
            connection,
            buffer.as_mut_ptr(),
            buffer.len(),
            &raw mut received,
        )
    };
    match seen as u32 {
        shim::ICOMET_READ_DATA => Received::Bytes(received),
        shim::ICOMET_READ_GONE => Received::Gone,
        shim::ICOMET_READ_EXITING => Received::Exiting,
        _ => Received::Nothing,
    }
}

impl Request {
    /// Takes what the client has sent behind the head of a held request whose connection was upgraded.
    pub fn receive(self, buffer: &mut [u8]) -> Received {
        // SAFETY: the request is live, and so is its connection.
        unsafe { receive((*self.as_ptr()).connection, buffer) }
    }

    /// As [`Connection::read_soon`].
    pub fn read_soon(self) {
        // SAFETY: as above.
        unsafe { shim::icomet_connection_read_soon((*self.as_ptr()).connection) }
    }
}

/// Whether the request can be given back; it is a held one, and its handler has returned.
pub fn can_park(request: &Request) -> bool {
    // SAFETY: the request is live.
    unsafe { shim::icomet_request_can_park(request.as_ptr()) != 0 }
}

/// What there is to keep of a request; `None` for a version of HTTP that cannot be kept.
pub fn describe(request: &Request) -> Option<Kept<'_>> {
    // SAFETY: the request is live; the strings live in its pool, as long as the borrow.
    unsafe {
        let mut kept: icomet_kept_t = core::mem::zeroed();
        shim::icomet_request_describe(request.as_ptr(), &raw mut kept);
        Some(Kept {
            http_connection: kept.http_connection.expose_provenance(),
            origin: Origin {
                srv_conf: kept.srv_conf,
                loc_conf: kept.loc_conf,
            },
            start: (
                u64::try_from(kept.start_sec).unwrap_or(0),
                kept.start_msec as u16,
            ),
            request_length: u64::try_from(kept.request_length).unwrap_or(0),
            header_size: kept.header_size,
            err_status: kept.err_status as u16,
            is_http_10: match kept.http_version {
                HTTP_10 => true,
                HTTP_11 => false,
                _ => return None,
            },
            keepalive: kept.keepalive != 0,
            head_sent: kept.head_sent != 0,
            chunked: kept.chunked != 0,
            upgraded: kept.upgraded != 0,
            request_line: bytes(kept.request_line),
            unparsed_uri: bytes(kept.unparsed_uri),
            uri: bytes(kept.uri),
            args: bytes(kept.args),
        })
    }
}

/// Gives a request back that [`can_park`]; its connection is the subscriber's of that index from here
/// on. The request's context must have no owner any more.
pub fn park(request: Request, subscriber: u32) -> Option<Connection> {
    let data = ptr::without_provenance_mut(subscriber as usize);
    // SAFETY: the request is live and is not used after this; nginx calls the handlers with this
    // connection's events until it is unparked.
    let connection = unsafe {
        shim::icomet_request_park(
            request.as_ptr(),
            data,
            Some(icomet_on_parked_read),
            Some(icomet_on_parked_write),
        )
    };
    NonNull::new(connection).map(Connection)
}

/// Where nginx's handler of requests is in this process and all forks of its master; 0: not known.
pub fn request_handler() -> usize {
    // SAFETY: reads a variable.
    unsafe { shim::icomet_request_handler_known() }
}

/// Tells a process that has parked nobody where nginx's handler of requests is.
///
/// # Safety
///
/// `address` is what [`request_handler`] said in another fork of the same master.
pub unsafe fn tell_request_handler(address: usize) {
    // SAFETY: see the function; it is called only with requests that are made to end.
    unsafe { shim::icomet_request_handler_tell(address) }
}

impl Connection {
    /// Wraps a connection that was parked, or made as one.
    pub(super) fn from_ptr(connection: NonNull<ngx_connection_t>) -> Connection {
        Connection(connection)
    }

    /// The pointer itself, for a call into nginx.
    pub(super) fn as_ptr(self) -> *mut ngx_connection_t {
        self.0.as_ptr()
    }

    /// Makes a request on it anew, to end; it must not be used as a parked one afterwards. `None` when
    /// nginx has no memory: the connection is closed then.
    pub fn unpark<'a>(
        self,
        kept: &Kept<'_>,
        variables: impl Iterator<Item = (u16, &'a [u8])>,
    ) -> Option<Request> {
        let raw = icomet_kept_t {
            http_connection: ptr::with_exposed_provenance_mut::<ngx_http_connection_t>(
                kept.http_connection,
            ),
            srv_conf: kept.origin.srv_conf,
            loc_conf: kept.origin.loc_conf,
            start_sec: kept.start.0 as _,
            start_msec: kept.start.1.into(),
            request_length: kept.request_length as _,
            header_size: kept.header_size,
            err_status: kept.err_status.into(),
            http_version: if kept.is_http_10 { HTTP_10 } else { HTTP_11 },
            keepalive: kept.keepalive.into(),
            head_sent: kept.head_sent.into(),
            chunked: kept.chunked.into(),
            upgraded: kept.upgraded.into(),
            request_line: view(kept.request_line),
            unparsed_uri: view(kept.unparsed_uri),
            uri: view(kept.uri),
            args: view(kept.args),
        };
        // SAFETY: the connection is parked, and what is kept of its request came from it; the strings
        // are copied into the new request's pool.
        unsafe {
            let r = shim::icomet_connection_unpark(self.0.as_ptr(), &raw const raw);
            let request = Request::from_raw(r)?;
            for (index, value) in variables {
                let value = view(value);
                // Without memory for it the variable has no value, which a log can bear.
                shim::icomet_variable_restore(r, index.into(), &raw const value);
            }
            Some(request)
        }
    }

    /// Sends what the client takes now.
    pub fn send(self, data: &[u8]) -> Taken {
        let mut sent = 0;
        while sent < data.len() {
            let rest = &data[sent..];
            // SAFETY: the connection is live, and the bytes are only read.
            let n =
                unsafe { shim::icomet_connection_send(self.0.as_ptr(), rest.as_ptr(), rest.len()) };
            match usize::try_from(n) {
                Ok(0) => break,
                Ok(n) => {
                    sent += n;
                    // A second call would only be told to wait.
                    if n < rest.len() {
                        break;
                    }
                }
                Err(_) if n == NGX_AGAIN as isize => break,
                Err(_) => return Taken::Broken,
            }
        }
        Taken::Bytes(sent)
    }

    /// Takes what the client has sent; nothing at all into an empty buffer, see [`Received`].
    pub fn receive(self, buffer: &mut [u8]) -> Received {
        // SAFETY: the connection is live.
        unsafe { receive(self.0.as_ptr(), buffer) }
    }

    /// Has it looked in the next turn of the loop whether its client has sent something.
    pub fn read_soon(self) {
        // SAFETY: the connection is live.
        unsafe { shim::icomet_connection_read_soon(self.0.as_ptr()) }
    }

    /// Waits until the client takes more, but no longer than send_timeout. `Err`: it is broken.
    pub fn wait(self, origin: Origin) -> Result<(), ()> {
        // SAFETY: the connection is live, and the location's configuration as well.
        let rc = unsafe { shim::icomet_connection_wait(self.0.as_ptr(), origin.loc_conf) };
        if rc == code::OK { Ok(()) } else { Err(()) }
    }

    /// The client has taken what it was waited for.
    pub fn stop_waiting(self) {
        // SAFETY: the connection is live.
        unsafe { shim::icomet_connection_sent(self.0.as_ptr()) }
    }

    /// Asks the processor for its memory, which is going to be used.
    pub fn ask(self) {
        // SAFETY: a hint, which reads nothing.
        unsafe { shim::icomet_connection_ask(self.0.as_ptr()) }
    }

    /// Asks for what that memory leads to.
    pub fn ask_further(self) {
        // SAFETY: the connection is live.
        unsafe { shim::icomet_connection_ask_further(self.0.as_ptr()) }
    }

    /// Keeps bytes in what the connection's own pool has left, while it is parked; whether they fit.
    pub fn keep(self, kept: &[u8]) -> bool {
        let Ok(len) = u16::try_from(kept.len()) else {
            return false;
        };
        let mut start = ptr::null_mut();
        // SAFETY: the connection is parked, so the slack is nobody's; it is written within its size.
        unsafe {
            let slack = shim::icomet_connection_slack(self.0.as_ptr(), &raw mut start);
            if slack < size_of::<u16>() + kept.len() {
                return false;
            }
            let head = len.to_ne_bytes();
            ptr::copy_nonoverlapping(head.as_ptr(), start, head.len());
            ptr::copy_nonoverlapping(kept.as_ptr(), start.add(head.len()), kept.len());
        }
        true
    }

    /// What [`Connection::keep`] kept; it is gone when the connection is unparked.
    pub fn kept(&self) -> &[u8] {
        let mut start = ptr::null_mut();
        // SAFETY: keep() was called on this parked connection and nothing was allocated since, so the
        // same slack holds a length and as many bytes.
        unsafe {
            shim::icomet_connection_slack(self.0.as_ptr(), &raw mut start);
            let len = u16::from_ne_bytes([*start, *start.add(1)]);
            core::slice::from_raw_parts(start.add(size_of::<u16>()), len.into())
        }
    }

    /// Has it tried in the next turn of the loop whether its client takes more.
    pub fn write_soon(self) {
        // SAFETY: the connection is live.
        unsafe { shim::icomet_connection_write_soon(self.0.as_ptr()) }
    }

    /// The subscriber that it belongs to.
    pub fn subscriber(self) -> u32 {
        // SAFETY: the connection is parked, so its data is the number that park() gave it.
        unsafe { (*self.0.as_ptr()).data.addr() as u32 }
    }
}

/// The same bytes, for a call into nginx that only reads them.
pub(super) fn view(text: &[u8]) -> ngx_str_t {
    ngx_str_t {
        len: text.len(),
        data: text.as_ptr().cast_mut(),
    }
}

/// # Safety
///
/// `event` is an event of a parked connection.
unsafe fn connection_of(event: *mut ngx_event_t) -> Option<Connection> {
    // SAFETY: see the function; nginx keeps the connection in its event's data.
    NonNull::new(unsafe { (*event).data.cast::<ngx_connection_t>() }).map(Connection)
}

/// nginx calls it when the client of a parked connection sent something or left, and when the worker
/// begins to exit.
pub(super) unsafe extern "C" fn icomet_on_parked_read(event: *mut ngx_event_t) {
    guarded("read event of a parked connection", (), || {
        // SAFETY: nginx passes the read event of the connection that it was set on.
        let Some(connection) = (unsafe { connection_of(event) }) else {
            return;
        };
        let index = connection.subscriber();
        if websocket::is_one(index) {
            return input::readable(index);
        }
        // What a client sends while a long poll waits is its next request.
        let keep = parking::is_long_poll(index);
        // SAFETY: the connection is live.
        let seen = unsafe { shim::icomet_connection_read(connection.0.as_ptr(), keep.into()) };
        match seen as u32 {
            shim::ICOMET_READ_DATA if !keep => parking::junk(index),
            shim::ICOMET_READ_GONE => parking::gone(index),
            shim::ICOMET_READ_EXITING => crate::worker::shutdown::begin(),
            _ => {}
        }
    });
}

/// nginx calls it when the client of a held endless answer sent something or left; the same holds for
/// it as for a parked one.
///
/// # Safety
///
/// nginx calls it with a live request that [`Request::hold`] was called on.
pub unsafe extern "C" fn icomet_on_held_read(r: *mut ngx_http_request_t) {
    guarded("read event", (), || {
        // SAFETY: the request is live.
        let socket = unsafe { Request::from_raw(r) }
            .and_then(|request| Some(request.context()?.owner.get()))
            .and_then(websocket::of_owner);
        if let Some(index) = socket {
            return input::readable(index);
        }
        // SAFETY: the request is live, and so is its connection.
        let (request, seen) = unsafe {
            if shim::icomet_request_is_stream(r) != 0 {
                // What comes on an HTTP/2 connection is not this client's alone.
                return ngx_http_test_reading(r);
            }
            let seen = shim::icomet_connection_read((*r).connection, 0);
            (Request::from_raw(r), seen)
        };
        let Some(request) = request else { return };
        match seen as u32 {
            shim::ICOMET_READ_DATA => {
                parking::log_junk();
                request.finalize_in_handler(code::ERROR);
            }
            shim::ICOMET_READ_GONE => request.finalize_in_handler(parking::CLIENT_CLOSED),
            _ => {}
        }
    });
}

/// nginx calls it when the client of a parked connection can take more, or has not for send_timeout.
pub(super) unsafe extern "C" fn icomet_on_parked_write(event: *mut ngx_event_t) {
    guarded("write event of a parked connection", (), || {
        // SAFETY: nginx passes the write event of the connection that it was set on.
        let Some(connection) = (unsafe { connection_of(event) }) else {
            return;
        };
        // SAFETY: the connection is live.
        let timed_out = unsafe { shim::icomet_connection_timed_out(connection.0.as_ptr()) != 0 };
        if timed_out {
            parking::timed_out(connection.subscriber());
        } else {
            parking::writable(connection.subscriber());
        }
    });
}
