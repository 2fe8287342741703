//! What a hub's channels do while nginx is away: they wait in its state file.
//!
//! Life cycle, of which `icomet-state` says more:
//!
//! * `init_module` of the master, which nginx calls when a new configuration was read, its zones are
//!   made and its sockets listen ([`load`]): the file is locked, and a zone that is new is filled from
//!   it. A reload whose zones go on reads nothing; `nginx -t` does not come here.
//! * `init_process` ([`in_use`]): a worker marks the files that it inherited, before it serves, so that
//!   no later start reads them; all processes but the master let go of them.
//! * `exit_master`, when no worker lives any more: the zones are written.
//!
//! A binary upgrade (USR2) starts a second master whose zones are its own, so the channels of the first
//! would end with it. With a state file the second one refuses to start, and the first goes on.

use std::cell::{Cell, RefCell};
use std::os::unix::process::parent_id;
use std::path::Path;
use std::time::{Duration, Instant};

use icomet_state::{AcquireError, Clocks, LoadError, Loaded, ReadError, StateFile, is_open_in};
use nginx_sys::{ngx_cycle_t, ngx_new_binary};

use crate::config::hub::Hub;
use crate::config::main::MainConf;
use crate::ffi::event;
use crate::ffi::guard::guarded;
use crate::ffi::log::{self, CycleLog, Level};
use crate::worker::life::main_conf;
use crate::worker::with;

/// How long a start waits for an nginx that is about to exit and has its file still.
const PATIENCE: Duration = Duration::from_secs(30);

thread_local! {
    /// The files that this process holds.
    static HELD: RefCell<Vec<StateFile>> = const { RefCell::new(Vec::new()) };

    /// A configuration has begun in this process.
    static LOADED: Cell<bool> = const { Cell::new(false) };
}

/// Takes the files of a configuration that begins, lets others go, and fills the zones that are new.
/// `Err` says why nginx must not start.
pub fn load(main: &MainConf, log: CycleLog) -> Result<(), String> {
    // A reload must not keep a master that serves from its signals.
    let is_start = !LOADED.replace(true);
    let mut before = HELD.take();
    let mut held = Vec::new();
    for hub in main.hubs() {
        let Some(path) = &hub.state_file else {
            continue;
        };
        let is_new = hub.zone_is_new.get();
        if let Some(at) = before.iter().position(|file| file.path() == path) {
            // This nginx marked it as used long ago; a zone that is new on a reload starts empty.
            held.push(before.swap_remove(at));
            continue;
        }
        let patience = if is_start { PATIENCE } else { Duration::ZERO };
        if let Some(mut file) = acquire(&hub, path, patience, log)? {
            if is_new {
                if !fill(&hub, &mut file, log) {
                    continue;
                }
            } else if !file.is_used() {
                log.write(
                    Level::Warn,
                    &format!(
                        "hub \"{}\": state file \"{}\" is not read, because the hub has served \
                         already; it is replaced at the exit",
                        hub.name,
                        path.display()
                    ),
                );
            }
            // Without worker processes a reload begins no process that would.
            if with(|_| ()).is_some() {
                mark(&file);
            }
            held.push(file);
        }
    }
    HELD.set(held);
    Ok(())
}

/// This process begins to work on what the files held (or does not, and has no use for them).
pub fn in_use(works: bool, keep: bool) {
    let held = HELD.take();
    if works {
        held.iter().for_each(mark);
    }
    if keep {
        HELD.set(held);
    }
}

fn mark(file: &StateFile) {
    if let Err(error) = file.mark_used() {
        log::alert(&format!(
            "state file \"{}\" cannot be marked as used: {error}; should nginx be killed, remove it \
             before the next start, which would take it for new",
            file.path().display()
        ));
    }
}

/// Whether this is the new binary of the nginx that holds the file. nginx passes its sockets on in the variable
/// NGINX, but others set that too, for the sockets of a supervisor or for a purpose of their own. The master that
/// upgrades is the new one's parent, and has the file.
fn is_upgrade(path: &Path) -> bool {
    // A parent that cannot be seen into is taken at its word: waiting in vain would lose the channels.
    let has_file = || is_open_in(path, parent_id()).unwrap_or(true);
    std::env::var_os("NGINX").is_some() && has_file()
}

/// Takes a hub's file; without it the hub is to begin empty. `Err`: nginx must not start.
fn acquire(
    hub: &Hub,
    path: &Path,
    patience: Duration,
    log: CycleLog,
) -> Result<Option<StateFile>, String> {
    let (name, shown) = (&hub.name, path.display());
    let mut taken = StateFile::acquire(path, Duration::ZERO);
    if matches!(taken, Err(AcquireError::Held)) && !patience.is_zero() {
        if is_upgrade(path) {
            return Err(format!(
                "a binary upgrade would lose the channels of hub \"{name}\": the running nginx \
                 holds its state file \"{shown}\", and goes on; restart nginx instead, which loses \
                 nothing"
            ));
        }
        log.write(
            Level::Notice,
            &format!(
                "hub \"{name}\": another nginx holds state file \"{shown}\"; waiting until it has \
                 exited"
            ),
        );
        taken = StateFile::acquire(path, patience);
    }
    match taken {
        Ok(file) => Ok(Some(file)),
        Err(error) => {
            log.write(
                Level::Error,
                &format!(
                    "state file \"{shown}\" of hub \"{name}\" cannot be had: {error}; it is not \
                     read, and only written at the exit if it can be had then"
                ),
            );
            Ok(None)
        }
    }
}

