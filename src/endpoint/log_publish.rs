//! What `icomet_publish` publishes when a request ends.

use icomet_engine::{Publication, PublishError, SubscribeError};
use icomet_protocol::content;
use icomet_protocol::params::check_channel_name;
use nginx_sys::{ngx_http_request_t, ngx_int_t};

use crate::config::log_publish::LogPublish;
use crate::ffi::guard::guarded;
use crate::ffi::log;
use crate::ffi::request::{Request, code};
use crate::worker::with;

/// nginx calls it in the log phase of each request.
///
/// # Safety
///
/// Called by nginx with a live request.
pub unsafe extern "C" fn icomet_on_log(r: *mut ngx_http_request_t) -> ngx_int_t {
    guarded("icomet_publish", code::OK, || {
        // SAFETY: see the function.
        let Some(request) = (unsafe { Request::from_raw(r) }) else {
            return code::OK;
        };
        if let Some(location) = request.location() {
            for each in location.publishes().iter() {
                publish(&request, each);
            }
        }
        code::OK
    })
}

fn publish(request: &Request, each: &LogPublish) {
    let (Some(hub), Some(name), Some(raw)) = (
        each.hub.get(),
        request.evaluate(each.channel),
        request.evaluate(each.content),
    ) else {
        return log::error("no memory to publish by \"icomet_publish\"");
    };
    if name.is_empty() {
        return;
    }
    let place = &each.place;
    let name = match check_channel_name(name) {
        Ok(name) => name,
        Err(error) => {
            return log::info(&format!("\"icomet_publish\" in {place}: {error}"));
        }
    };
    let mut escaped = Vec::with_capacity(raw.len());
    content::escape_raw(raw, &mut escaped);
    let publication = Publication {
        content: &escaped,
        event: each.event.as_bytes(),
        ttl: each.ttl,
        ..Publication::default()
    };
    let published = with(|worker| worker.publish(hub, name, &publication));
    match published.flatten() {
        Some(Ok(_)) => {}
        Some(Err(PublishError::ZoneFull)) => log::zone_full(&hub.name),
        Some(Err(PublishError::TooManyChannels)) => {
            hub.log_refusal(name, &SubscribeError::TooManyChannels);
        }
        Some(Err(error)) => log::not_published(&format!("\"icomet_publish\" in {place}: {error}")),
        None => log::error("\"icomet_publish\" in a process that is no icomet worker"),
    }
}
