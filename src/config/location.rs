//! What a location holds: its side (subscribers or publishers), hub, endpoint and channel name.

use core::cell::{Cell, OnceCell, Ref, RefCell};
use core::ffi::{c_char, c_void};
use core::ptr::{self, NonNull};
use std::rc::Rc;

use icomet_protocol::params::{ParameterError, Params};
use nginx_sys::{ngx_command_t, ngx_conf_t, ngx_http_complex_value_t};

use super::arguments::{parameter_name, parameters};
use super::hub::{DEFAULT_HUB, Hub};
use super::log_publish::LogPublish;
use super::main::{MainConf, Reference};
use crate::endpoint::{self, Endpoint, Side};
use crate::ffi::conf::{CONF_ERROR, CONF_OK, Conf};
use crate::ffi::connection::Origin;
use crate::ffi::guard::guarded;
use crate::ffi::shim;
use crate::worker::subscriber::Marks;

/// Where the channel's name comes from (`icomet_channel`).
#[derive(Clone, Copy, Debug)]
pub enum ChannelSource {
    /// A parameter of the query or of a form body, percent-decoded: `$arg_NAME`.
    Parameter(&'static str),
    /// A value with variables, taken as it is.
    Value(NonNull<ngx_http_complex_value_t>),
}

/// A location's configuration.
#[derive(Default)]
pub struct LocationConf {
    side: Cell<Option<Side>>,
    endpoint: Cell<Option<Endpoint>>,
    hub: OnceCell<Rc<Hub>>,
    /// The hub's name and the place of the directive, until the hub is resolved.
    named: RefCell<(String, String)>,
    channel: Cell<Option<ChannelSource>>,
    /// The parameters that `icomet_channel` reads, and those that `icomet_user` does.
    channel_parameters: RefCell<Vec<&'static str>>,
    user_parameters: RefCell<Vec<&'static str>>,
    park: Cell<Option<bool>>,
    ws_publish: Cell<Option<bool>>,
    user: Cell<Option<NonNull<ngx_http_complex_value_t>>>,
    sub_presence: Cell<Option<bool>>,
    sub_history: Cell<Option<bool>>,
    publishes: RefCell<Vec<Rc<LogPublish>>>,
}

impl LocationConf {
    /// Whether subscribers or publishers are served here; `None` where neither directive stands.
    pub fn side(&self) -> Option<Side> {
        self.side.get()
    }

    /// The endpoint that the directive fixed, whatever the path says.
    pub fn endpoint(&self) -> Option<Endpoint> {
        self.endpoint.get()
    }

    /// The hub that is served here.
    pub fn hub(&self) -> Option<&Rc<Hub>> {
        self.hub.get()
    }

    /// Resolves the hub, once the whole configuration was read.
    pub fn set_hub(&self, hub: Rc<Hub>) {
        // A location is resolved once; a second hub could only be the same.
        let _ = self.hub.set(hub);
    }

    /// From here on the location, which is this one, serves that side of that hub.
    fn serve(
        &self,
        side: Side,
        hub: String,
        place: String,
        main: &MainConf,
        location: NonNull<LocationConf>,
        origin: Origin,
    ) {
        self.side.set(Some(side));
        *self.named.borrow_mut() = (hub.clone(), place.clone());
        main.refer(Reference {
            directive: side.directive(),
            hub,
            place,
            location,
            origin,
        });
    }

    /// What is published when a request of this location ends (`icomet_publish`).
    pub fn publishes(&self) -> Ref<'_, Vec<Rc<LogPublish>>> {
        self.publishes.borrow()
    }

    /// Publishes that, too.
    pub fn add_publish(&self, publish: Rc<LogPublish>) {
        self.publishes.borrow_mut().push(publish);
    }

    /// Whether waiting subscribers give their request back (`icomet_park`).
    pub fn parks(&self) -> bool {
        self.park.get().unwrap_or(true)
    }

    /// What the client of a WebSocket may do here (`icomet_ws_publish`, `icomet_channel`).
    pub fn marks(&self) -> Marks {
        let is_bound = matches!(self.channel(), ChannelSource::Value(_));
        Marks::default()
            .with(Marks::PUBLISHES, self.ws_publish.get().unwrap_or(false))
            .with(Marks::BOUND, is_bound)
            .with(Marks::PRESENCE, self.opens(Endpoint::Presence))
            .with(Marks::HISTORY, self.opens(Endpoint::History))
    }

    /// Where a subscriber's user comes from, if not from the subscriber itself (`icomet_user`).
    pub fn user(&self) -> Option<NonNull<ngx_http_complex_value_t>> {
        self.user.get()
    }

