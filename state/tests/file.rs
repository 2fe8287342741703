//! The file on disk, as several processes see it.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

#[path = "../../engine/tests/common/mod.rs"]
mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use common::{Ended, NOW, World, fork, limits, wait};
use icomet_engine::Stay;
use icomet_state::{AcquireError, Clocks, LoadError, ReadError, StateFile, is_open_in};

const NOT: Duration = Duration::ZERO;
/// Far more than the events that are waited for take.
const LONG: Duration = Duration::from_secs(60);

fn clocks() -> Clocks {
    Clocks::now(NOW)
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// One nginx after the other: what the last one saved is loaded once.
#[test]
fn what_one_saves_the_next_one_loads_and_nobody_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("main.state");
    let first = World::new(1 << 20);
    let file = StateFile::acquire(&path, NOT).unwrap();
    assert!(
        file.load(&first.zone, &limits(), clocks())
            .unwrap()
            .is_none()
    );
    file.mark_used().unwrap();
    first.publish("c", "hello");
    let saved = file.save(&first.zone, clocks()).unwrap();
    assert_eq!((saved.channels, saved.messages), (1, 1));
    assert!(!StateFile::acquire(&path, NOT).unwrap().is_used());
    assert_eq!(fs::metadata(&path).unwrap().len(), saved.bytes);
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(names(folder.path()), ["main.state"]);

    // One that fails before it serves leaves the file as it is.
    for _ in 0..2 {
        let second = World::new(1 << 20);
        let file = StateFile::acquire(&path, NOT).unwrap();
        let loaded = file.load(&second.zone, &limits(), clocks()).unwrap();
        assert_eq!(loaded.unwrap().restored.messages, 1);
        drop(file);
    }
    // One that serves marks it, by whatever process; then it is killed.
    let third = World::new(1 << 20);
    let file = StateFile::acquire(&path, NOT).unwrap();
    file.load(&third.zone, &limits(), clocks()).unwrap();
    assert_eq!(wait(fork(|| file.mark_used().unwrap())), Ended::Exit(0));
    assert!(file.is_used());
    drop(file);
    let fourth = World::new(1 << 20);
    let file = StateFile::acquire(&path, NOT).unwrap();
    assert!(matches!(
        file.load(&fourth.zone, &limits(), clocks()),
        Err(LoadError::Read(ReadError::Used))
    ));
    assert_eq!(fourth.zone.stats().channels, 0);
    assert_ne!(fourth.zone.epoch(), 0);
}

#[test]
fn who_comes_early_waits_for_who_is_about_to_save() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("main.state");
    let old = World::new(1 << 20);
    let held = StateFile::acquire(&path, NOT).unwrap();
    assert!(matches!(
        StateFile::acquire(&path, NOT),
        Err(AcquireError::Held)
    ));
    let (told, hear) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            told.send(()).unwrap();
            let new = World::new(1 << 20);
            let file = StateFile::acquire(&path, LONG).unwrap();
            let loaded = file.load(&new.zone, &limits(), clocks()).unwrap();
            let texts = new.subscribe(new.me, "c", 1, Stay::Never).unwrap().1;
            (loaded.unwrap().restored.messages, texts)
        });
        hear.recv().unwrap();
        old.publish("c", "last words");
        held.save(&old.zone, clocks()).unwrap();
        let (messages, texts) = waiting.join().unwrap();
        assert_eq!(messages, 1);
        assert_eq!(texts, ["last words"]);
    });
}

#[test]
fn the_lock_ends_with_the_last_process_that_keeps_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("main.state");
    let child = fork(|| {
        let _held = StateFile::acquire(&path, NOT).unwrap();
        // SAFETY: waits for the signal below.
        unsafe { libc::raise(libc::SIGKILL) };
    });
    assert_eq!(wait(child), Ended::Killed);
    StateFile::acquire(&path, NOT).unwrap();
}

