//! Once a second: channels that have expired, workers that have died or come, wake-ups that were lost with
//! a worker that died before it rang.

use icomet_engine::WakeSet;

use super::{Worker, handover, with};
use crate::ffi::guard::guarded;
use crate::ffi::{event, log};

/// Milliseconds between two runs.
pub const PERIOD: u64 = 1000;

/// Channels that one run lets expire in a hub, at most; the rest follows soon.
const CHANNELS: usize = 4096;

/// Milliseconds until the next run when this one did not get through.
const SOON: u64 = 10;

/// nginx calls it when the housekeeping timer has run out.
pub unsafe extern "C" fn icomet_on_housekeeping(_event: *mut nginx_sys::ngx_event_t) {
    guarded("housekeeping", (), || {
        // First, so that no error in what follows keeps this from being done again.
        with(|worker| worker.housekeeping.set_timer(PERIOD));
        if with(Worker::keep_house) == Some(true) {
            with(|worker| worker.housekeeping.set_timer(SOON));
        }
        handover::greet_elders();
        #[cfg(feature = "fault-injection")]
        if icomet_engine::fault::take_verify() {
            with(|worker| worker.verify());
        }
    });
}

impl Worker {
    /// Does what is due; whether more is.
    pub fn keep_house(&mut self) -> bool {
        #[cfg(feature = "fault-injection")]
        icomet_engine::fault::panic_as_asked();
        self.say_what_was_dropped();
        let now = event::now();
        let mut wake = WakeSet::default();
        let mut more = false;
        if let Some(stuck) = icomet_engine::take_stuck() {
            log::stuck(&stuck);
        }
        for index in core::mem::take(&mut self.late) {
            self.resume_later(index);
        }
        for attached in &mut self.hubs {
            let (zone, hub) = (&attached.zone, &attached.hub);
            let reaped = zone.reap_dead(&self.registry, &hub.limits, now, &mut wake);
            if reaped > 0 {
                log::notice(&format!(
                    "{reaped} worker(s) died; their subscribers were taken off hub \"{}\"",
                    hub.name
                ));
            }
            more |= zone.expire(&hub.limits, now, CHANNELS, &mut wake) >= CHANNELS;
            let repairs = zone.stats().repairs;
            if repairs > attached.repairs_logged {
                log::warn(&format!(
                    "hub \"{}\" was repaired {} time(s) after a worker died inside it",
                    hub.name,
                    repairs - attached.repairs_logged
                ));
                attached.repairs_logged = repairs;
            }
            zone.settle(&hub.limits, now);
            attached.orders.forget(now);
            let has_orders = zone.has_orders(self.id) || self.users.has_work();
            if has_orders || zone.has_dirty(self.id) || attached.has_work() {
                self.fanout.post();
            }
        }
        self.ring(&wake);
        #[cfg(feature = "fault-injection")]
        icomet_engine::fault::panic_at_last();
        more
    }

    /// Checks every zone and says in the log what it found; the chaos harness asks for it.
    #[cfg(feature = "fault-injection")]
    fn verify(&self) {
        for attached in &self.hubs {
            let name = &attached.hub.name;
            match attached.zone.verify() {
                Ok(report) => log::notice(&format!(
                    "hub \"{name}\" verified: {} channels, {} subscribers, repaired {} times",
                    report.channels,
                    report.subscribers,
                    attached.zone.stats().repairs
                )),
                Err(faults) => {
                    for fault in faults {
                        log::alert(&format!("hub \"{name}\" is broken: {fault}"));
                    }
                }
            }
        }
    }
}
