//! The directive `icomet_hub NAME { ... }`: its parameters, their ranges, and what is said of a
//! mistake.

use core::ffi::{c_char, c_void};
use core::ptr;
use std::rc::Rc;

use icomet_engine::{Limits, OnFull, Zone};
use icomet_hooks::Hook;
use icomet_protocol::origin::{AllowedOrigins, Pattern};
use icomet_protocol::resume::MAX_POSITIONS;
use icomet_websocket::rate::{MAX_BURST, MAX_PER_SECOND, Rate};
use nginx_sys::{ngx_command_t, ngx_conf_parse, ngx_conf_t};

use super::channel_rule::ChannelRule;
use super::hook;
use super::hub::{Auth, Hub};
use super::main::MainConf;
use super::state_file;
use crate::ffi::conf::{CONF_ERROR, CONF_OK, Conf, parse_msec, parse_size};
use crate::ffi::guard::guarded;
use crate::ffi::shim;

/// What may stand in the block; the names are those of icomet.conf where it has them. nginx knows each
/// from the table in `nginx-module/icomet_module.c`.
const PARAMETERS: [&str; 24] = [
    "zone",
    "auth",
    "max_channels",
    "empty_channels",
    "max_subscribers_per_channel",
    "max_subscribers_per_ip",
    "max_channels_per_subscriber",
    "channel_buffer_size",
    "channel_timeout",
    "message_ttl",
    "polling_timeout",
    "max_message_size",
    "max_batch",
    "idempotency_window",
    "max_idempotency_ids",
    "ws_max_message_size",
    "ws_rate",
    "allowed_origins",
    "jsonp",
    "on_full",
    "state_file",
    "node",
    "hook",
    "channels",
];

/// Those that take several values.
const SEVERAL: [&str; 2] = ["allowed_origins", "ws_rate"];

/// nginx keeps a slab pool's bookkeeping in front of a zone; this much is added for it.
const SLAB_OVERHEAD_SHIFT: u32 = 6;

/// A hub under construction, and which parameters it was given.
pub struct Block {
    hub: Hub,
    given: Vec<&'static str>,
    /// Its rules for channels, in their order.
    pub rules: Vec<ChannelRule>,
}

/// Setter of `icomet_hub`.
///
/// # Safety
///
/// Called by nginx with a live configuration context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn icomet_set_hub(
    cf: *mut ngx_conf_t,
    _command: *mut ngx_command_t,
    conf: *mut c_void,
) -> *mut c_char {
    guarded("icomet_hub", CONF_ERROR, || {
        // SAFETY: nginx passes its context, and the main configuration that we created.
        let (Some(wrapped), Some(main)) =
            (unsafe { (Conf::from_raw(cf), conf.cast::<MainConf>().as_ref()) })
        else {
            return CONF_ERROR;
        };
        let arguments = wrapped.arguments();
        let name = match arguments.get(1).map(|name| check_name(name)) {
            Some(Ok(name)) => name,
            Some(Err(text)) => return wrapped.error(&text),
            None => return CONF_ERROR,
        };
        if let Some(earlier) = main.hub(name) {
            return wrapped.error(&format!(
                "icomet_hub \"{name}\" is defined already in {}: give this one another name",
                earlier.place
            ));
        }
        let mut block = Block {
            hub: Hub::with_defaults(name, wrapped.place()),
            given: Vec::new(),
            rules: Vec::new(),
        };
        // SAFETY: as ngx_http_upstream does: the context is saved, given the type of our block, and
        // restored. The setters find `block`, which outlives the parse, as the parameter of a handler,
        // of which there is none, because nginx lets no block stand in what a handler reads.
        let parsed = unsafe {
            let saved = *cf;
            (*cf).handler = None;
            (*cf).handler_conf = (&raw mut block).cast();
            (*cf).cmd_type = shim::ICOMET_HUB_CONF as usize;
            let parsed = ngx_conf_parse(cf, ptr::null_mut());
            *cf = saved;
            parsed
        };
        if parsed != CONF_OK {
            // nginx has said that it does not know it, but not what it would take.
            let failed = wrapped.arguments().first().copied().unwrap_or_default();
            if !PARAMETERS.iter().any(|name| name.as_bytes() == failed) && !failed.is_empty() {
                return wrapped.error(&format!(
                    "unknown parameter \"{}\" in icomet_hub: it takes {}",
                    String::from_utf8_lossy(failed),
                    PARAMETERS.join(", ")
                ));
            }
            return parsed;
        }
        if let Err(text) = block
            .check()
            .and_then(|()| state_file::check(main, &block.hub))
        {
            return wrapped.error(&text);
        }
        main.add_hub(Rc::new(block.into_hub()));
        CONF_OK
    })
}

