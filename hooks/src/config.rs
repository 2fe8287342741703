//! One hook, as its configuration has it.

use core::fmt;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use crate::event::Kinds;
use crate::target::Target;
use crate::tls::Authorities;

/// The largest secret in bytes.
const LONGEST: usize = 4096;

/// The first bytes of a file, of which a device has no end.
pub(crate) fn read_some(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?
        .take(most as u64)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What a back end checks signatures with; it is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

/// Why a file holds no secret.
#[derive(Debug)]
pub enum SecretError {
    /// It cannot be read.
    Io(io::Error),
    /// It has fewer than 16 bytes, or more than 4096, without the end of its line.
    Length(usize),
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretError::Io(error) => write!(f, "cannot be read: {error}"),
            SecretError::Length(len) if *len > LONGEST => {
                write!(f, "holds more than {LONGEST} bytes: use 16 to {LONGEST}")
            }
            SecretError::Length(len) => write!(
                f,
                "holds {len} bytes: use 16 to {LONGEST}, as \"openssl rand -hex 32\" makes them"
            ),
        }
    }
}

impl std::error::Error for SecretError {}

impl Secret {
    /// Reads a file; the end of the last line is no part of the secret.
    pub fn read(path: &Path) -> Result<Secret, SecretError> {
        // One more than it may have, with an end of line of two bytes.
        let mut bytes = read_some(path, LONGEST + 3).map_err(SecretError::Io)?;
        while bytes
            .last()
            .is_some_and(|byte| matches!(byte, b'\n' | b'\r'))
        {
            bytes.pop();
        }
        if !(16..=LONGEST).contains(&bytes.len()) {
            return Err(SecretError::Length(bytes.len()));
        }
        Ok(Secret(bytes))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// A hook.
#[derive(Clone, Debug)]
pub struct Hook {
    /// Where it posts to.
    pub target: Target,
    /// What it tells.
    pub kinds: Kinds,
    /// What it signs with; without it batches are not signed.
    pub secret: Option<Secret>,
    /// Who may have signed the back end's certificate; without it those that the system trusts.
    pub authorities: Option<Authorities>,
    /// How long one POST may take, from connecting to the end of the answer.
    pub timeout: Duration,
    /// The most events in one POST.
    pub batch: usize,
    /// The most events that wait, beside those under way.
    pub queue: usize,
}
