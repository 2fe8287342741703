//! The parameter `state_file PATH` of a hub: where its channels are kept while nginx is away.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nginx_sys::{NGX_PROCESS_SIGNALLER, ngx_process};

use super::hub::Hub;
use super::main::MainConf;
use crate::ffi::conf::Conf;

/// The file's path, from the root. `Err` says what is wrong with it.
pub fn resolve(cf: Conf, value: &[u8]) -> Result<PathBuf, String> {
    let full = cf
        .full_name(value)
        .ok_or("no memory for the path of state_file")?;
    let path = Path::new(OsStr::from_bytes(&full));
    // `nginx -s` only sends a signal: what stands in the way of a start must not keep it from that.
    // SAFETY: a plain variable of nginx.
    if unsafe { ngx_process } as u32 == NGX_PROCESS_SIGNALLER {
        return Ok(path.to_owned());
    }
    let wrong = |what: &str| format!("state_file \"{}\" {what}", path.display());
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(wrong("names no file"));
    };
    if value.ends_with(b"/") {
        return Err(wrong("names a directory: give a file in it a name"));
    }
    let folder = fs::canonicalize(folder).map_err(|error| {
        wrong(&format!(
            "cannot be kept in \"{}\": {error}; create the directory first",
            folder.display()
        ))
    })?;
    may_write(&folder).map_err(|error| {
        wrong(&format!(
            "cannot be kept in \"{}\": {error}; the user that starts nginx must be able to \
             create files there",
            folder.display()
        ))
    })?;
    // With its folder's real name, so that two hubs cannot mean one file by two names.
    let path = folder.join(name);
    match fs::symlink_metadata(&path) {
        Ok(found) if !found.is_file() => Err(wrong(
            "is there and is no regular file: choose another name",
        )),
        _ => Ok(path),
    }
}

/// Refuses a file that another hub has.
pub fn check(main: &MainConf, hub: &Hub) -> Result<(), String> {
    let Some(path) = &hub.state_file else {
        return Ok(());
    };
    let others = main.hubs();
    let Some(other) = others
        .iter()
        .find(|other| other.state_file.as_ref() == Some(path))
    else {
        return Ok(());
    };
    Err(format!(
        "state_file \"{}\" of hub \"{}\" is that of hub \"{}\" in {} already: each hub needs a file \
         of its own",
        path.display(),
        hub.name,
        other.name,
        other.place
    ))
}

/// Whether this process may make files in a folder.
fn may_write(folder: &Path) -> io::Result<()> {
    let path = std::ffi::CString::new(folder.as_os_str().as_bytes())?;
    // SAFETY: the path ends with a NUL and is only read.
    if unsafe { libc::access(path.as_ptr(), libc::W_OK | libc::X_OK) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