/// Fills a hub's zone; whether the file is ours from now on.
fn fill(hub: &Hub, file: &mut StateFile, log: CycleLog) -> bool {
    let Some(zone) = hub.zone.get() else {
        return false;
    };
    let begun = Instant::now();
    let (name, path) = (&hub.name, file.path().to_owned());
    let path = path.display();
    match file.load(&zone, &hub.limits, Clocks::now(event::now())) {
        Ok(None) => {}
        Ok(Some(loaded)) => {
            let restored = &loaded.restored;
            log.write(
                Level::Notice,
                &format!(
                    "hub \"{name}\": {} channels and {} messages were read from \"{path}\", written \
                     {} s ago, in {} ms",
                    restored.channels,
                    restored.messages,
                    loaded.age / 1000,
                    begun.elapsed().as_millis()
                ),
            );
            if !restored.is_whole() {
                log.write(Level::Warn, &left_out(hub, &path.to_string(), &loaded));
            }
        }
        Err(LoadError::Read(ReadError::Used)) => log.write(
            Level::Warn,
            &format!(
                "hub \"{name}\" starts empty: state file \"{path}\" was read before and not written \
                 since; the nginx that had it was killed, or gave it up on a reload"
            ),
        ),
        Err(error) => {
            let aside = file.set_aside();
            let done = match &aside {
                Ok(aside) => format!("it is kept as \"{}\"", aside.display()),
                Err(error) => format!(
                    "it stays as it is, because it could not be kept aside ({error}), and nothing is \
                     written at the exit"
                ),
            };
            log.write(
                Level::Error,
                &format!("hub \"{name}\" starts without state file \"{path}\": {error}; {done}"),
            );
            return aside.is_ok();
        }
    }
    true
}

/// What the operator is told of a zone that did not take all.
fn left_out(hub: &Hub, path: &str, loaded: &Loaded) -> String {
    let restored = &loaded.restored;
    let reasons = [
        (restored.channels_over_limit, "channels beyond max_channels"),
        (
            restored.channels_without_memory,
            "channels that the zone has no room for",
        ),
        (
            restored.messages_of_no_channel,
            "messages of these channels",
        ),
        (
            restored.messages_over_limit,
            "messages beyond channel_buffer_size",
        ),
        (
            restored.messages_without_memory,
            "messages that the zone has no room for",
        ),
    ];
    let reasons: Vec<_> = reasons
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    format!(
        "hub \"{}\": not everything in \"{path}\" was taken, and the rest is lost: {}; each channel \
         has its newest messages, and who waited for others is told",
        hub.name,
        reasons.join(", ")
    )
}

/// Writes the zones. No worker lives any more, so all that was acknowledged is in them.
///
/// # Safety
///
/// Called by nginx when the master process, or the single one, exits in order.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn icomet_exit_master(cycle: *mut ngx_cycle_t) {
    guarded("exit master", (), || {
        let Some(main) = main_conf(cycle) else {
            return;
        };
        // SAFETY: nginx passes the cycle.
        let log = unsafe { CycleLog::of(cycle) };
        let mut held = HELD.take();
        for hub in main.hubs() {
            if let Some(path) = &hub.state_file {
                let at = held.iter().position(|file| file.path() == path);
                keep(&hub, path, at.map(|at| held.swap_remove(at)), log);
            }
        }
    });
}

/// Takes a file that could not be had at the start, if there is nothing of somebody else's in it.
fn acquire_late(path: &Path) -> Result<StateFile, String> {
    let file = StateFile::acquire(path, Duration::ZERO).map_err(|error| error.to_string())?;
    if file.is_used() {
        Ok(file)
    } else {
        Err("the file that is there is not of this nginx".to_owned())
    }
}

fn keep(hub: &Hub, path: &Path, held: Option<StateFile>, log: CycleLog) {
    let Some(zone) = hub.zone.get() else { return };
    let (name, shown) = (&hub.name, path.display());
    // SAFETY: a plain variable that nginx sets and clears in the master.
    if unsafe { ngx_new_binary } != 0 {
        let stats = zone.stats();
        log.write(
            Level::Warn,
            &format!(
                "hub \"{name}\": state file \"{shown}\" is not written, because the new binary serves \
                 already; {} channels and {} messages end here",
                stats.channels, stats.messages
            ),
        );
        return;
    }
    let begun = Instant::now();
    let file = held.map_or_else(|| acquire_late(path), Ok);
    let saved = file.and_then(|file| {
        let saved = file.save(&zone, Clocks::now(event::now()));
        saved.map_err(|error| error.to_string())
    });
    match saved {
        Ok(saved) => log.write(
            Level::Notice,
            &format!(
                "hub \"{name}\": {} channels and {} messages were written to \"{shown}\", {} bytes \
                 in {} ms",
                saved.channels,
                saved.messages,
                saved.bytes,
                begun.elapsed().as_millis()
            ),
        ),
        Err(error) => log.write(
            Level::Error,
            &format!(
                "hub \"{name}\": state file \"{shown}\" was not written: {error}; its channels and \
                 messages are lost"
            ),
        ),
    }
}
