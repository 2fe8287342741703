//! The configuration of the `http` block: its hubs, and who refers to them.

use core::cell::{OnceCell, RefCell};
use core::ffi::c_void;
use core::ptr::{self, NonNull, addr_of};
use std::rc::Rc;

use nginx_sys::{ngx_conf_t, ngx_cycle, ngx_int_t};

use super::hub::{DEFAULT_HUB, Hub};
use super::kept::KeptVariable;
use super::location::LocationConf;
use super::log_publish::LogPublish;
use super::places::Places;
use super::{kept, variables, zone};
use crate::endpoint::{Endpoint, log_publish};
use crate::ffi::conf::Conf;
use crate::ffi::connection::Origin;
use crate::ffi::guard::guarded;
use crate::ffi::request::{Request, code};
use crate::ffi::shim;
use crate::worker;

/// A location that named a hub, which may be defined further down.
pub struct Reference {
    /// The directive that named it.
    pub directive: &'static str,
    /// The hub's name.
    pub hub: String,
    /// `file:line` of the directive.
    pub place: String,
    /// The location; it lives in the same configuration.
    pub location: NonNull<LocationConf>,
    /// The configurations that nginx serves it with.
    pub origin: Origin,
}

/// What the `http` block holds for this module.
#[derive(Default)]
pub struct MainConf {
    hubs: RefCell<Vec<Rc<Hub>>>,
    references: RefCell<Vec<Reference>>,
    publishes: RefCell<Vec<Rc<LogPublish>>>,
    kept: OnceCell<Vec<KeptVariable>>,
    places: OnceCell<Places>,
}

impl MainConf {
    /// The hub of that name.
    pub fn hub(&self, name: &str) -> Option<Rc<Hub>> {
        self.hubs
            .borrow()
            .iter()
            .find(|hub| hub.name == name)
            .cloned()
    }

    /// All hubs, in the order of their definition.
    pub fn hubs(&self) -> Vec<Rc<Hub>> {
        self.hubs.borrow().clone()
    }

    /// Adds a hub whose name is new.
    pub fn add_hub(&self, hub: Rc<Hub>) {
        self.hubs.borrow_mut().push(hub);
    }

    /// The configuration that this process runs; `None` before there is one, or without an `http` block.
    pub fn running() -> Option<&'static MainConf> {
        // SAFETY: ngx_cycle is the running cycle, or the empty one of the start; its main configuration
        // is one that we created, and lives as long as the cycle.
        unsafe {
            let cycle = *addr_of!(ngx_cycle);
            if cycle.is_null() {
                return None;
            }
            shim::icomet_cycle_main_conf(cycle)
                .cast::<MainConf>()
                .as_ref()
        }
    }

    /// The variables that a parked request keeps; found at the first one that is parked, when the whole
    /// configuration is known.
    pub fn kept_variables(&self, request: &Request) -> &[KeptVariable] {
        self.kept
            .get_or_init(|| kept::variables(|index| request.variable_at(index)))
    }

    /// Its locations, by what they are called; found when somebody moves, and the whole configuration is
    /// known.
    pub fn places(&self) -> &Places {
        self.places
            .get_or_init(|| Places::new(&self.references.borrow()))
    }

    /// Notes that a location named a hub.
    pub fn refer(&self, reference: Reference) {
        self.references.borrow_mut().push(reference);
    }

    /// Notes that something is published when a request ends.
    pub fn add_publish(&self, publish: Rc<LogPublish>) {
        self.publishes.borrow_mut().push(publish);
    }

    /// The hub of that name, which may be the one that needs no definition.
    fn hub_or_default(&self, name: &str) -> Option<Rc<Hub>> {
        if name == DEFAULT_HUB && self.hub(name).is_none() {
            self.add_hub(Rc::new(Hub::with_defaults(name, String::new())));
        }
        self.hub(name)
    }

    /// Gives each location its hub. `Err` says which hub is not there.
    fn resolve(&self) -> Result<(), String> {
        for publish in self.publishes.borrow().iter() {
            let LogPublish {
                hub_name, place, ..
            } = &**publish;
            let Some(hub) = self.hub_or_default(hub_name) else {
                return Err(self.unknown_hub("icomet_publish", hub_name, place));
            };
            // A directive is resolved once.
            let _ = publish.hub.set(hub);
        }
        for reference in self.references.borrow().iter() {
            let Reference {
                directive,
                hub: name,
                place,
                ..
            } = reference;
            let Some(hub) = self.hub_or_default(name) else {
                return Err(self.unknown_hub(directive, name, place));
            };
            // SAFETY: the location's configuration lives in the same pool as this one, and only
            // this thread reads configuration.
            unsafe { reference.location.as_ref() }.set_hub(hub);
        }
        Ok(())
    }

    fn unknown_hub(&self, directive: &str, hub: &str, place: &str) -> String {
        if Endpoint::from_name(hub.as_bytes()).is_some() {
            return format!(
                "unknown hub \"{hub}\" in \"{directive}\" in {place}: the hub's name comes before \
                 the endpoint, as in \"{directive} {DEFAULT_HUB} {hub};\""
            );
        }
        let mut names: Vec<_> = self
            .hubs
            .borrow()
            .iter()
            .map(|hub| hub.name.clone())
            .collect();
        if !names.iter().any(|name| name == DEFAULT_HUB) {
            names.push(DEFAULT_HUB.to_owned());
        }
        format!(
            "unknown hub \"{hub}\" in \"{directive}\" in {place}: define it by \
             \"icomet_hub {hub} {{ }}\" in the http block, or use one of: {}",
            names.join(", ")
        )
    }
}

