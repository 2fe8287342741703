//! The parameters `hook URL ...` and `node NAME` of a hub.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use icomet_hooks::{Authorities, Hook, Kind, Kinds, Secret, Target};
use nginx_sys::{NGX_PROCESS_SIGNALLER, ngx_process};

use crate::ffi::conf::{Conf, parse_msec};

/// Events in one POST, and events that wait, unless the configuration says so.
const BATCH: usize = 100;
const QUEUE: usize = 10_000;

/// What is wrong with a hook is told together with what would be right.
const FORM: &str =
    "hook URL events=online,offline,... [secret=FILE] [ca=FILE] [timeout=TIME] [batch=N] [queue=N]";

/// Reads a hook; `None` in a process that only sends a signal, and needs none of its files.
pub fn read(cf: Conf, arguments: &[&'static [u8]]) -> Result<Option<Hook>, String> {
    let Some((url, options)) = arguments.split_first() else {
        return Err(format!("\"hook\" takes a URL: {FORM}"));
    };
    let target = core::str::from_utf8(url).map_err(|_| icomet_hooks::TargetError::Malformed);
    let target = target
        .and_then(Target::parse)
        .map_err(|error| format!("the URL of hook \"{}\" {error}", shown_url(url)))?;
    let wrong = |text: String| format!("hook {target}: {text}");
    let mut kinds = None;
    let (mut secret, mut authorities) = (None, None);
    let (mut timeout, mut batch, mut queue) = (None, None, None);
    for option in options {
        let text = String::from_utf8_lossy(option);
        let Some((name, value)) = text.split_once('=') else {
            return Err(wrong(format!("\"{text}\" is no option: {FORM}")));
        };
        let is_first = match name {
            "events" => kinds.replace(events(value).map_err(wrong)?).is_none(),
            "secret" => secret
                .replace(path(cf, name, value).map_err(wrong)?)
                .is_none(),
            "ca" => authorities
                .replace(path(cf, name, value).map_err(wrong)?)
                .is_none(),
            "timeout" => timeout.replace(time(value).map_err(wrong)?).is_none(),
            "batch" => batch
                .replace(number(name, value, 10_000).map_err(wrong)?)
                .is_none(),
            "queue" => queue
                .replace(number(name, value, 1_000_000).map_err(wrong)?)
                .is_none(),
            _ => return Err(wrong(format!("there is no option \"{name}\": {FORM}"))),
        };
        if !is_first {
            return Err(wrong(format!("\"{name}\" is duplicate")));
        }
    }
    let Some(kinds) = kinds else {
        return Err(wrong(format!(
            "\"events\" is missing: name some of {}",
            Kind::names()
        )));
    };
    // `nginx -s` only sends a signal: a file that is gone must not keep it from that.
    // SAFETY: a plain variable of nginx.
    if unsafe { ngx_process } as u32 == NGX_PROCESS_SIGNALLER {
        return Ok(None);
    }
    let secret = secret.map(|path| {
        Secret::read(&path).map_err(|error| wrong(format!("secret \"{}\" {error}", path.display())))
    });
    let authorities = authorities.map(|path| {
        Authorities::read(&path)
            .map_err(|error| wrong(format!("ca \"{}\" {error}", path.display())))
    });
    Ok(Some(Hook {
        kinds,
        secret: secret.transpose()?,
        authorities: authorities.transpose()?,
        timeout: timeout.unwrap_or(Duration::from_secs(5)),
        batch: batch.unwrap_or(BATCH),
        queue: queue.unwrap_or(QUEUE),
        target,
    }))
}

/// A wrong URL as it may be shown: with neither query nor user.
fn shown_url(url: &[u8]) -> String {
    let text = String::from_utf8_lossy(url);
    let text = text.split('?').next().unwrap_or_default();
    match (text.find("//"), text.rfind('@')) {
        (Some(from), Some(to)) if from < to => {
            format!("{}//...{}", &text[..from], &text[to..])
        }
        _ => text.to_owned(),
    }
}

/// Checks the name of a node.
pub fn node(value: &[u8]) -> Result<String, String> {
    let valid = (1..=64).contains(&value.len())
        && value
            .iter()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-' | b'.'));
    let text = String::from_utf8_lossy(value);
    if valid {
        Ok(text.into_owned())
    } else {
        Err(format!(
            "invalid node \"{text}\": use 1 to 64 letters, digits, \"_\", \"-\" and \".\""
        ))
    }
}

/// The name of a node whose configuration gives it none: that of the machine.
pub fn host_name() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

fn events(value: &str) -> Result<Kinds, String> {
    Kinds::parse(value).map_err(|word| {
        format!(
            "\"{word}\" in \"events\" is no event, or stands twice: use {}",
            Kind::names()
        )
    })
}

fn path(cf: Conf, name: &str, value: &str) -> Result<PathBuf, String> {
    if value.is_empty() {
        return Err(format!("\"{name}\" takes a file"));
    }
    let full = cf
        .full_name(value.as_bytes())
        .ok_or("no memory for a path")?;
    Ok(PathBuf::from(OsStr::from_bytes(&full)))
}

fn time(value: &str) -> Result<Duration, String> {
    match parse_msec(value.as_bytes()) {
        Some(ms) if (100..=60_000).contains(&ms) => Ok(Duration::from_millis(ms)),
        _ => Err(format!(
            "invalid timeout \"{value}\": use a time from 100ms to 60s, as in \"5s\""
        )),
    }
}

fn number(name: &str, value: &str, max: usize) -> Result<usize, String> {
    match value.parse() {
        Ok(n) if (1..=max).contains(&n) && !value.starts_with('+') => Ok(n),
        _ => Err(format!(
            "invalid {name} \"{value}\": use a number from 1 to {max}"
        )),
    }
}
