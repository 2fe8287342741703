//! Pages of other origins (`allowed_origins`): what a browser lets any page do without asking.

use icomet_protocol::api::Problem;
use nginx_sys::ngx_int_t;

use super::{Endpoint, api};
use crate::answer::Answer;
use crate::context::Context;
use crate::ffi::log;
use crate::ffi::request::{Request, code};

const TEXT: &str = "pages of this origin may not ask here: allowed_origins does not name it";

/// Refuses what a page of another origin asks for, if the hub does not name that.
pub fn check(request: &Request, context: &Context) -> Result<(), Answer> {
    if context.hub.allowed_origins.allow(&request.page()) {
        return Ok(());
    }
    Err(refused(context))
}

/// What such a page gets.
pub fn refused(context: &Context) -> Answer {
    log::foreign_page(&context.hub.name);
    Answer::error(403, "", TEXT)
}

/// Refuses a request to the admin side, before anything of it is read; `None`: it may go on.
pub fn refuse_admin(request: Request, context: &Context, endpoint: Endpoint) -> Option<ngx_int_t> {
    let mut answer = check(&request, context).err()?;
    if matches!(endpoint, Endpoint::Api(_)) {
        answer = api::problem(&Problem::new(403, "foreign_origin", TEXT));
    }
    let rc = request.discard_body();
    Some(if rc == code::OK {
        answer.send(request, context)
    } else {
        rc
    })
}
