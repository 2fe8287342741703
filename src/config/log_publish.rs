//! `icomet_publish`: nginx itself publishes when a request ends.

use core::cell::OnceCell;
use core::ffi::{c_char, c_void};
use core::ptr::NonNull;
use std::rc::Rc;

use icomet_protocol::option::{MAX_TTL, check_event};
use nginx_sys::{ngx_command_t, ngx_conf_t, ngx_http_complex_value_t};

use super::hub::{DEFAULT_HUB, Hub};
use super::location::LocationConf;
use super::main::MainConf;
use crate::ffi::conf::{CONF_ERROR, CONF_OK, Conf, parse_msec};
use crate::ffi::guard::guarded;
use crate::ffi::shim;

/// Longest `ttl` in milliseconds.
const LONGEST_TTL: u64 = MAX_TTL * 1000;

/// One `icomet_publish`; a location has any number of them, or those of what it stands in.
pub struct LogPublish {
    /// The channel's name; an empty one publishes nothing.
    pub channel: NonNull<ngx_http_complex_value_t>,
    /// The message, raw.
    pub content: NonNull<ngx_http_complex_value_t>,
    /// After how many milliseconds the message ends, if it does by itself.
    pub ttl: Option<u64>,
    /// The name of its event; empty when it has none.
    pub event: String,
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
        let [_, channel, content, more @ ..] = arguments.as_slice() else {
            return CONF_ERROR;
        };
        let More { hub, ttl, event } = match More::read(more) {
            Ok(more) => more,
            Err(text) => return wrapped.error(&text),
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
        let publish = Rc::new(LogPublish {
            channel,
            content,
            ttl,
            event: event.unwrap_or_default(),
            hub_name: hub.unwrap_or_else(|| DEFAULT_HUB.to_owned()),
            place: wrapped.place(),
            hub: OnceCell::new(),
        });
        main.add_publish(Rc::clone(&publish));
        location.add_publish(publish);
        CONF_OK
    })
}

/// What may follow the content.
#[derive(Default)]
struct More {
    hub: Option<String>,
    ttl: Option<u64>,
    event: Option<String>,
}

impl More {
    /// Reads `[HUB] [ttl=TIME] [event=NAME]`.
    fn read(arguments: &[&[u8]]) -> Result<More, String> {
        let mut more = More::default();
        for argument in arguments {
            let shown = String::from_utf8_lossy(argument);
            let is_given = if let Some(time) = argument.strip_prefix(b"ttl=") {
                let ttl = parse_msec(time).filter(|ttl| (1..=LONGEST_TTL).contains(ttl));
                let Some(ttl) = ttl else {
                    return Err(format!(
                        "invalid \"{shown}\" in \"icomet_publish\": use a time from 1ms to 365d, as in \
                         \"ttl=30s\""
                    ));
                };
                more.ttl.replace(ttl).is_some()
            } else if let Some(name) = argument.strip_prefix(b"event=") {
                let name = check_event(name).map_err(|error| {
                    format!("invalid \"{shown}\" in \"icomet_publish\": {error}")
                })?;
                more.event.replace(name.to_owned()).is_some()
            } else {
                more.hub.replace(shown.to_string()).is_some()
            };
            if is_given {
                return Err(format!(
                    "\"{shown}\" is one too many in \"icomet_publish\": after the content it takes \
                     [HUB] [ttl=TIME] [event=NAME], each once"
                ));
            }
        }
        Ok(more)
    }
}
