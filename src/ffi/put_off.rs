//! Requests that nginx is to come back to in the next turn of its loop.

use nginx_sys::{ngx_http_request_t, ngx_http_test_reading};

use super::guard::guarded;
use super::request::Request;
use super::shim;
use crate::worker::turn;

impl Request {
    /// Has nginx run the request's content handler again in a turn that has time for it ([`turn`]); the
    /// handler now returns [`code::DONE`](super::request::code::DONE). A client that goes away meanwhile
    /// ends the request.
    pub fn put_off(self) {
        // SAFETY: the request is live and in its content handler; both event handlers take it as their
        // argument, and nginx takes a posted event out when it closes the connection.
        unsafe {
            shim::icomet_request_hold(self.as_ptr());
            (*self.as_ptr()).read_event_handler = Some(ngx_http_test_reading);
            (*self.as_ptr()).write_event_handler = Some(icomet_on_put_off);
            shim::icomet_request_go_on(self.as_ptr(), 1);
        }
    }
}

/// nginx calls it in a turn after the one in which the request was put off.
unsafe extern "C" fn icomet_on_put_off(r: *mut ngx_http_request_t) {
    guarded("request that was put off", (), || {
        let later = usize::from(turn::is_over());
        // SAFETY: nginx passes a live request, which waits for this alone; it is not used afterwards.
        unsafe { shim::icomet_request_go_on(r, later) }
    });
}