#[test]
fn damaged_files_are_kept_and_none_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("main.state");
    for round in 0..3 {
        fs::write(&path, format!("garbage {round}")).unwrap();
        let world = World::new(1 << 20);
        let mut file = StateFile::acquire(&path, NOT).unwrap();
        assert!(matches!(
            file.load(&world.zone, &limits(), clocks()),
            Err(LoadError::Read(ReadError::Foreign))
        ));
        let aside = file.set_aside().unwrap();
        assert_eq!(
            fs::read_to_string(aside).unwrap(),
            format!("garbage {round}")
        );
        // The new one is held, and says that an nginx runs.
        assert!(matches!(
            StateFile::acquire(&path, NOT),
            Err(AcquireError::Held)
        ));
        world.publish("c", "x");
        file.save(&world.zone, clocks()).unwrap();
    }
    assert_eq!(
        names(folder.path()),
        [
            "main.state",
            "main.state.damaged",
            "main.state.damaged.1",
            "main.state.damaged.2"
        ]
    );
    let first = fs::read_to_string(folder.path().join("main.state.damaged")).unwrap();
    assert_eq!(first, "garbage 0");
}

#[test]
fn a_save_that_fails_leaves_the_old_file_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("main.state");
    let world = World::new(1 << 20);
    world.publish("c", "x");
    let file = StateFile::acquire(&path, NOT).unwrap();
    // A folder in the way of the new file: it cannot be made, and not be removed.
    fs::create_dir(folder.path().join("main.state.tmp")).unwrap();
    let before = fs::read(&path).unwrap();
    file.save(&world.zone, clocks()).unwrap_err();
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(names(folder.path()), ["main.state", "main.state.tmp"]);
}

#[test]
fn a_disk_that_is_full_amid_a_save_leaves_the_old_file_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("main.state");
    let world = World::new(4 << 20);
    for n in 0..200 {
        world.publish(&format!("c{n}"), &"x".repeat(2000));
    }
    let file = StateFile::acquire(&path, NOT).unwrap();
    let before = fs::read(&path).unwrap();
    let child = fork(|| {
        let limit = libc::rlimit {
            rlim_cur: 100_000,
            rlim_max: 100_000,
        };
        // SAFETY: plain system calls in a process of its own: files end at that size, with an error.
        unsafe {
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit);
        }
        let error = file.save(&world.zone, clocks()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EFBIG));
    });
    assert_eq!(wait(child), Ended::Exit(0));
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(names(folder.path()), ["main.state"]);
}

#[test]
fn what_is_no_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("link");
    symlink(folder.path().join("elsewhere"), &path).unwrap();
    assert!(matches!(
        StateFile::acquire(&path, NOT),
        Err(AcquireError::Io(_))
    ));
    assert!(matches!(
        StateFile::acquire(folder.path(), NOT),
        Err(AcquireError::Io(_))
    ));
    assert_eq!(names(folder.path()), ["link"]);
}

/// A new binary asks whether the master that started it has the file.
#[test]
fn who_holds_it_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("main.state");
    let me = std::process::id();
    is_open_in(&path, me).unwrap_err();
    let file = StateFile::acquire(&path, NOT).unwrap();
    assert!(is_open_in(&path, me).unwrap());
    assert!(!is_open_in(&path, std::os::unix::process::parent_id()).unwrap_or(false));
    // A new binary is a child.
    let child = fork(|| {
        assert!(is_open_in(&path, me).unwrap());
        fs::rename(&path, folder.path().join("aside")).unwrap();
        fs::write(&path, "another").unwrap();
        assert!(!is_open_in(&path, me).unwrap());
    });
    assert_eq!(wait(child), Ended::Exit(0));
    drop(file);
    assert!(!is_open_in(&folder.path().join("aside"), me).unwrap());
    // Nobody is that process.
    is_open_in(Path::new("/"), u32::MAX).unwrap_err();
}
