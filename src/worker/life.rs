//! Life of a worker process: it claims a slot, attaches to the zones, works, and takes its leave.
//!
//! * `init_module` (master, before the first fork and at each reload): the tables of workers and
//!   their doorbells, and the number of a new generation.
//! * `init_process` (each worker; not the cache manager and loader, which nginx starts the same
//!   way): slot, doorbell and inbox in the loop, hubs, housekeeping, hello to older workers. Workers that died are
//!   cleaned up here, because nginx starts a worker at once when one dies.
//! * a graceful exit begins at the doorbell ([`super::shutdown`]): at a reload who can move does
//!   ([`super::handover`]), all others end; it is over when nobody is held.
//! * `exit_process`: detach from the zones, give the slot back. A worker that is killed does not
//!   come here: the kernel marks the slot's lock, and whoever looks next cleans up.

use std::collections::VecDeque;
use std::os::fd::AsRawFd;

use icomet_engine::WakeSet;
use nginx_sys::{NGX_PROCESS_SINGLE, NGX_PROCESS_WORKER, ngx_cycle_t, ngx_int_t, ngx_process};
use rustc_hash::FxHashMap;

use super::attached::AttachedHub;
use super::handover::{self, Handover, moving};
use super::input::{self, Inputs};
use super::record::Records;
use super::users::Users;
use super::wheel::Wheel;
use super::{
    Worker, address, doorbell, failing, fanout, generation, hooks, housekeeping, idle, install,
    parking, turn, uninstall,
};
use crate::config::main::MainConf;
use crate::endpoint::api::publish;
use crate::ffi::event::{self, Event};
use crate::ffi::guard::guarded;
use crate::ffi::log::{CycleLog, Level};
use crate::ffi::request::code;
use crate::ffi::{cycle, log, shim};
use crate::state;
use icomet_tables::{Slab, Turns};

/// The main configuration of a cycle.
pub fn main_conf(cycle: *mut ngx_cycle_t) -> Option<&'static MainConf> {
    // SAFETY: nginx passes the cycle that is being started, whose main configuration we created; it
    // outlives the process's work with it.
    unsafe {
        shim::icomet_cycle_main_conf(cycle)
            .cast::<MainConf>()
            .as_ref()
    }
}

/// Makes the tables of workers and doorbells before the first fork.
///
/// # Safety
///
/// Called by nginx with the new cycle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn icomet_init_module(cycle: *mut ngx_cycle_t) -> ngx_int_t {
    guarded("init module", code::ERROR, || {
        // A configuration without hubs costs nothing, and nginx -t needs no workers.
        // SAFETY: a plain flag of nginx.
        let testing = unsafe { nginx_sys::ngx_test_config != 0 };
        if main_conf(cycle).is_none_or(|main| main.hubs().is_empty()) {
            return code::OK;
        }
        say_what_files_leave(cycle);
        if testing {
            return code::OK;
        }
        if let Err(text) = doorbell::create() {
            log::alert(&text);
            return code::ERROR;
        }
        begin_generation(cycle);
        if let Some(main) = main_conf(cycle) {
            // SAFETY: nginx passes the cycle.
            let log = unsafe { CycleLog::of(cycle) };
            if let Err(text) = state::load(main, log) {
                log.write(Level::Emerg, &text);
                return code::ERROR;
            }
        }
        code::OK
    })
}

/// Begins a generation; a process without a master goes on over a reload.
fn begin_generation(cycle: *mut ngx_cycle_t) {
    // SAFETY: nginx has read the cycle's configuration.
    let workers = unsafe { cycle::workers(cycle) };
    if workers > 0
        && let Err(error) = generation::begin()
    {
        log::os_error(
            "no memory for the table of workers, so that the next reload ends all subscriptions",
            &error,
        );
    }
}

/// Tells an operator whose `worker_connections` are more than the limit of open files leaves: whoever
/// comes then finds nobody who accepts.
fn say_what_files_leave(cycle: *mut ngx_cycle_t) {
    // SAFETY: nginx has read the cycle's configuration.
    let (files, log) = unsafe { (cycle::files(cycle), CycleLog::of(cycle)) };
    if files.connections + files.others > files.limit {
        log.write(
            Level::Warn,
            &format!(
                "{} worker_connections are more than the limit of {} open files leaves beside some {} \
                 others: raise worker_rlimit_nofile (or ulimit -n) to {}, or clients find no worker that \
                 can accept them",
                files.connections,
                files.limit,
                files.others,
                files.connections + files.others
            ),
        );
    }
}

