//! How many subscribers each client address has, over all workers; nothing is kept of an address
//! without one.
//!
//! There is one entry for each address and worker: whatever a worker that died had counted goes with
//! its entries. The entries of an address stand in one hash chain, so their sum is found without a
//! second count that could differ from it.

use core::fmt;
use core::hash::Hasher;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use siphasher::sip::SipHasher13;

use crate::busy::Later;
use crate::cell::{Link, Long, Ref, Word};
use crate::limits::{ChannelLimits, OnFull};
use crate::registry::WorkerId;
use crate::room::{Refusal, Shortage};
use crate::shard::Guard;
use crate::wake::WakeSet;
use crate::zone::Zone;

/// Whom subscribers are counted for: an IPv4 address, or the /64 network of an IPv6 address, which is
/// the least that one client is given (RFC 6177, RFC 7421).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress {
    family: u32,
    bits: u64,
}

const IPV4: u32 = 4;
const IPV6: u32 = 6;

/// Not an address: a user, by the keyed hash of its id.
const USER: u32 = 1;

impl From<IpAddr> for ClientAddress {
    /// An IPv4 address that is written as an IPv6 one (`::ffff:192.0.2.1`) is the IPv4 address.
    fn from(address: IpAddr) -> ClientAddress {
        match address.to_canonical() {
            IpAddr::V4(address) => ClientAddress {
                family: IPV4,
                bits: u32::from(address).into(),
            },
            IpAddr::V6(address) => ClientAddress {
                family: IPV6,
                bits: (u128::from(address) >> 64) as u64,
            },
        }
    }
}

impl ClientAddress {
    /// A user is counted as an address is; `tag` is [`Zone::user_tag`]'s.
    pub fn of_user(tag: u64) -> ClientAddress {
        ClientAddress {
            family: USER,
            bits: tag,
        }
    }
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.family == USER {
            return f.write_str("a user");
        }
        if self.family == IPV4 {
            return Ipv4Addr::from(self.bits as u32).fmt(f);
        }
        write!(f, "{}/64", Ipv6Addr::from(u128::from(self.bits) << 64))
    }
}

/// The subscribers that an address has on one worker.
///
/// Concurrency: read and written under its shard's lock; but the worker whose it is may read `family`
/// and `bits` without it, which are written before it is linked. Crash: linked by one store after its
/// words are set, unlinked by one store before it is freed. `count` is the truth; one of a worker
/// that died is taken out by the reaper.
#[repr(C)]
pub struct Entry {
    link: Word,
    /// The next in its hash chain.
    next: Link<Entry>,
    /// The worker's slot.
    slot: Word,
    /// Its subscribers there; never 0 outside of a critical section.
    count: Word,
    family: Word,
    reserved: Word,
    bits: Long,
}

/// One subscriber that is counted for its address; to be given back by [`Zone::leave`].
#[must_use = "the address would stay counted until its worker ends"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission(u32);

/// Why a subscriber of an address is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnterError {
    /// The address has as many subscribers as it may.
    TooMany,
    /// The zone has no memory for it.
    ZoneFull,
    /// Somebody holds a lock too long.
    Busy,
}

impl Refusal for EnterError {
    const BUSY: Self = EnterError::Busy;

    fn shortage(self) -> Option<Shortage> {
        (self == EnterError::ZoneFull).then_some(Shortage::Memory)
    }
}

impl fmt::Display for EnterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EnterError::TooMany => "too many subscribers of this address",
            EnterError::ZoneFull => "the zone is full",
            EnterError::Busy => "a worker holds the zone",
        })
    }
}

impl std::error::Error for EnterError {}

impl Entry {
    fn address(&self) -> ClientAddress {
        ClientAddress {
            family: self.family.get(),
            bits: self.bits.get(),
        }
    }
}

impl Zone {
    /// The shard and the bucket of an address.
    fn place_of(&self, address: ClientAddress) -> (usize, usize) {
        let (low, high) = self.key();
        let mut hasher = SipHasher13::new_with_keys(low, high);
        hasher.write_u32(address.family);
        hasher.write_u64(address.bits);
        let hash = hasher.finish();
        let geometry = self.geometry();
        (
            (hash >> 58) as usize & (geometry.shards as usize - 1),
            hash as usize & (geometry.address_buckets as usize - 1),
        )
    }

    /// Counts one subscriber more for an address, which may have `max` over all workers.
    pub fn enter(
        &self,
        worker: WorkerId,
        address: ClientAddress,
        max: u32,
        _limits: &impl ChannelLimits,
        wake: &mut WakeSet,
    ) -> Result<Admission, EnterError> {
        let (shard, bucket) = self.place_of(address);
        let entered = self.with_room(OnFull::Refuse, shard, wake, |wake| {
            let guard = self.lock(shard, wake).ok_or(EnterError::Busy)?;
            let mut own = None;
            let mut total = 0;
            for (place, entry) in guard.entries(bucket) {
                if entry.address() == address {
                    total += u64::from(entry.count.get());
                    if entry.slot.get() == u32::from(worker.slot) {
                        own = Some((place, entry));
                    }
                }
            }
            if total >= u64::from(max) {
                return Err(EnterError::TooMany);
            }
            let place = match own {
                Some((place, entry)) => {
                    entry.count.add(1);
                    place
                }
                None => guard
                    .new_entry(bucket, worker.slot, address)
                    .ok_or(EnterError::ZoneFull)?,
            };
            Ok(Admission(place.units()))
        });
        if entered.is_err() {
            self.header().refused_subscribers.next();
        }
        entered
    }

