//! icomet: a comet/push engine inside nginx.
//!
//! Data flows one way: directive ([`config`]) → [`endpoint`] → engine (crate `icomet-engine`) →
//! wake-up ([`worker::doorbell`]) → frames ([`worker::frames`]) → [`sink`] → socket.

mod answer;
mod config;
mod context;
mod endpoint;
mod ffi;
mod sink;
mod state;
mod worker;

/// What nginx's `load_module` looks for. rustc hides symbols that only C defines.
mod exported {
    use crate::ffi::shim::ngx_http_icomet_module;

    ngx::ngx_modules!(ngx_http_icomet_module);
}
