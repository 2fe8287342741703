//! The variables `$icomet_hub`, `$icomet_channel`, `$icomet_transport`, `$icomet_seq` and `$icomet_user`.
//!
//! They have a value once a request reached an icomet endpoint: in `access_log`, header filters and
//! rules that run after it; before that they are empty ("-" in a log).

use nginx_sys::{
    ngx_http_add_variable, ngx_http_request_t, ngx_http_variable_value_t, ngx_int_t, ngx_str_t,
    ngx_uint_t,
};

use crate::context::Context;
use crate::ffi::conf::Conf;
use crate::ffi::guard::guarded;
use crate::ffi::request::{Request, code};
use crate::ffi::shim;

/// nginx's NGX_HTTP_VAR_NOCACHEABLE (ngx_http_variables.h): the value changes while a request lives.
const NOT_CACHEABLE: ngx_uint_t = 2;

/// A value in the request's pool.
type Value = fn(&Context, Request) -> Option<ngx_str_t>;

const VARIABLES: [(&str, Value); 5] = [
    ("icomet_hub", |context, request| {
        request.keep_text(&context.hub.name)
    }),
    ("icomet_channel", |context, _| Some(context.channel())),
    ("icomet_transport", |context, request| {
        request.keep_text(context.endpoint.get()?.name())
    }),
    ("icomet_seq", |context, request| {
        request.keep_text(&context.seq.get()?.to_string())
    }),
    ("icomet_user", |context, _| Some(context.user())),
];

/// Adds the variables to the configuration. `Err` when nginx refused one.
pub fn add(cf: Conf) -> Result<(), ()> {
    for (index, (name, _)) in VARIABLES.iter().enumerate() {
        let mut name = ngx_str_t {
            len: name.len(),
            data: name.as_ptr().cast_mut(),
        };
        // SAFETY: the name is static and only read; nginx owns what it returns.
        unsafe {
            let variable = ngx_http_add_variable(cf.as_ptr(), &raw mut name, NOT_CACHEABLE);
            if variable.is_null() {
                return Err(());
            }
            (*variable).get_handler = Some(get);
            (*variable).data = index;
        }
    }
    Ok(())
}

unsafe extern "C" fn get(
    r: *mut ngx_http_request_t,
    value: *mut ngx_http_variable_value_t,
    index: usize,
) -> ngx_int_t {
    guarded("variable", code::ERROR, || {
        // SAFETY: nginx passes a live request.
        let request = unsafe { Request::from_raw(r) };
        let text = request.and_then(|request| {
            let (_, get) = VARIABLES.get(index)?;
            get(request.context()?, request).filter(|text| text.len > 0)
        });
        // SAFETY: value is nginx's own; the text lives in the request's pool.
        unsafe {
            match text {
                Some(text) => shim::icomet_variable_set(value, text.data, text.len),
                None => shim::icomet_variable_missing(value),
            }
        }
        code::OK
    })
}