    /// Whether a path can name that endpoint here: what tells of other subscribers, or of what was
    /// published before, is opened by a directive of its own.
    pub fn opens(&self, endpoint: Endpoint) -> bool {
        match endpoint {
            Endpoint::Presence => self.sub_presence.get() == Some(true),
            Endpoint::History => self.sub_history.get() == Some(true),
            endpoint => endpoint.is_open(),
        }
    }

    /// Refuses a parameter that comes twice: one that every location knows, and one by which this one says
    /// channel or user.
    pub fn check_once(&self, params: &Params<'_>) -> Result<(), ParameterError> {
        params.check_once()?;
        params.check_once_of(&self.channel_parameters.borrow())?;
        params.check_once_of(&self.user_parameters.borrow())
    }

    /// Where the channel's name comes from.
    pub fn channel(&self) -> ChannelSource {
        self.channel
            .get()
            .unwrap_or(ChannelSource::Parameter("cname"))
    }
}

/// Creates a location's configuration.
///
/// # Safety
///
/// Called by nginx with a live configuration context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn icomet_create_loc_conf(cf: *mut ngx_conf_t) -> *mut c_void {
    guarded("create location conf", ptr::null_mut(), || {
        // SAFETY: nginx passes its context.
        let conf = unsafe { Conf::from_raw(cf) };
        let kept = conf.and_then(|conf| conf.keep(LocationConf::default()));
        kept.map_or(ptr::null_mut(), |location| location.as_ptr().cast())
    })
}

/// A location inherits `icomet_channel`, `icomet_park`, `icomet_user`, `icomet_sub_presence`,
/// `icomet_sub_history`, `icomet_ws_publish` and, unless it has its own, `icomet_publish`. An `if` or
/// `limit_except` block in a location is served as the location is; other locations inherit no content
/// handler.
///
/// # Safety
///
/// Called by nginx with two configurations that [`icomet_create_loc_conf`] made.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn icomet_merge_loc_conf(
    cf: *mut ngx_conf_t,
    parent: *mut c_void,
    child: *mut c_void,
) -> *mut c_char {
    guarded("merge location conf", CONF_ERROR, || {
        // SAFETY: see the function; the main configuration is the one that we created.
        let (Some(conf), Some(parent), Some(location), Some(main)) = (unsafe {
            (
                Conf::from_raw(cf),
                parent.cast::<LocationConf>().as_ref(),
                NonNull::new(child.cast::<LocationConf>()),
                shim::icomet_main_conf(cf).cast::<MainConf>().as_ref(),
            )
        }) else {
            return CONF_ERROR;
        };
        // SAFETY: create_loc_conf made it, and nothing holds it mutably.
        let child = unsafe { location.as_ref() };
        if child.channel.get().is_none() {
            child.channel.set(parent.channel.get());
            let read = parent.channel_parameters.borrow().clone();
            child.channel_parameters.replace(read);
        }
        if child.park.get().is_none() {
            child.park.set(parent.park.get());
        }
        if child.ws_publish.get().is_none() {
            child.ws_publish.set(parent.ws_publish.get());
        }
        if child.user.get().is_none() {
            child.user.set(parent.user.get());
            let read = parent.user_parameters.borrow().clone();
            child.user_parameters.replace(read);
        }
        if child.sub_presence.get().is_none() {
            child.sub_presence.set(parent.sub_presence.get());
        }
        if child.sub_history.get().is_none() {
            child.sub_history.set(parent.sub_history.get());
        }
        if child.publishes.borrow().is_empty() {
            child.publishes.replace(parent.publishes.borrow().clone());
        }
        // SAFETY: while nginx merges, cf leads to the child's configurations.
        let is_ours =
            || unsafe { shim::icomet_content_handler_is(cf, Some(endpoint::icomet_handler)) != 0 };
        if let Some(side) = child.side.get().filter(|_| !is_ours()) {
            let place = &child.named.borrow().1;
            return conf.error(&stands_beside(&format!(
                "{}\" in {place}",
                side.directive()
            )));
        }
        // SAFETY: as above.
        let is_block = unsafe { shim::icomet_is_block_in_location(cf) } != 0;
        if let Some(side) = parent
            .side
            .get()
            .filter(|_| is_block && child.side.get().is_none())
        {
            let (hub, place) = parent.named.borrow().clone();
            child.endpoint.set(parent.endpoint.get());
            child.serve(side, hub, place, main, location, Origin::of_block(conf));
            // SAFETY: as above; the handler has the signature of a content handler.
            unsafe {
                shim::icomet_set_limit_except_handler(cf, Some(endpoint::icomet_handler));
            }
        }
        CONF_OK
    })
}

