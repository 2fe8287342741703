//! The locations that serve subscribers, by what an operator would call the same location in another
//! configuration: where a subscriber that moves to a newer worker is served from then on.

use core::ptr::NonNull;

use rustc_hash::FxHashMap;

use super::location::LocationConf;
use super::main::Reference;
use crate::ffi::connection::Origin;

/// A location.
#[derive(Clone, Copy)]
pub struct Place {
    /// Its configurations in nginx.
    pub origin: Origin,
    location: NonNull<LocationConf>,
}

impl Place {
    /// Its configuration in this module.
    pub fn location(&self) -> &LocationConf {
        // SAFETY: a place lives in the main configuration that its location's belongs to.
        unsafe { self.location.as_ref() }
    }
}

/// All locations of a configuration.
#[derive(Default)]
pub struct Places {
    by_key: FxHashMap<Vec<u8>, Vec<Place>>,
    keys: Vec<(Origin, Vec<u8>)>,
}

impl Places {
    /// Finds out what each location is called: server name, kind and name, and which of several equal
    /// ones of its server it is.
    pub fn new(references: &[Reference]) -> Places {
        let mut places = Places::default();
        for reference in references {
            let origin = reference.origin;
            let (server, kind, name) = origin.names();
            let mut key = [server, &[0, kind], name, &[0]].concat();
            let before = places.keys.iter().filter(|(other, known)| {
                other.srv_conf() == origin.srv_conf() && known.starts_with(&key)
            });
            let before = before.count() as u32;
            key.extend_from_slice(&before.to_be_bytes());
            let place = Place {
                origin,
                location: reference.location,
            };
            places.keys.push((origin, key.clone()));
            places.by_key.entry(key).or_default().push(place);
        }
        places
    }

    /// What a location is called.
    pub fn key_of(&self, origin: Origin) -> Option<&[u8]> {
        let known = self.keys.iter().find(|(known, _)| *known == origin);
        known.map(|(_, key)| key.as_slice())
    }

    /// The locations that are called so; they are of different servers.
    pub fn called(&self, key: &[u8]) -> &[Place] {
        self.by_key.get(key).map_or(&[], Vec::as_slice)
    }
}
