//! `icomet_publish`: nginx itself publishes when a request ends.

use core::cell::OnceCell;
use core::ffi::{c_char, c_void};
use core::ptr::NonNull;
use std::rc::Rc;

use nginx_sys::{ngx_command_t, ngx_conf_t, ngx_http_complex_value_t};

use super::hub::{DEFAULT_HUB, Hub};
use super::location::LocationConf;
use super::main::MainConf;
use crate::ffi::conf::{CONF_ERROR, CONF_OK, Conf};
use crate::ffi::guard::guarded;
use crate::ffi::shim;

/// One `icomet_publish`; a location has any number of them, or those of what it stands in.
pub struct LogPublish {
    /// The channel's name; an empty one publishes nothing.
    pub channel: NonNull<ngx_http_complex_value_t>,
    /// The message, raw.
    pub content: NonNull<ngx_http_complex_value_t>,
    /// The hub's name.
    pub hub_name: String,
    /// `file:line` of the directive.
    pub place: String,
    /// The hub, once the whole configuration was read.
    pub hub: OnceCell<Rc<Hub>>,
}

/// Setter of `icomet_publish`.
///
/// # Safety
///
/// Called by nginx with a live configuration context and this level's configuration.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn icomet_set_publish(
    cf: *mut ngx_conf_t,
    _command: *mut ngx_command_t,
    conf: *mut c_void,
) -> *mut c_char {
    guarded("icomet_publish", CONF_ERROR, || {
        // SAFETY: see the function; the main configuration is the one that we created.
        let (Some(wrapped), Some(location), Some(main)) = (unsafe {
            (
                Conf::from_raw(cf),
                conf.cast::<LocationConf>().as_ref(),
                shim::icomet_main_conf(cf).cast::<MainConf>().as_ref(),
            )
        }) else {
            return CONF_ERROR;
        };
        let arguments = wrapped.arguments();
        let [_, channel, content, hub @ ..] = arguments.as_slice() else {
            return CONF_ERROR;
        };
        if channel.is_empty() {
            return wrapped.error(
                "\"icomet_publish\" has no channel: give a name, as in \
                 \"icomet_publish orders $request_uri\"",
            );
        }
        let (Ok(channel), Ok(content)) = (
            wrapped.complex_value(channel),
            wrapped.complex_value(content),
        ) else {
            return CONF_ERROR;
        };
        let hub_name = hub.first().map_or_else(
            || DEFAULT_HUB.to_owned(),
            |name| String::from_utf8_lossy(name).into_owned(),
        );
        let publish = Rc::new(LogPublish {
            channel,
            content,
            hub_name,
            place: wrapped.place(),
            hub: OnceCell::new(),
        });
        main.add_publish(Rc::clone(&publish));
        location.add_publish(publish);
        CONF_OK
    })
}