/// Setter of `icomet_sub`.
///
/// # Safety
///
/// Called by nginx with a live configuration context and this location's configuration.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn icomet_set_sub(
    cf: *mut ngx_conf_t,
    _command: *mut ngx_command_t,
    conf: *mut c_void,
) -> *mut c_char {
    // SAFETY: passed on as it came.
    guarded("icomet_sub", CONF_ERROR, || unsafe {
        set_side(cf, conf, Side::Front)
    })
}

/// Setter of `icomet_pub`.
///
/// # Safety
///
/// Called by nginx with a live configuration context and this location's configuration.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn icomet_set_pub(
    cf: *mut ngx_conf_t,
    _command: *mut ngx_command_t,
    conf: *mut c_void,
) -> *mut c_char {
    // SAFETY: passed on as it came.
    guarded("icomet_pub", CONF_ERROR, || unsafe {
        set_side(cf, conf, Side::Admin)
    })
}

/// # Safety
///
/// `cf` and `conf` are what nginx passed to the setter.
unsafe fn set_side(cf: *mut ngx_conf_t, conf: *mut c_void, side: Side) -> *mut c_char {
    // SAFETY: see the function; the main configuration is the one that we created.
    let (Some(wrapped), Some(location), Some(main)) = (unsafe {
        (
            Conf::from_raw(cf),
            NonNull::new(conf.cast::<LocationConf>()),
            shim::icomet_main_conf(cf).cast::<MainConf>().as_ref(),
        )
    }) else {
        return CONF_ERROR;
    };
    // SAFETY: create_loc_conf made it, and nothing holds it mutably.
    let this = unsafe { location.as_ref() };
    let directive = side.directive();
    if let Some(earlier) = this.side.get() {
        return wrapped.error(&if earlier == side {
            format!("\"{directive}\" is duplicate in this location")
        } else {
            format!(
                "\"{directive}\" cannot stand in one location with \"{}\": give each a location \
                 of its own",
                earlier.directive()
            )
        });
    }
    // SAFETY: cf is valid.
    if unsafe { shim::icomet_has_content_handler(cf) } != 0 {
        return wrapped.error(&stands_beside(&format!("{directive}\"")));
    }
    let arguments = wrapped.arguments();
    let hub = arguments.get(1).map_or_else(
        || DEFAULT_HUB.to_owned(),
        |name| String::from_utf8_lossy(name).into_owned(),
    );
    if let Some(name) = arguments.get(2) {
        match Endpoint::from_name(name).filter(|endpoint| endpoint.side() == side) {
            Some(endpoint) => this.endpoint.set(Some(endpoint)),
            None => {
                return wrapped.error(&format!(
                    "unknown endpoint \"{}\" in \"{directive}\": use one of {}",
                    String::from_utf8_lossy(name),
                    side.endpoints(|endpoint| endpoint != Endpoint::WsEcho)
                        .join(", ")
                ));
            }
        }
    }
    let origin = Origin::of_block(wrapped);
    this.serve(side, hub, wrapped.place(), main, location, origin);
    // SAFETY: cf is valid; the handler has the signature of a content handler.
    unsafe { shim::icomet_set_content_handler(cf, Some(endpoint::icomet_handler)) };
    CONF_OK
}

/// Setter of `icomet_channel`.
///
/// # Safety
///
/// Called by nginx with a live configuration context and this level's configuration.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn icomet_set_channel(
    cf: *mut ngx_conf_t,
    _command: *mut ngx_command_t,
    conf: *mut c_void,
) -> *mut c_char {
    guarded("icomet_channel", CONF_ERROR, || {
        // SAFETY: see the function.
        let pair = unsafe { (Conf::from_raw(cf), conf.cast::<LocationConf>().as_ref()) };
        let (Some(cf), Some(location)) = pair else {
            return CONF_ERROR;
        };
        if location.channel.get().is_some() {
            return cf.error("\"icomet_channel\" is duplicate");
        }
        let Some(text) = cf
            .arguments()
            .get(1)
            .copied()
            .filter(|text| !text.is_empty())
        else {
            return cf.error("\"icomet_channel\" is empty: give a value, as in \"$arg_cname\"");
        };
        let source = match parameter_name(text) {
            Some(name) => ChannelSource::Parameter(name),
            None => match cf.complex_value(text) {
                Ok(value) => ChannelSource::Value(value),
                Err(()) => return CONF_ERROR,
            },
        };
        location.channel.set(Some(source));
        location.channel_parameters.replace(parameters(text));
        CONF_OK
    })
}

