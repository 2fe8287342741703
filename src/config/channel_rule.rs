//! `channels PATTERN { ... }` in a hub: limits for the channels of such names.

use core::ffi::{c_char, c_void};
use core::ptr;

use icomet_engine::{Glob, Limits};
use nginx_sys::{ngx_command_t, ngx_conf_parse, ngx_conf_t};

use super::hub_block::{self, Block};
use crate::ffi::conf::{CONF_ERROR, CONF_OK, Conf};
use crate::ffi::guard::guarded;

/// What may stand in the block; the others are of the hub as a whole.
const PARAMETERS: [&str; 5] = [
    "channel_buffer_size",
    "message_ttl",
    "channel_timeout",
    "max_subscribers_per_channel",
    "max_message_size",
];

/// Longest pattern in bytes: that of a channel's name.
const LONGEST: usize = 256;

/// A rule as it was read.
pub struct ChannelRule {
    /// The pattern.
    pub pattern: &'static str,
    /// `file:line` of the rule.
    pub place: String,
    /// What it was given, and the limits that hold it.
    given: Vec<&'static str>,
    limits: Limits,
}

impl ChannelRule {
    /// What it means in a hub of these limits.
    pub fn resolve(&self, hub: &Limits) -> (Glob, Limits) {
        let mut limits = *hub;
        for name in &self.given {
            let from = &self.limits;
            match *name {
                "channel_buffer_size" => limits.channel_buffer_size = from.channel_buffer_size,
                "message_ttl" => limits.message_ttl = from.message_ttl,
                "channel_timeout" => limits.channel_timeout = from.channel_timeout,
                "max_subscribers_per_channel" => {
                    limits.max_subscribers_per_channel = from.max_subscribers_per_channel;
                }
                _ => limits.max_message_size = from.max_message_size,
            }
        }
        (Glob::new(self.pattern.as_bytes()), limits)
    }

    /// Whether the rule was given that parameter.
    pub fn has(&self, name: &str) -> bool {
        self.given.contains(&name)
    }

    fn set(&mut self, arguments: &[&'static [u8]]) -> Result<(), String> {
        let shown = String::from_utf8_lossy(arguments.first().copied().unwrap_or_default());
        let Some(name) = PARAMETERS.into_iter().find(|p| *p == shown) else {
            return Err(format!(
                "unknown parameter \"{shown}\" in channels \"{}\": it takes {}",
                self.pattern,
                PARAMETERS.join(", ")
            ));
        };
        let value = hub_block::one_value(name, arguments)?;
        if self.given.contains(&name) {
            return Err(format!("\"{name}\" is duplicate"));
        }
        self.given.push(name);
        hub_block::set_limit(&mut self.limits, name, value).map(drop)
    }
}

/// Setter of `channels`.
///
/// # Safety
///
/// Called by nginx with a live configuration context inside of an `icomet_hub`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn icomet_set_channels(
    cf: *mut ngx_conf_t,
    _command: *mut ngx_command_t,
    _conf: *mut c_void,
) -> *mut c_char {
    guarded("channels", CONF_ERROR, || {
        // SAFETY: nginx passes its context, and the handler_conf that icomet_set_hub set.
        let (Some(wrapped), Some(block)) = (unsafe {
            let block = (*cf).handler_conf.cast::<Block>();
            (Conf::from_raw(cf), block.as_mut())
        }) else {
            return CONF_ERROR;
        };
        let pattern = match pattern(&wrapped.arguments()) {
            Ok(pattern) => pattern,
            Err(text) => return wrapped.error(&text),
        };
        if let Some(earlier) = block.rules.iter().find(|rule| rule.pattern == pattern) {
            return wrapped.error(&format!(
                "channels \"{pattern}\" is duplicate: the one in {} holds",
                earlier.place
            ));
        }
        let mut rule = ChannelRule {
            pattern,
            place: wrapped.place(),
            given: Vec::new(),
            limits: *block.limits(),
        };
        // SAFETY: the context is saved, given our handler for the block, and restored; `rule` outlives
        // the parse.
        let parsed = unsafe {
            let saved = *cf;
            (*cf).handler = Some(parameter);
            (*cf).handler_conf = (&raw mut rule).cast();
            let parsed = ngx_conf_parse(cf, ptr::null_mut());
            *cf = saved;
            parsed
        };
        if parsed == CONF_OK {
            block.rules.push(rule);
        }
        parsed
    })
}

/// nginx calls it for each line of the block.
unsafe extern "C" fn parameter(
    cf: *mut ngx_conf_t,
    _command: *mut ngx_command_t,
    conf: *mut c_void,
) -> *mut c_char {
    guarded("channels block", CONF_ERROR, || {
        // SAFETY: nginx passes its context, and the handler_conf that icomet_set_channels set.
        let (Some(cf), Some(rule)) =
            (unsafe { (Conf::from_raw(cf), conf.cast::<ChannelRule>().as_mut()) })
        else {
            return CONF_ERROR;
        };
        match rule.set(&cf.arguments()) {
            Ok(()) => CONF_OK,
            Err(text) => cf.error(&text),
        }
    })
}

fn pattern(arguments: &[&'static [u8]]) -> Result<&'static str, String> {
    let [_, pattern] = arguments else {
        return Err(format!(
            "\"channels\" takes one pattern, {} are given, as in \"channels chat.* {{ }}\"",
            arguments.len().saturating_sub(1)
        ));
    };
    let text = core::str::from_utf8(pattern)
        .ok()
        .filter(|text| (1..=LONGEST).contains(&text.len()) && !text.chars().any(char::is_control));
    text.ok_or_else(|| {
        format!(
            "invalid pattern \"{}\" in \"channels\": use 1 to {LONGEST} bytes of UTF-8 without control \
             characters, in which \"*\" stands for any",
            pattern.escape_ascii()
        )
    })
}
