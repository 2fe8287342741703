//! The file on disk: who holds it, and how it is replaced.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Seek, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fmt, fs, thread};

use icomet_engine::{ChannelLimits, Zone};

use crate::format::{HEADER, STATUS_AT, USED, header};
use crate::load::{LoadError, Loaded, load};
use crate::save::{Clocks, Saved, save};

/// How often a lock that somebody holds is tried.
const TRY: Duration = Duration::from_millis(20);

/// Bytes read at a time.
const BUFFER: usize = 256 << 10;

/// Files that are kept aside, at most.
const ASIDE: usize = 100;

/// Only its owner may read it: it holds tokens and messages.
const MODE: u32 = 0o600;

/// A state file that this process holds. The lock (flock(2)) goes over fork to children, and lasts
/// until all have closed the file; a child drops its copy.
#[derive(Debug)]
pub struct StateFile {
    path: PathBuf,
    file: File,
    fresh: bool,
}

/// Why a file is not to be had.
#[derive(Debug)]
pub enum AcquireError {
    /// Another process holds it.
    Held,
    /// It is no regular file.
    NotAFile,
    /// The operating system gave an error.
    Io(io::Error),
}

impl fmt::Display for AcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AcquireError::Held => f.write_str("another nginx holds it"),
            AcquireError::NotAFile => f.write_str("it is no regular file"),
            AcquireError::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for AcquireError {}

impl From<io::Error> for AcquireError {
    fn from(error: io::Error) -> Self {
        AcquireError::Io(error)
    }
}

/// Whether a process has the file open, as who holds it has. An error when that cannot be seen: the process is
/// gone, or another user's.
pub fn is_open_in(path: &Path, process: u32) -> io::Result<bool> {
    let here = fs::symlink_metadata(path)?;
    for descriptor in fs::read_dir(format!("/proc/{process}/fd"))? {
        // One that was closed meanwhile is none.
        let Ok(file) = fs::metadata(descriptor?.path()) else {
            continue;
        };
        if (file.dev(), file.ino()) == (here.dev(), here.ino()) {
            return Ok(true);
        }
    }
    Ok(false)
}

impl StateFile {
    /// Opens a file and locks it; one that is not there is made, as one that was read. As long as
    /// somebody else holds it this waits, for `patience` at most.
    pub fn acquire(path: &Path, patience: Duration) -> Result<StateFile, AcquireError> {
        let end = Instant::now() + patience;
        loop {
            let (file, fresh) = open(path)?;
            if !file.metadata()?.is_file() {
                return Err(AcquireError::NotAFile);
            }
            if !lock(&file)? {
                if Instant::now() >= end {
                    return Err(AcquireError::Held);
                }
                thread::sleep(TRY);
                continue;
            }
            // Whoever held it may have put another in its place.
            let here = fs::symlink_metadata(path);
            let held = file.metadata()?;
            if here.is_ok_and(|here| here.ino() == held.ino() && here.dev() == held.dev()) {
                let path = path.to_owned();
                let made = StateFile { path, file, fresh };
                if fresh {
                    made.file.write_all_at(&header(USED), 0)?;
                    made.file.sync_all()?;
                }
                return Ok(made);
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Fills a zone with it; `None` when there was no file. It stays as it is until
    /// [`StateFile::mark_used`].
    pub fn load(
        &self,
        zone: &Zone,
        limits: &impl ChannelLimits,
        clocks: Clocks,
    ) -> Result<Option<Loaded>, LoadError> {
        if self.fresh {
            return Ok(None);
        }
        let rewound = (&self.file).rewind();
        rewound.map_err(crate::read::ReadError::Io)?;
        let input = BufReader::with_capacity(BUFFER, &self.file);
        load(input, zone, limits, clocks).map(Some)
    }

    /// Notes that the zone that was filled with it is in use, so that nobody reads it any more. Any
    /// process that inherited it can do so, whatever its rights.
    pub fn mark_used(&self) -> io::Result<()> {
        let mut status = [0; USED.len()];
        self.file.read_exact_at(&mut status, STATUS_AT)?;
        if status == USED {
            return Ok(());
        }
        self.file.write_all_at(&USED, STATUS_AT)?;
        self.file.sync_data()
    }

    /// Whether nothing is lost that somebody has yet to read when another file takes its place.
    pub fn is_used(&self) -> bool {
        let mut found = [0; HEADER];
        let read = self.file.read_exact_at(&mut found, 0);
        read.is_ok() && found == header(USED)
    }

    /// Gives the file another name beside its own, of which there is none, and takes a new one for
    /// it; where the old one is now.
    pub fn set_aside(&mut self) -> Result<PathBuf, AcquireError> {
        let aside = (0..ASIDE)
            .map(|n| match n {
                0 => beside(&self.path, ".damaged"),
                n => beside(&self.path, &format!(".damaged.{n}")),
            })
            .find(|aside| fs::symlink_metadata(aside).is_err())
            .ok_or_else(|| {
                io::Error::other(format!(
                    "{ASIDE} damaged files are kept already: remove some"
                ))
            })?;
        fs::rename(&self.path, &aside)?;
        *self = StateFile::acquire(&self.path, Duration::ZERO)?;
        Ok(aside)
    }

    /// Writes a zone to a new file and puts that in this one's place. On an error the old one stays.
    pub fn save(self, zone: &Zone, clocks: Clocks) -> io::Result<Saved> {
        // The lock keeps others from doing the same, so one name does; what stands there is the rest of
        // one that was killed.
        let new = beside(&self.path, ".tmp");
        let _ = fs::remove_file(&new);
        let written = write(&new, zone, clocks).and_then(|saved| {
            fs::rename(&new, &self.path)?;
            sync_directory(&self.path)?;
            Ok(saved)
        });
        if written.is_err() {
            let _ = fs::remove_file(&new);
        }
        written
    }
}

fn write(new: &Path, zone: &Zone, clocks: Clocks) -> io::Result<Saved> {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(new)?;
    let (mut file, saved) = save(zone, clocks, file)?;
    file.flush()?;
    file.sync_all()?;
    Ok(saved)
}

/// Opens the file, or makes it; whether it was made.
fn open(path: &Path) -> io::Result<(File, bool)> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(MODE);
    options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            match options.create_new(true).open(path) {
                // Somebody was quicker.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => open(path),
                made => Ok((made?, true)),
            }
        }
        opened => Ok((opened?, false)),
    }
}

/// Locks the file unless somebody else holds it; whether it was locked.
fn lock(file: &File) -> io::Result<bool> {
    // SAFETY: a plain system call on a descriptor that the file keeps open.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    match error.kind() {
        io::ErrorKind::WouldBlock => Ok(false),
        io::ErrorKind::Interrupted => lock(file),
        _ => Err(error),
    }
}

/// The path with something behind its last name.
fn beside(path: &Path, more: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(more);
    name.into()
}

/// Has the disk know the names in a file's folder.
fn sync_directory(path: &Path) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