/// Setter of `icomet_park`.
///
/// # Safety
///
/// Called by nginx with a live configuration context and this level's configuration.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn icomet_set_park(
    cf: *mut ngx_conf_t,
    _command: *mut ngx_command_t,
    conf: *mut c_void,
) -> *mut c_char {
    // SAFETY: passed on as it came.
    guarded("icomet_park", CONF_ERROR, || unsafe {
        set_switch(cf, conf, "icomet_park", |location| &location.park)
    })
}

/// Setter of `icomet_sub_presence`.
///
/// # Safety
///
/// Called by nginx with a live configuration context and this level's configuration.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn icomet_set_sub_presence(
    cf: *mut ngx_conf_t,
    _command: *mut ngx_command_t,
    conf: *mut c_void,
) -> *mut c_char {
    // SAFETY: passed on as it came.
    guarded("icomet_sub_presence", CONF_ERROR, || unsafe {
        set_switch(cf, conf, "icomet_sub_presence", |location| {
            &location.sub_presence
        })
    })
}

/// Setter of `icomet_sub_history`.
///
/// # Safety
///
/// Called by nginx with a live configuration context and this level's configuration.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn icomet_set_sub_history(
    cf: *mut ngx_conf_t,
    _command: *mut ngx_command_t,
    conf: *mut c_void,
) -> *mut c_char {
    // SAFETY: passed on as it came.
    guarded("icomet_sub_history", CONF_ERROR, || unsafe {
        set_switch(cf, conf, "icomet_sub_history", |location| {
            &location.sub_history
        })
    })
}

/// Setter of `icomet_user`.
///
/// # Safety
///
/// Called by nginx with a live configuration context and this level's configuration.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn icomet_set_user(
    cf: *mut ngx_conf_t,
    _command: *mut ngx_command_t,
    conf: *mut c_void,
) -> *mut c_char {
    guarded("icomet_user", CONF_ERROR, || {
        // SAFETY: see the function.
        let pair = unsafe { (Conf::from_raw(cf), conf.cast::<LocationConf>().as_ref()) };
        let (Some(cf), Some(location)) = pair else {
            return CONF_ERROR;
        };
        if location.user.get().is_some() {
            return cf.error("\"icomet_user\" is duplicate");
        }
        let text = cf.arguments().get(1).copied().unwrap_or_default();
        match cf.complex_value(text) {
            Ok(value) => location.user.set(Some(value)),
            Err(()) => return CONF_ERROR,
        }
        location.user_parameters.replace(parameters(text));
        CONF_OK
    })
}

/// Setter of `icomet_ws_publish`.
///
/// # Safety
///
/// Called by nginx with a live configuration context and this level's configuration.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn icomet_set_ws_publish(
    cf: *mut ngx_conf_t,
    _command: *mut ngx_command_t,
    conf: *mut c_void,
) -> *mut c_char {
    // SAFETY: passed on as it came.
    guarded("icomet_ws_publish", CONF_ERROR, || unsafe {
        set_switch(cf, conf, "icomet_ws_publish", |location| {
            &location.ws_publish
        })
    })
}

/// Sets what is `on` or `off`.
///
/// # Safety
///
/// Called with a live configuration context and this level's configuration.
unsafe fn set_switch(
    cf: *mut ngx_conf_t,
    conf: *mut c_void,
    name: &str,
    switch: fn(&LocationConf) -> &Cell<Option<bool>>,
) -> *mut c_char {
    // SAFETY: see the function.
    let pair = unsafe { (Conf::from_raw(cf), conf.cast::<LocationConf>().as_ref()) };
    let (Some(cf), Some(location)) = pair else {
        return CONF_ERROR;
    };
    if switch(location).get().is_some() {
        return cf.error(&format!("\"{name}\" is duplicate"));
    }
    let text = cf.arguments().get(1).copied().unwrap_or_default();
    let is_on = match text {
        b"on" => true,
        b"off" => false,
        _ => {
            return cf.error(&format!(
                "invalid value \"{}\" in \"{name}\": use \"on\" or \"off\"",
                String::from_utf8_lossy(text)
            ));
        }
    };
    switch(location).set(Some(is_on));
    CONF_OK
}

/// What is said of a directive, with its closing quote, beside another that answers.
fn stands_beside(directive: &str) -> String {
    format!(
        "\"{directive} cannot stand in one location with another directive that answers (proxy_pass, \
         fastcgi_pass, stub_status, ...): give it a location of its own"
    )
}
