//! One HTTP request of nginx.

use core::ffi::c_void;
use core::ptr::NonNull;
use std::borrow::Cow;

use icomet_protocol::origin::Page;
use nginx_sys::{
    NGX_HTTP_GET, NGX_HTTP_HEAD, NGX_HTTP_OPTIONS, NGX_HTTP_POST, ngx_http_cleanup_add,
    ngx_http_complex_value, ngx_http_complex_value_t, ngx_http_discard_request_body,
    ngx_http_finalize_request, ngx_http_read_client_request_body, ngx_http_request_t,
    ngx_http_run_posted_requests, ngx_http_send_header, ngx_http_test_reading, ngx_int_t,
    ngx_pnalloc, ngx_pool_cleanup_add, ngx_str_t,
};

use super::conf::bytes;
use super::shim;
use crate::answer::Field;
use crate::config::location::LocationConf;
use crate::config::main::MainConf;
use crate::context::Context;

/// nginx's return codes, as a handler gives them back (`ngx_core.h`).
pub mod code {
    use nginx_sys::{NGX_DECLINED, NGX_DONE, NGX_ERROR, NGX_OK, ngx_int_t};

    /// Done, and well.
    pub const OK: ngx_int_t = NGX_OK as ngx_int_t;
    /// Failed; the connection is closed.
    pub const ERROR: ngx_int_t = NGX_ERROR as ngx_int_t;
    /// The request is answered later, or was finalized already.
    pub const DONE: ngx_int_t = NGX_DONE as ngx_int_t;
    /// Not ours.
    pub const DECLINED: ngx_int_t = NGX_DECLINED as ngx_int_t;
    /// A status nginx answers with its own page.
    pub const INTERNAL_ERROR: ngx_int_t = 500;
}

/// nginx's NGX_HTTP_VERSION_11 (ngx_http_request.h).
pub const HTTP_11: usize = 1001;

/// Header fields of one name that are read; a request with more is refused.
pub const MAX_EQUAL_HEADERS: usize = 16;

/// The methods that some endpoint takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET
    Get,
    /// HEAD
    Head,
    /// POST
    Post,
    /// OPTIONS
    Options,
    /// Any other.
    Other,
}

/// A request that nginx has not freed yet.
///
/// A copy outlives the request only in the worker's tables, and is taken out of them by the
/// request's own cleanup before nginx frees it (see [`Request::attach`]). That is what each
/// `unsafe` block here relies on, besides the one thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request(NonNull<ngx_http_request_t>);

impl Request {
    /// Wraps what nginx passed to a handler.
    ///
    /// # Safety
    ///
    /// `r` is a live request of this worker; see the type for how long.
    pub unsafe fn from_raw(r: *mut ngx_http_request_t) -> Option<Request> {
        NonNull::new(r).map(Request)
    }

    /// The pointer itself, for a call into nginx.
    pub fn as_ptr(self) -> *mut ngx_http_request_t {
        self.0.as_ptr()
    }

    /// The request's method.
    pub fn method(self) -> Method {
        // SAFETY: the request is live; `method` is no bitfield.
        match unsafe { (*self.as_ptr()).method } as u32 {
            NGX_HTTP_GET => Method::Get,
            NGX_HTTP_HEAD => Method::Head,
            NGX_HTTP_POST => Method::Post,
            NGX_HTTP_OPTIONS => Method::Options,
            _ => Method::Other,
        }
    }

    /// Asks the processor for its memory, which is going to be used.
    pub fn ask(self) {
        // SAFETY: a hint, which reads nothing.
        unsafe { shim::icomet_request_ask(self.as_ptr()) }
    }

    /// Asks for what that memory leads to.
    pub fn ask_further(self) {
        // SAFETY: the request is live.
        unsafe { shim::icomet_request_ask_further(self.as_ptr()) }
    }

    /// The decoded path.
    pub fn uri(&self) -> &[u8] {
        // SAFETY: the request is live, and its strings live in its pool.
        unsafe { bytes((*self.as_ptr()).uri) }
    }

    /// The query string, as it was sent.
    pub fn query(&self) -> &[u8] {
        // SAFETY: as in uri.
        unsafe { bytes((*self.as_ptr()).args) }
    }