/// Makes this process a worker.
///
/// # Safety
///
/// Called by nginx in a new process with its cycle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn icomet_init_process(cycle: *mut ngx_cycle_t) -> ngx_int_t {
    guarded("init process", code::ERROR, || {
        // SAFETY: a plain variable of nginx.
        let process = unsafe { ngx_process } as u32;
        let works = process == NGX_PROCESS_WORKER || process == NGX_PROCESS_SINGLE;
        // Before anybody is served, and before this process has done anything else.
        state::in_use(works, process == NGX_PROCESS_SINGLE);
        if !works {
            return code::OK;
        }
        let Some(main) = main_conf(cycle).filter(|main| !main.hubs().is_empty()) else {
            return code::OK;
        };
        match start(cycle, main) {
            Ok(()) => code::OK,
            Err(text) => {
                log::alert(&text);
                code::ERROR
            }
        }
    })
}

fn start(cycle: *mut ngx_cycle_t, main: &MainConf) -> Result<(), String> {
    let doorbells = doorbell::tables().ok_or("the table of workers was not made")?;
    let registry = doorbells.registry();
    let id = registry.claim().map_err(|e| {
        format!("no slot for this worker: {e}; use fewer worker_processes or fewer reloads at once")
    })?;
    let doorbell = doorbells.open(id.slot)?;
    let fd = doorbell.as_raw_fd();
    let short = || "no memory for this worker's events".to_owned();
    let event = |handler, cancelable| {
        // SAFETY: nginx runs this cycle as long as the process lives.
        unsafe { Event::create(cycle, handler, cancelable) }.ok_or_else(short)
    };
    let mut worker = Worker {
        id,
        registry,
        doorbell,
        hubs: Vec::new(),
        subscribers: Slab::default(),
        wheel: Wheel::new(event::now()),
        callbacks: FxHashMap::default(),
        users: Users::default(),
        inputs: Inputs::default(),
        spent: turn::Spent::default(),
        listening: Turns::default(),
        many: FxHashMap::default(),
        counted: address::Counted::default(),
        records: Records::default(),
        rests: FxHashMap::default(),
        to_park: Vec::new(),
        resume: VecDeque::new(),
        late: Vec::new(),
        overdue: VecDeque::new(),
        turns: 0,
        turn_of: 0,
        handover: Handover::default(),
        publishing: Slab::default(),
        drain: None,
        hooks: None,
        wakes: WakeSet::default(),
        bell: event(doorbell::icomet_on_wakes, true)?,
        fanout: event(fanout::icomet_on_fanout, true)?,
        input: event(input::icomet_on_input, true)?,
        input_timer: event(input::icomet_on_input_timer, true)?,
        turn: event(turn::icomet_on_turn, true)?,
        publish: event(publish::icomet_on_publishing, true)?,
        park: event(parking::icomet_on_park, true)?,
        moving: event(moving::icomet_on_moving, true)?,
        tick: event(idle::icomet_on_tick, false)?,
        housekeeping: event(housekeeping::icomet_on_housekeeping, true)?,
    };
    // SAFETY: the cycle is this process's; the descriptor stays open until the worker is uninstalled, at the
    // exit, after which nothing is waited for.
    let bell = unsafe { shim::icomet_doorbell_open(cycle, fd, Some(doorbell::icomet_on_doorbell)) };
    if bell.is_null() {
        return Err("cannot watch this worker's doorbell: raise worker_connections".to_owned());
    }
    for hub in main.hubs() {
        let zone = hub
            .zone
            .get()
            .ok_or_else(|| format!("hub \"{}\" has no zone", hub.name))?;
        worker.hubs.push(AttachedHub::attach(hub, zone, id));
    }
    // Clients are served also when nobody can be told.
    if let Err(text) = hooks::start(&mut worker) {
        log::alert(&text);
    }
    worker.keep_house();
    // The loop does not run yet, and could sleep before the end of its first turn.
    worker.wake_all();
    worker.housekeeping.set_timer(housekeeping::PERIOD);
    failing::watch(event(failing::icomet_on_last, true)?);
    install(worker);
    handover::join();
    #[cfg(feature = "fault-injection")]
    icomet_engine::fault::obey_signals();
    Ok(())
}

/// Takes this worker off the zones, and gives its slot back.
///
/// # Safety
///
/// Called by nginx when a process exits in order.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn icomet_exit_process(_cycle: *mut ngx_cycle_t) {
    guarded("exit process", (), || {
        let Some(mut worker) = uninstall() else {
            return;
        };
        worker.wake_all();
        worker.handover.log_outcome();
        for attached in &worker.hubs {
            attached
                .zone
                .detach(worker.id, &attached.hub.limits, event::now());
        }
        // Nobody waits for this worker any more.
        hooks::finish(&mut worker);
        worker.registry.release(worker.id);
    });
}
