//! Life of a hub's shared-memory zone.
//!
//! * The configuration asks nginx for a segment (`icomet_` + hub name) after it was read.
//! * The master maps it before it forks and calls [`init`]: a fresh segment is formatted, one that
//!   an earlier configuration used (same name and size) is opened as it is.
//! * Workers inherit the mapping at one address; a reload hands it on, so channels go on.
//! * A zone of another size is another segment: its channels start empty, which is logged.
//! * nginx unmaps a segment when the last configuration that names it is gone.

use core::ffi::c_void;
use core::ptr::NonNull;
use std::rc::Rc;

use icomet_engine::{Zone, ZoneError};
use nginx_sys::{
    ngx_int_t, ngx_shared_memory_add, ngx_shm_zone_t, ngx_slab_alloc, ngx_slab_pool_t, ngx_str_t,
};

use super::hub::Hub;
use super::main::MainConf;
use crate::ffi::conf::Conf;
use crate::ffi::guard::guarded;
use crate::ffi::request::code;
use crate::ffi::{log, shim};

/// nginx's page (4096 on every platform this module is built for); the slab pool counts in it.
const PAGE: usize = 4096;

/// Asks nginx for the hub's segment. `Err` is the message for the operator.
pub fn request(cf: Conf, hub: Rc<Hub>) -> Result<(), String> {
    let short = || format!("no memory for the zone of hub \"{}\"", hub.name);
    let name = cf.keep(format!("icomet_{}", hub.name)).ok_or_else(short)?;
    let kept = cf.keep(Rc::clone(&hub)).ok_or_else(short)?;
    // SAFETY: the name and the hub live in the configuration's pool, as nginx requires; the tag is
    // this module's address, so no other module shares the segment.
    unsafe {
        let name = name.as_ref();
        let mut name = ngx_str_t {
            len: name.len(),
            data: name.as_ptr().cast_mut(),
        };
        let zone = ngx_shared_memory_add(
            cf.as_ptr(),
            &raw mut name,
            usize::try_from(hub.segment_size()).unwrap_or(usize::MAX),
            shim::icomet_module().cast(),
        );
        if zone.is_null() {
            return Err(short());
        }
        (*zone).init = Some(init);
        (*zone).data = kept.as_ptr().cast();
    }
    Ok(())
}

/// nginx calls it in the master when the segment is mapped.
unsafe extern "C" fn init(zone: *mut ngx_shm_zone_t, _old: *mut c_void) -> ngx_int_t {
    guarded("zone init", code::ERROR, || {
        // SAFETY: nginx passes a mapped zone that begins with an initialised slab pool; its data is
        // the hub that request() kept.
        let (pool, hub) = unsafe {
            (
                (*zone).shm.addr.cast::<ngx_slab_pool_t>(),
                (*zone).data.cast::<Rc<Hub>>().as_ref(),
            )
        };
        let Some(hub) = hub else { return code::ERROR };
        // SAFETY: as above.
        match unsafe { open_or_format(pool, hub) } {
            Ok((opened, is_new)) => {
                hub.zone.set(Some(opened));
                hub.zone_is_new.set(is_new);
                code::OK
            }
            Err(text) => {
                log::alert(&format!("zone of hub \"{}\": {text}", hub.name));
                code::ERROR
            }
        }
    })
}

/// # Safety
///
/// `pool` is the slab pool at the start of a segment that only this module uses.
///
/// Gives the zone, and whether it was made now.
unsafe fn open_or_format(pool: *mut ngx_slab_pool_t, hub: &Hub) -> Result<(Zone, bool), String> {
    // SAFETY: see the function; ngx_slab_alloc returns all of the segment's pages in one piece.
    unsafe {
        let kept = NonNull::new((*pool).data.cast::<u8>());
        if let Some(base) = kept {
            let size = (*pool).end as usize - base.as_ptr() as usize;
            let opened = Zone::open(base, size - size % PAGE).map_err(|e| explain(&e))?;
            return Ok((opened, false));
        }
        tell_of_change(hub);
        let size = (*pool).pfree * PAGE;
        let memory = ngx_slab_alloc(pool, size).cast::<u8>();
        let Some(base) = NonNull::new(memory) else {
            return Err("nginx could not give its pages; make the zone larger".to_owned());
        };
        let mut random = [0u8; 24];
        getrandom::fill(&mut random).map_err(|e| format!("no random numbers: {e}"))?;
        let (epoch, key) = random.split_at(8);
        let epoch = u64::from_ne_bytes(epoch.try_into().unwrap_or_default());
        let key: [u8; 16] = key.try_into().unwrap_or_default();
        let opened = Zone::format(base, size, epoch, key).map_err(|e| explain(&e))?;
        (*pool).data = base.as_ptr().cast();
        Ok((opened, true))
    }
}

fn explain(error: &ZoneError) -> String {
    format!("{error}; a restart of nginx makes a fresh zone")
}

/// Says so when an earlier configuration had this hub with a zone of another size.
fn tell_of_change(hub: &Hub) {
    // While nginx reads a new configuration, the one that runs is still the earlier.
    let Some(earlier) = MainConf::running().and_then(|main| main.hub(&hub.name)) else {
        return;
    };
    if earlier.zone_size != hub.zone_size {
        log::warn(&format!(
            "zone of hub \"{}\" changed from {} to {} bytes: its channels and messages start \
             empty; keep the size over a reload to keep them",
            hub.name, earlier.zone_size, hub.zone_size
        ));
    }
}