/// Creates the configuration of the `http` block.
///
/// # Safety
///
/// Called by nginx with a live configuration context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn icomet_create_main_conf(cf: *mut ngx_conf_t) -> *mut c_void {
    guarded("create main conf", ptr::null_mut(), || {
        // SAFETY: nginx passes its context.
        let conf = unsafe { Conf::from_raw(cf) };
        let kept = conf.and_then(|conf| conf.keep(MainConf::default()));
        kept.map_or(ptr::null_mut(), |main| main.as_ptr().cast())
    })
}

/// Adds the variables before the configuration is read.
///
/// # Safety
///
/// Called by nginx with a live configuration context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn icomet_preconfiguration(cf: *mut ngx_conf_t) -> ngx_int_t {
    guarded("preconfiguration", code::ERROR, || {
        // SAFETY: nginx passes its context.
        match unsafe { Conf::from_raw(cf) }.map(variables::add) {
            Some(Ok(())) => code::OK,
            _ => code::ERROR,
        }
    })
}

/// Resolves hubs and asks nginx for their zones, after the configuration was read.
///
/// # Safety
///
/// Called by nginx with a live configuration context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn icomet_postconfiguration(cf: *mut ngx_conf_t) -> ngx_int_t {
    guarded("postconfiguration", code::ERROR, || {
        // SAFETY: nginx passes its context, whose main configuration we created.
        let (conf, main) = unsafe {
            let main = shim::icomet_main_conf(cf).cast::<MainConf>().as_ref();
            (Conf::from_raw(cf), main)
        };
        let (Some(conf), Some(main)) = (conf, main) else {
            return code::ERROR;
        };
        let zones = main
            .resolve()
            .and_then(|()| keeps_zones(main))
            .and_then(|()| {
                main.hubs()
                    .into_iter()
                    .try_for_each(|hub| zone::request(conf, hub))
            });
        match zones {
            Ok(()) if main.publishes.borrow().is_empty() => code::OK,
            // SAFETY: cf is valid; the handler has the signature of one of the log phase.
            Ok(()) => unsafe { shim::icomet_add_log_handler(cf, Some(log_publish::icomet_on_log)) },
            Err(text) => {
                conf.error(&text);
                code::ERROR
            }
        }
    })
}

/// Without worker processes a reload would take a zone away under the process that uses it.
fn keeps_zones(main: &MainConf) -> Result<(), String> {
    let used = worker::with(|worker| {
        let hubs = worker.hubs.iter().map(|attached| Rc::clone(&attached.hub));
        hubs.collect::<Vec<_>>()
    });
    for hub in used.unwrap_or_default() {
        let stays = main
            .hub(&hub.name)
            .is_some_and(|new| new.zone_size == hub.zone_size);
        if !stays {
            return Err(format!(
                "hub \"{}\" cannot go, or get another zone size, over a reload with \
                 \"master_process off\": restart nginx",
                hub.name
            ));
        }
    }
    Ok(())
}