/// Setter of each parameter in the block.
///
/// # Safety
///
/// Called by nginx with a live configuration context inside of an `icomet_hub`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn icomet_set_hub_parameter(
    cf: *mut ngx_conf_t,
    _command: *mut ngx_command_t,
    _conf: *mut c_void,
) -> *mut c_char {
    guarded("icomet_hub block", CONF_ERROR, || {
        // SAFETY: nginx passes its context, and the handler_conf that icomet_set_hub set.
        let (Some(cf), Some(block)) = (unsafe {
            let block = (*cf).handler_conf.cast::<Block>();
            (Conf::from_raw(cf), block.as_mut())
        }) else {
            return CONF_ERROR;
        };
        match block.set(cf, &cf.arguments()) {
            Ok(()) => CONF_OK,
            Err(text) => cf.error(&text),
        }
    })
}

fn check_name(name: &'static [u8]) -> Result<&'static str, String> {
    let valid = (1..=64).contains(&name.len())
        && name
            .iter()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-'));
    match core::str::from_utf8(name) {
        Ok(text) if valid => Ok(text),
        _ => Err(format!(
            "invalid hub name \"{}\": use 1 to 64 letters, digits, \"_\" and \"-\"",
            String::from_utf8_lossy(name)
        )),
    }
}

impl Block {
    fn set(&mut self, cf: Conf, arguments: &[&'static [u8]]) -> Result<(), String> {
        let shown = String::from_utf8_lossy(arguments.first().copied().unwrap_or_default());
        let Some(name) = PARAMETERS.into_iter().find(|p| *p == shown) else {
            return Err(format!(
                "unknown parameter \"{shown}\" in icomet_hub: it takes {}",
                PARAMETERS.join(", ")
            ));
        };
        // A hub may have several.
        if name == "hook" {
            return self.add_hook(hook::read(cf, &arguments[1..])?);
        }
        let value = match arguments {
            // Those that take several.
            [_, value, ..] if SEVERAL.contains(&name) => value,
            _ if SEVERAL.contains(&name) => {
                return Err(format!(
                    "\"{name}\" takes at least one value, none is given"
                ));
            }
            _ => one_value(name, arguments)?,
        };
        if self.given.contains(&name) {
            return Err(format!("\"{name}\" is duplicate"));
        }
        self.given.push(name);
        let hub = &mut self.hub;
        if set_limit(&mut hub.limits.hub, name, value)? {
            return Ok(());
        }
        match name {
            "zone" => hub.zone_size = size(name, value, Zone::MIN_SIZE, Zone::MAX_SIZE)?,
            "auth" => {
                hub.auth = choice(name, value, &[("none", Auth::None), ("token", Auth::Token)])?
            }
            "max_channels" => hub.limits.hub.max_channels = number(name, value, 1, 100_000_000)?,
            "empty_channels" => hub.limits.hub.empty_channels = percent(name, value)?,
            "max_subscribers_per_ip" => {
                hub.max_subscribers_per_ip = small(number(name, value, 0, 100_000_000)?);
            }
            "max_channels_per_subscriber" => {
                let most = MAX_POSITIONS as u64;
                hub.max_channels_per_subscriber = small(number(name, value, 1, most)?) as usize;
            }
            "polling_timeout" => hub.polling_timeout = time(name, value, 86400, "1d")?,
            "max_batch" => hub.max_batch = small(number(name, value, 1, 100_000)?),
            "idempotency_window" => hub.idempotency_window = time(name, value, 86400, "1d")?,
            "max_idempotency_ids" => {
                hub.max_idempotency_ids = small(number(name, value, 1, 100_000_000)?);
            }
            "ws_max_message_size" => {
                let size = size(name, value, 1, 256 << 20)?;
                hub.ws_max_message_size = usize::try_from(size).unwrap_or(usize::MAX);
            }
            "ws_rate" => hub.ws_rate = rate(arguments.get(1..).unwrap_or_default())?,
            "allowed_origins" => hub.allowed_origins = origins(arguments)?,
            "jsonp" => hub.jsonp = choice(name, value, &[("on", true), ("off", false)])?,
            "node" => hub.node = Some(hook::node(value)?),
            "state_file" => hub.state_file = Some(state_file::resolve(cf, value)?),
            _ => {
                let choices = [("refuse", OnFull::Refuse), ("evict", OnFull::Evict)];
                hub.limits.hub.on_full = choice(name, value, &choices)?;
            }
        }
        Ok(())
    }

    fn add_hook(&mut self, hook: Option<Hook>) -> Result<(), String> {
        let hooks = &mut self.hub.hooks;
        let Some(hook) = hook else { return Ok(()) };
        if hooks.iter().any(|other| other.target == hook.target) {
            return Err(format!("hook {} is duplicate", hook.target));
        }
        hooks.push(hook);
        Ok(())
    }

    /// The hub's limits as far as they are known.
    pub fn limits(&self) -> &Limits {
        &self.hub.limits.hub
    }

    /// What can only be said of the whole block.
    fn check(&self) -> Result<(), String> {
        let hub = &self.hub;
        let given = self.given.contains(&"max_message_size");
        let of_hub = given.then_some((self.limits().max_message_size, String::new()));
        let rules = self.rules.iter().filter(|r| r.has("max_message_size"));
        let of_rules = rules.map(|rule| {
            let size = rule.resolve(self.limits()).1.max_message_size;
            (size, format!(" of channels \"{}\"", rule.pattern))
        });
        for (size, whose) in of_hub.into_iter().chain(of_rules) {
            if size as u64 > hub.zone_size / 2 {
                return Err(format!(
                    "max_message_size {size}{whose} does not fit into the zone of hub \"{}\" ({} \
                     bytes): make it at most half of the zone, or the zone larger",
                    hub.name, hub.zone_size
                ));
            }
        }
        Ok(())
    }

    fn into_hub(self) -> Hub {
        let mut hub = self.hub;
        let rules = self.rules.iter();
        hub.limits.rules = rules.map(|rule| rule.resolve(&hub.limits.hub)).collect();
        hub
    }
}

/// The value of a parameter that takes one.
pub fn one_value<'a>(name: &str, arguments: &[&'a [u8]]) -> Result<&'a [u8], String> {
    match arguments {
        [_, value] => Ok(value),
        _ => Err(format!(
            "\"{name}\" takes one value, {} are given",
            arguments.len().saturating_sub(1)
        )),
    }
}