    /// Takes a subscriber off its address again; the same worker had it let in.
    pub fn leave(&self, admission: Admission) {
        let known = Ref::<Entry>::new(admission.0).and_then(|place| Some((place, self.at(place)?)));
        let Some((place, entry)) = known else { return };
        let (shard, bucket) = self.place_of(entry.address());
        let Some(guard) = self.lock(shard, &mut WakeSet::default()) else {
            return self.put_off(Later::Leave(admission));
        };
        entry.count.take(1);
        if entry.count.get() == 0 {
            guard.remove_entry(bucket, place, entry);
        }
    }

    /// Subscribers that are counted for an address.
    pub fn subscribers_of(&self, address: ClientAddress) -> u64 {
        let (shard, bucket) = self.place_of(address);
        let Some(guard) = self.lock(shard, &mut WakeSet::default()) else {
            return 0;
        };
        let entries = guard.entries(bucket);
        entries
            .filter(|(_, entry)| entry.address() == address)
            .map(|(_, entry)| u64::from(entry.count.get()))
            .sum()
    }

    fn address_bucket(&self, shard: usize, index: usize) -> &Link<Entry> {
        let geometry = self.geometry();
        let buckets = geometry.address_buckets as usize;
        // SAFETY: the geometry has `address_buckets` buckets for each shard; a link is one word.
        unsafe { self.element(geometry.addresses_at, shard * buckets + index % buckets) }
    }
}

impl<'z> Guard<'z> {
    fn entries(&self, bucket: usize) -> impl Iterator<Item = (Ref<Entry>, &'z Entry)> + use<'z> {
        let zone = self.zone;
        let mut at = zone.address_bucket(self.index, bucket).get();
        core::iter::from_fn(move || {
            let place = at?;
            let entry = zone.at(place)?;
            at = entry.next.get();
            Some((place, entry))
        })
    }

    fn new_entry(&self, bucket: usize, slot: u16, address: ClientAddress) -> Option<Ref<Entry>> {
        let place = self.allocate(size_of::<Entry>())?.cast::<Entry>();
        let entry = self.zone.at(place)?;
        let head = self.zone.address_bucket(self.index, bucket);
        entry.slot.set(slot.into());
        entry.count.set(1);
        entry.family.set(address.family);
        entry.bits.set(address.bits);
        entry.next.set(head.get());
        head.set(Some(place));
        self.shard.addresses.add(1);
        Some(place)
    }

    fn remove_entry(&self, bucket: usize, place: Ref<Entry>, entry: &Entry) {
        let before = self
            .entries(bucket)
            .find(|(_, other)| other.next.get() == Some(place));
        match before {
            Some((_, before)) => before.next.set(entry.next.get()),
            None => self
                .zone
                .address_bucket(self.index, bucket)
                .set(entry.next.get()),
        }
        self.shard.addresses.take(1);
        // Nobody looks at it without the lock but its worker, which has left.
        self.free(place);
    }

    /// All entries of the shard.
    pub(crate) fn all_entries(&self) -> Vec<Ref<Entry>> {
        let buckets = 0..self.zone.geometry().address_buckets as usize;
        buckets
            .flat_map(|bucket| self.entries(bucket).map(|(place, _)| place))
            .collect()
    }

    /// Takes a worker that is gone off all addresses. Without any it costs nothing.
    pub(crate) fn remove_entries_of(&self, slot: u16) {
        if self.shard.addresses.get() == 0 {
            return;
        }
        for bucket in 0..self.zone.geometry().address_buckets as usize {
            let gone: Vec<_> = self
                .entries(bucket)
                .filter(|(_, entry)| entry.slot.get() == u32::from(slot))
                .collect();
            for (place, entry) in gone {
                self.remove_entry(bucket, place, entry);
            }
        }
    }

    /// Checks the entries; how many there are.
    pub(crate) fn verify_entries(&self, faults: &mut Vec<String>) -> u64 {
        let mut found = 0;
        for bucket in 0..self.zone.geometry().address_buckets as usize {
            for (_, entry) in self.entries(bucket) {
                found += 1;
                if self.zone.place_of(entry.address()) != (self.index, bucket) {
                    faults.push(format!("shard {}: an address in a wrong place", self.index));
                }
                if entry.count.get() == 0 {
                    faults.push(format!("shard {}: an address with nobody", self.index));
                }
                let slot = self.zone.slot(entry.slot.get() as u16);
                if slot.incarnation.get() == 0 {
                    faults.push(format!("shard {}: an address of a ghost", self.index));
                }
            }
        }
        let told = self.shard.addresses.get();
        if found != u64::from(told) {
            faults.push(format!(
                "shard {}: {found} addresses, {told} told",
                self.index
            ));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> ClientAddress {
        text.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn one_client_is_one_address() {
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_ne!(of("0.0.0.0"), of("::"));
        assert_eq!(of("192.0.2.1").to_string(), "192.0.2.1");
        assert_eq!(of("2001:db8:1:2::1").to_string(), "2001:db8:1:2::/64");
        assert_eq!(size_of::<Entry>(), 32);
    }
}