    /// The first header field of that name (lower or upper case), if it was sent.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let mut first = [core::ptr::null_mut()];
        if self.headers_into(name, &mut first) == 0 {
            return None;
        }
        // SAFETY: the shim has put there the place of a value, which lives in the request's pool.
        unsafe { first[0].as_ref().map(|value| bytes(*value)) }
    }

    /// The values of all header fields of that name, joined by commas; `None` if there is none, `Err` if
    /// there are more than [`MAX_EQUAL_HEADERS`].
    pub fn header_list(&self, name: &str) -> Result<Option<Cow<'_, [u8]>>, ()> {
        let mut found = [core::ptr::null_mut::<ngx_str_t>(); MAX_EQUAL_HEADERS];
        let number = self.headers_into(name, &mut found);
        let values = found.get(..number).ok_or(())?;
        let mut list: Option<Cow<'_, [u8]>> = None;
        for value in values {
            // SAFETY: as in header.
            let Some(value) = (unsafe { value.as_ref().map(|value| bytes(*value)) }) else {
                continue;
            };
            match &mut list {
                None => list = Some(Cow::Borrowed(value)),
                Some(list) => {
                    let list = list.to_mut();
                    list.extend_from_slice(b", ");
                    list.extend_from_slice(value);
                }
            }
        }
        Ok(list)
    }

    /// Where the values of the header fields of that name stand; how many there are, at most one
    /// more than there is room for.
    fn headers_into(&self, name: &str, values: &mut [*mut ngx_str_t]) -> usize {
        // SAFETY: the request is live, the name is only read, and no more is written than there is
        // room for.
        unsafe {
            shim::icomet_request_headers(
                self.as_ptr(),
                name.as_ptr(),
                name.len(),
                values.as_mut_ptr(),
                values.len(),
            )
        }
    }

    /// Whether a part of the request's body is still to come, after [`Request::discard_body`].
    pub fn is_discarding(self) -> bool {
        // SAFETY: the request is live.
        unsafe { shim::icomet_request_is_discarding(self.as_ptr()) != 0 }
    }

    /// Whether its body was read before it came here (X-Accel-Redirect).
    pub fn has_read_body(self) -> bool {
        // SAFETY: the request is live.
        unsafe { shim::icomet_request_has_read_body(self.as_ptr()) != 0 }
    }

    /// The connection ends with the answer.
    pub fn close_after(self) {
        // SAFETY: the request is live.
        unsafe { shim::icomet_request_no_keepalive(self.as_ptr()) }
    }

    /// What a browser says of the page that asks.
    pub fn page(&self) -> Page<'_> {
        let mut fields = [ngx_str_t::empty(); 4];
        // SAFETY: the request is live; the shim writes four strings, which live in its pool.
        let (twice, plain) = unsafe {
            let twice = shim::icomet_request_page(self.as_ptr(), fields.as_mut_ptr());
            let plain = shim::icomet_connection_is_plain((*self.as_ptr()).connection);
            (twice, plain)
        };
        // SAFETY: a field that was sent is a string of the live request.
        let sent = |field: ngx_str_t| (!field.data.is_null()).then(|| unsafe { bytes(field) });
        let [site, origin, referer, host] = fields.map(sent);
        Page {
            site,
            origin,
            referer,
            twice: twice != 0,
            host,
            tls: plain == 0,
        }
    }

    /// The version of HTTP, as nginx numbers it: 1001 is 1.1.
    pub fn http_version(&self) -> usize {
        // SAFETY: the request is live; `http_version` is no bitfield.
        unsafe { (*self.as_ptr()).http_version }
    }

    /// Its answer is a 101: what follows on the connection is not HTTP. Called before
    /// its head is sent.
    pub fn upgrade(self) {
        // SAFETY: the request is live.
        unsafe { shim::icomet_request_upgrade(self.as_ptr()) }
    }

    /// What the client has sent behind the head of the request already; it is told once.
    pub fn take_input(self) -> Vec<u8> {
        let mut input = ngx_str_t::empty();
        // SAFETY: the request is live, and so is its buffer.
        unsafe {
            shim::icomet_request_take_input(self.as_ptr(), &raw mut input);
            bytes(input).to_vec()
        }
    }

    /// The body's media type, if it was sent.
    pub fn content_type(&self) -> Option<&[u8]> {
        // SAFETY: as in header.
        unsafe {
            let value = shim::icomet_request_content_type(self.as_ptr());
            (!value.is_null()).then(|| bytes(*value))
        }
    }

    /// The location's configuration of this module.
    pub fn location(&self) -> Option<&LocationConf> {
        // SAFETY: loc_conf of this module is what create_loc_conf made, and lives as long as the
        // configuration that the request holds.
        unsafe {
            shim::icomet_request_loc_conf(self.as_ptr())
                .cast::<LocationConf>()
                .as_ref()
        }
    }

    /// The `http` block's configuration of this module.
    pub fn main_conf(&self) -> Option<&MainConf> {
        // SAFETY: as in location.
        unsafe {
            shim::icomet_request_main_conf(self.as_ptr())
                .cast::<MainConf>()
                .as_ref()
        }
    }

    /// Name and flags of the variable with that index, if the request's configuration has one.
    pub fn variable_at(&self, index: u16) -> Option<(&[u8], usize)> {
        let mut name = static_str("");
        let mut flags = 0;
        // SAFETY: the request is live; names live in the configuration.
        unsafe {
            let r = self.as_ptr();
            let found =
                shim::icomet_variable_at(r, index.into(), &raw mut name, &raw mut flags) != 0;
            found.then(|| (bytes(name), flags))
        }
    }

    /// The value of the variable with that index, if it has one; without `evaluate`, only one that was
    /// evaluated before.
    pub fn variable(&self, index: u16, evaluate: bool) -> Option<&[u8]> {
        let mut value = static_str("");
        // SAFETY: the request is live, and the index one of its configuration; the value lives in the
        // request's pool, or longer.
        unsafe {
            let r = self.as_ptr();
            let found =
                shim::icomet_variable_get(r, index.into(), evaluate.into(), &raw mut value) != 0;
            found.then(|| bytes(value))
        }
    }

    /// A subrequest's answer would stand inside another one's.
    pub fn is_main(self) -> bool {
        // SAFETY: the request is live.
        unsafe { shim::icomet_request_is_main(self.as_ptr()) != 0 }
    }

    /// Evaluates a value with variables; `None` when nginx has no memory.
    pub fn evaluate(&self, value: NonNull<ngx_http_complex_value_t>) -> Option<&[u8]> {
        let mut out = ngx_str_t {
            len: 0,
            data: core::ptr::null_mut(),
        };
        // SAFETY: value was compiled with this configuration; the result lives in the pool.
        unsafe {
            let rc = ngx_http_complex_value(self.as_ptr(), value.as_ptr(), &raw mut out);
            (rc == code::OK).then(|| bytes(out))
        }
    }

    /// Gives the request its context, in its pool; afterwards the worker is told when nginx frees the
    /// request. `Err` when nginx has no memory.
    pub fn attach(&self, context: Context) -> Result<&Context, ()> {
        // What nginx's pools align to (NGX_ALIGNMENT).
        const { assert!(align_of::<Context>() <= align_of::<usize>()) };
        unsafe extern "C" fn drop_context(data: *mut c_void) {
            // SAFETY: data is the context that was written below; nginx runs a pool's cleanup once,
            // before it frees the pool's memory and after the log phase.
            unsafe {
                closed(data);
                data.cast::<Context>().drop_in_place();
            }
        }
        // SAFETY: the cleanup gives size_of::<Context>() fresh bytes of the request's pool, which
        // live as long as the request.
        unsafe {
            let cleanup = ngx_pool_cleanup_add((*self.as_ptr()).pool, size_of::<Context>());
            if cleanup.is_null() {
                return Err(());
            }
            let place = (*cleanup).data.cast::<Context>();
            place.write(context);
            (*cleanup).handler = Some(drop_context);
            shim::icomet_request_set_ctx(self.as_ptr(), place.cast());
            Ok(&*place)
        }
    }

    /// The context that [`Request::attach`] gave it.
    pub fn context(&self) -> Option<&Context> {
        // SAFETY: the module's ctx is only ever set by attach, and lives as long as the request.
        unsafe {
            shim::icomet_request_ctx(self.as_ptr())
                .cast::<Context>()
                .as_ref()
        }
    }

    /// Copies bytes into the request's pool.
    fn pool_copy(self, text: &[u8]) -> Option<ngx_str_t> {
        if text.is_empty() {
            return Some(ngx_str_t {
                len: 0,
                data: core::ptr::null_mut(),
            });
        }
        // SAFETY: ngx_pnalloc gives text.len() fresh bytes or null.
        unsafe {
            let to = ngx_pnalloc((*self.as_ptr()).pool, text.len()).cast::<u8>();
            if to.is_null() {
                return None;
            }
            core::ptr::copy_nonoverlapping(text.as_ptr(), to, text.len());
            Some(ngx_str_t {
                len: text.len(),
                data: to,
            })
        }
    }

    /// A text that lives as long as the request; `None` when nginx has no memory.
    pub fn keep_text(self, text: &str) -> Option<ngx_str_t> {
        self.pool_copy(text.as_bytes())
    }

    /// Adds a header field to the answer; a value that is not static is copied. `Err` when nginx has
    /// no memory.
    pub fn add_header(self, (name, value): &Field) -> Result<(), ()> {
        let value = match value {
            Cow::Borrowed(value) => static_bytes(value),
            Cow::Owned(value) => self.pool_copy(value).ok_or(())?,
        };
        let key = static_str(name);
        // SAFETY: the key is static, the value lives in the request's pool.
        let rc = unsafe {
            shim::icomet_request_add_header(self.as_ptr(), &raw const key, &raw const value)
        };
        if rc == code::OK { Ok(()) } else { Err(()) }
    }

    /// Sets status, length (`None`: not known yet) and content type of the answer, and that it is
    /// neither compressed nor answered by a 304. `Err` when nginx has no memory.
    pub fn set_head(
        self,
        status: u16,
        length: Option<usize>,
        media_type: &'static str,
    ) -> Result<(), ()> {
        let media_type = static_str(media_type);
        let charset = if media_type.len == 0 {
            static_str("")
        } else {
            static_str("utf-8")
        };
        let length = length.map_or(-1, |n| n as i64);
        // SAFETY: both strings are static.
        let rc = unsafe {
            shim::icomet_request_set_head(
                self.as_ptr(),
                usize::from(status),
                length,
                &raw const media_type,
                &raw const charset,
            )
        };
        if rc == code::OK { Ok(()) } else { Err(()) }
    }

    /// Sends the head through nginx's header filters.
    pub fn send_head(self) -> ngx_int_t {
        if super::event::exiting() {
            // SAFETY: the request is live. A worker that ends keeps no connection.
            unsafe { shim::icomet_request_no_keepalive(self.as_ptr()) }
        }
        // SAFETY: the request is live and its head was not sent.
        unsafe { ngx_http_send_header(self.as_ptr()) }
    }

    /// Whether the answer has no body (HEAD, 204, 304).
    pub fn is_header_only(self) -> bool {
        // SAFETY: the request is live.
        unsafe { shim::icomet_request_header_only(self.as_ptr()) != 0 }
    }

    /// Throws the request's body away.
    pub fn discard_body(self) -> ngx_int_t {
        // SAFETY: the request is live and its body was not read.
        unsafe { ngx_http_discard_request_body(self.as_ptr()) }
    }

    /// Reads the body, then calls `then`; what it returns is for the content handler to return.
    pub fn read_body(self, then: unsafe extern "C" fn(*mut ngx_http_request_t)) -> ngx_int_t {
        // SAFETY: the request is live and its body was not read.
        let rc = unsafe { ngx_http_read_client_request_body(self.as_ptr(), Some(then)) };
        if rc >= 300 { rc } else { code::DONE }
    }

    /// How long the body is to be, if the client says so (RFC 9110, section 8.6).
    pub fn announced_length(self) -> Option<u64> {
        // SAFETY: the request is live.
        let length = unsafe { shim::icomet_request_announced_length(self.as_ptr()) };
        u64::try_from(length).ok()
    }

    /// How long the body is, after it was read.
    pub fn body_length(self) -> u64 {
        // SAFETY: the request is live, and its body was read.
        let length = unsafe { shim::icomet_request_body_length(self.as_ptr()) };
        u64::try_from(length).unwrap_or(0)
    }

    /// The body, after it was read: where it stands if that is one buffer, else a copy. `Err` when the
    /// temporary file that holds it cannot be read.
    pub fn body(&self) -> Result<Cow<'_, [u8]>, ()> {
        let mut whole = ngx_str_t::empty();
        // SAFETY: the buffer lives as long as the request, and is not written to after it was read.
        unsafe {
            if shim::icomet_request_body_whole(self.as_ptr(), &raw mut whole) != 0 {
                return Ok(Cow::Borrowed(bytes(whole)));
            }
        }
        self.body_copy().map(Cow::Owned)
    }

    fn body_copy(self) -> Result<Vec<u8>, ()> {
        // SAFETY: the shim writes exactly the body's length, or fails.
        unsafe {
            let length = shim::icomet_request_body_length(self.as_ptr());
            let Ok(length) = usize::try_from(length) else {
                return Err(());
            };
            let mut body = Vec::new();
            if length == 0 {
                return Ok(body);
            }
            body.try_reserve_exact(length).map_err(|_| ())?;
            if shim::icomet_request_body_copy(self.as_ptr(), body.as_mut_ptr(), length) != code::OK
            {
                return Err(());
            }
            body.set_len(length);
            Ok(body)
        }
    }

    /// Keeps the request past the handler that got it; it then returns [`code::DONE`]. Until the
    /// worker ends the answer, a client that goes away ends it, and so does one that sends something
    /// where the answer is endless: nothing is to be said there.
    pub fn hold(self, endless: bool) {
        // SAFETY: the request is live; both handlers take it as their argument. nginx runs the cleanup
        // as soon as it ends the request, so that nothing is sent to it any more; the context, which
        // the cleanup is given, lives longer. Without memory it is run with the pool's.
        unsafe {
            let cleanup = ngx_http_cleanup_add(self.as_ptr(), 0);
            if !cleanup.is_null() {
                (*cleanup).data = shim::icomet_request_ctx(self.as_ptr());
                (*cleanup).handler = Some(closed);
            }
            shim::icomet_request_hold(self.as_ptr());
            (*self.as_ptr()).read_event_handler = Some(if endless {
                super::connection::icomet_on_held_read
            } else {
                ngx_http_test_reading
            });
            (*self.as_ptr()).write_event_handler = Some(super::output::icomet_on_writable);
        }
    }

    /// Has the kernel end the connection when what was sent on it is not acknowledged, or not taken, for so
    /// many milliseconds; where it is not of TCP nothing is done.
    pub fn bound_silence(self, milliseconds: u64) {
        let milliseconds = usize::try_from(milliseconds.min(i32::MAX as u64)).unwrap_or(0);
        // SAFETY: the request is live, and so is its connection with its open descriptor; the kernel
        // copies the option's value during the call.
        unsafe { shim::icomet_request_bound_silence(self.as_ptr(), milliseconds) }
    }

    /// Takes [`Request::bound_silence`] back for an endless answer that ends, if another request may come
    /// on its connection.
    pub fn unbound_silence(self) {
        // SAFETY: as in bound_silence.
        unsafe { shim::icomet_request_unbound_silence(self.as_ptr()) }
    }

    /// Ends a request from within one of its own handlers, which nginx follows up itself; it must not
    /// be touched afterwards.
    ///
    /// [`Request::finalize`] must not be used there: it may free the request under the handler's caller.
    pub fn finalize_in_handler(self, rc: ngx_int_t) {
        // SAFETY: the request is live, and its handler is being run.
        unsafe { ngx_http_finalize_request(self.as_ptr(), rc) }
    }

    /// Ends a held request from another event than its own, or as the last thing in its own write
    /// event; it must not be touched afterwards.
    pub fn finalize(self, rc: ngx_int_t) {
        // SAFETY: the request is live and held; its connection's structure outlives the call, and
        // run_posted_requests looks first whether the connection was destroyed.
        unsafe {
            let connection = (*self.as_ptr()).connection;
            ngx_http_finalize_request(self.as_ptr(), rc);
            ngx_http_run_posted_requests(connection);
        }
    }
}

/// Takes a request that ends out of the worker's tables; nginx runs it with the request's context.
unsafe extern "C" fn closed(data: *mut c_void) {
    super::guard::guarded("request cleanup", (), || {
        // SAFETY: the module's ctx is null or the context that attach wrote, and not dropped yet.
        if let Some(context) = unsafe { data.cast::<Context>().as_ref() } {
            context.close();
        }
    });
}

fn static_str(text: &'static str) -> ngx_str_t {
    static_bytes(text.as_bytes())
}

fn static_bytes(text: &'static [u8]) -> ngx_str_t {
    ngx_str_t {
        len: text.len(),
        data: text.as_ptr().cast_mut(),
    }
}