/// Sets a limit that a rule for some channels may set as well; whether it is one.
pub fn set_limit(limits: &mut Limits, name: &str, value: &[u8]) -> Result<bool, String> {
    match name {
        "max_subscribers_per_channel" => {
            limits.max_subscribers_per_channel = small(number(name, value, 1, 100_000_000)?);
        }
        "channel_buffer_size" => {
            limits.channel_buffer_size = small(number(name, value, 1, 1_000_000)?);
        }
        "channel_timeout" => limits.channel_timeout = time(name, value, 365 * 86400, "365d")?,
        "message_ttl" => {
            limits.message_ttl = match value {
                b"off" => 0,
                _ => time(name, value, 365 * 86400, "365d")
                    .map_err(|error| format!("{error}, or \"off\""))?,
            };
        }
        "max_message_size" => {
            let size = size(name, value, 1, 256 << 20)?;
            limits.max_message_size = usize::try_from(size).unwrap_or(usize::MAX);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

impl Hub {
    /// The size to ask of nginx, so that the engine gets at least `zone_size` bytes of it.
    pub fn segment_size(&self) -> u64 {
        // One ngx_slab_page_t (24 bytes) a 4 KiB page, and the pool's header.
        self.zone_size + (self.zone_size >> SLAB_OVERHEAD_SHIFT) + (64 << 10)
    }
}

/// `*`, or origins as a browser writes them.
fn origins(arguments: &[&[u8]]) -> Result<AllowedOrigins, String> {
    let given = arguments.get(1..).unwrap_or_default();
    if given == [b"*"] {
        return Ok(AllowedOrigins::Any);
    }
    let listed = given.iter().map(|origin| {
        let text = String::from_utf8_lossy(origin);
        Pattern::parse(&text)
            .map_err(|right| format!("invalid origin \"{text}\" in \"allowed_origins\": {right}"))
    });
    listed.collect::<Result<_, _>>().map(AllowedOrigins::Listed)
}

/// `off`, or `N/s` and `burst=N`.
fn rate(values: &[&[u8]]) -> Result<Option<Rate>, String> {
    let right = format!(
        "use \"off\", or commands a second from 1/s to {MAX_PER_SECOND}/s and then, if you like, burst=N from 1 \
         to {MAX_BURST}, as in \"100/s burst=256\""
    );
    let wrong = |value: &[u8]| {
        let shown = String::from_utf8_lossy(value);
        format!("invalid ws_rate \"{shown}\": {right}")
    };
    let read = |value: &[u8], digits: &[u8], max| {
        let digits = core::str::from_utf8(digits).map_err(|_| wrong(value))?;
        number("ws_rate", digits.as_bytes(), 1, u64::from(max))
            .map(small)
            .map_err(|_| wrong(value))
    };
    let (first, burst) = match values {
        [b"off"] => return Ok(None),
        [first] => (first, None),
        [first, second] => (first, Some(second)),
        [_, _, more, ..] => return Err(wrong(more)),
        [] => return Err(wrong(b"")),
    };
    let digits = first.strip_suffix(b"/s").ok_or_else(|| wrong(first))?;
    let per_second = read(first, digits, MAX_PER_SECOND)?;
    let burst = match burst {
        Some(burst) => {
            let digits = burst.strip_prefix(b"burst=").ok_or_else(|| wrong(burst))?;
            read(burst, digits, MAX_BURST)?
        }
        // All channels that one may have, or a second's commands.
        None => per_second.max(MAX_POSITIONS as u32),
    };
    Ok(Some(Rate::new(per_second, burst)))
}

fn number(name: &str, value: &[u8], min: u64, max: u64) -> Result<u64, String> {
    let shown = String::from_utf8_lossy(value);
    match shown.parse::<u64>() {
        Ok(n) if (min..=max).contains(&n) && value[0] != b'+' => Ok(n),
        _ => Err(format!(
            "invalid {name} \"{shown}\": use a number from {min} to {max}"
        )),
    }
}

fn percent(name: &str, value: &[u8]) -> Result<u32, String> {
    let shown = String::from_utf8_lossy(value);
    let digits = shown.strip_suffix('%').unwrap_or_default();
    match digits.parse::<u32>() {
        Ok(n) if (1..=100).contains(&n) && !digits.starts_with('+') => Ok(n),
        _ => Err(format!(
            "invalid {name} \"{shown}\": use 1% to 100%, as in \"50%\""
        )),
    }
}

fn small(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn size(name: &str, value: &[u8], min: usize, max: usize) -> Result<u64, String> {
    let shown = String::from_utf8_lossy(value);
    let range = format!("use {} to {}", show_size(min), show_size(max));
    match parse_size(value) {
        Some(n) if n < min as u64 => Err(format!("{name} \"{shown}\" is too small: {range}")),
        Some(n) if n > max as u64 => Err(format!("{name} \"{shown}\" is too large: {range}")),
        Some(n) => Ok(n),
        None => Err(format!(
            "invalid {name} \"{shown}\": {range}, as in \"64m\""
        )),
    }
}

fn show_size(n: usize) -> String {
    match n {
        n if n >= 1 << 30 && n.is_multiple_of(1 << 30) => format!("{}g", n >> 30),
        n if n >= 1 << 20 && n.is_multiple_of(1 << 20) => format!("{}m", n >> 20),
        n if n >= 1 << 10 && n.is_multiple_of(1 << 10) => format!("{}k", n >> 10),
        n => n.to_string(),
    }
}

fn time(name: &str, value: &[u8], max_seconds: u64, shown_max: &str) -> Result<u64, String> {
    match parse_msec(value) {
        Some(ms) if (1000..=max_seconds * 1000).contains(&ms) => Ok(ms),
        _ => Err(format!(
            "invalid {name} \"{}\": use a time from 1s to {shown_max}, as in \"30s\"",
            String::from_utf8_lossy(value)
        )),
    }
}

fn choice<T: Copy>(name: &str, value: &[u8], choices: &[(&str, T)]) -> Result<T, String> {
    if let Some((_, chosen)) = choices.iter().find(|(word, _)| word.as_bytes() == value) {
        return Ok(*chosen);
    }
    let words: Vec<_> = choices
        .iter()
        .map(|(word, _)| format!("\"{word}\""))
        .collect();
    Err(format!(
        "invalid {name} \"{}\": use {}",
        String::from_utf8_lossy(value),
        words.join(" or ")
    ))
}
