//! Bytes on their way to a client, through nginx's filters.

use core::cell::{Cell, RefCell, UnsafeCell};
use std::rc::Rc;

use nginx_sys::{ngx_http_output_filter, ngx_http_request_t, ngx_int_t};

use super::guard::guarded;
use super::request::{Request, code};
use super::shim;

/// Bytes that any number of clients are sent.
pub type Frame = Rc<Vec<u8>>;

/// What became of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The kernel took it all.
    Whole,
    /// The rest waits for the client; [`crate::context::Context::drained`] follows.
    Pending,
    /// The connection is broken; the request must be finalized with an error.
    Broken,
}

/// The one frame of a request that nginx may still be sending, and the buffer that names it.
///
/// It lives in the request's context, so the bytes live until nginx frees the request.
#[derive(Default)]
pub struct Output {
    place: UnsafeCell<shim::icomet_output_t>,
    frame: RefCell<Option<Frame>>,
    waiting: Cell<bool>,
}

impl Default for shim::icomet_output_t {
    fn default() -> Self {
        // SAFETY: a C structure of pointers and integers, for which zeroes mean "nothing".
        unsafe { core::mem::zeroed() }
    }
}

impl Output {
    /// Whether an earlier frame is still under way; another must not be sent then.
    pub fn is_busy(&self) -> bool {
        self.waiting.get()
    }

    /// Sends `frame[from..]`, and with `last` ends the answer; returns nginx's code.
    fn pass(&self, request: Request, frame: Frame, from: usize, last: bool) -> ngx_int_t {
        let range = frame.get(from..).unwrap_or_default().as_ptr_range();
        let flags = if last {
            shim::ICOMET_OUTPUT_LAST
        } else {
            shim::ICOMET_OUTPUT_FLUSH
        };
        *self.frame.borrow_mut() = Some(Rc::clone(&frame));
        // SAFETY: the place is only used when nothing is pending (callers check is_busy), the bytes
        // are kept in self.frame until nginx is done with them, and nginx only reads memory=1 bufs.
        unsafe {
            shim::icomet_output_send(
                request.as_ptr(),
                self.place.get(),
                range.start.cast_mut(),
                range.end.cast_mut(),
                flags as usize,
            )
        }
    }

    /// Sends a piece of an endless answer.
    pub fn send(&self, request: Request, frame: Frame, from: usize) -> Sent {
        if self.pass(request, frame, from, false) == code::ERROR {
            return Sent::Broken;
        }
        self.after(request)
    }

    /// Sends the last piece; what it returns goes to [`Request::finalize`] or back to nginx.
    pub fn send_last(&self, request: Request, frame: Frame) -> ngx_int_t {
        self.pass(request, frame, 0, true)
    }

    fn after(&self, request: Request) -> Sent {
        // SAFETY: the request is live: a filter that fails never frees it.
        unsafe {
            if shim::icomet_output_pending(request.as_ptr()) != 0 {
                self.waiting.set(true);
                return if shim::icomet_output_wait(request.as_ptr()) == code::OK {
                    Sent::Pending
                } else {
                    Sent::Broken
                };
            }
            if self.waiting.replace(false) {
                shim::icomet_output_done(request.as_ptr());
            }
            shim::icomet_request_free_tls_buffer(request.as_ptr());
        }
        *self.frame.borrow_mut() = None;
        Sent::Whole
    }
}

/// nginx calls it when a held request's client can take more, or has not for `send_timeout`.
///
/// # Safety
///
/// nginx calls it with a live request that [`Request::hold`] was called on.
pub unsafe extern "C" fn icomet_on_writable(r: *mut ngx_http_request_t) {
    guarded("write event", (), || {
        // SAFETY: nginx passes a live request.
        let Some(request) = (unsafe { Request::from_raw(r) }) else {
            return;
        };
        let Some(context) = request.context() else {
            return;
        };
        // SAFETY: the request is live.
        if unsafe { shim::icomet_output_timed_out(r) } != 0 {
            super::log::info("client took nothing for send_timeout, subscription ended");
            request.finalize(408);
            return;
        }
        if !context.output.is_busy() {
            return;
        }
        // SAFETY: a null chain lets the filters go on with what they hold.
        let rc = unsafe { ngx_http_output_filter(r, core::ptr::null_mut()) };
        let sent = if rc == code::ERROR {
            Sent::Broken
        } else {
            context.output.after(request)
        };
        match sent {
            Sent::Whole => context.drained(request),
            Sent::Pending => {}
            Sent::Broken => request.finalize(code::ERROR),
        }
    });
}
