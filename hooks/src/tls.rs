//! Whom a back end's certificate must be from.

use core::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::config::read_some;

/// The largest file of certificates in bytes; what a system trusts has some 250 KB.
const LARGEST: usize = 4 << 20;

/// Certificates of authorities, of a PEM file.
#[derive(Clone)]
pub struct Authorities(Arc<RootCertStore>);

/// Why a file holds no authorities.
#[derive(Debug)]
pub enum AuthoritiesError {
    /// It cannot be read.
    Io(io::Error),
    /// Something in it is no PEM, or no certificate.
    Malformed(String),
    /// It has more than 4 MB.
    Large,
    /// It holds no certificate.
    Empty,
}

impl fmt::Display for AuthoritiesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AuthoritiesError::Io(error) => write!(f, "cannot be read: {error}"),
            AuthoritiesError::Malformed(what) => write!(f, "holds a broken certificate: {what}"),
            AuthoritiesError::Large => write!(f, "has more than {} MB", LARGEST >> 20),
            AuthoritiesError::Empty => f.write_str("holds no certificate in PEM"),
        }
    }
}

impl std::error::Error for AuthoritiesError {}

impl Authorities {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Authorities, AuthoritiesError> {
        let bytes = read_some(path, LARGEST + 1).map_err(AuthoritiesError::Io)?;
        if bytes.len() > LARGEST {
            return Err(AuthoritiesError::Large);
        }
        let malformed = |error: &dyn fmt::Display| AuthoritiesError::Malformed(error.to_string());
        let mut store = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&bytes) {
            let certificate = certificate.map_err(|error| malformed(&error))?;
            store.add(certificate).map_err(|error| malformed(&error))?;
        }
        if store.is_empty() {
            return Err(AuthoritiesError::Empty);
        }
        Ok(Authorities(Arc::new(store)))
    }

    /// Those that the system trusts. `Err` says why there are none.
    pub(crate) fn of_system() -> Result<Authorities, String> {
        let loaded = rustls_native_certs::load_native_certs();
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(loaded.certs);
        match (store.is_empty(), loaded.errors.first()) {
            (false, _) => Ok(Authorities(Arc::new(store))),
            (true, Some(error)) => Err(format!("no trusted certificates: {error}")),
            (true, None) => Err(
                "this system has no trusted certificates: install ca-certificates, or name them \
                 with ca=FILE"
                    .to_owned(),
            ),
        }
    }

    /// How to connect to who has a certificate of theirs.
    pub(crate) fn client(self) -> Result<Arc<ClientConfig>, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(self.0)
            .with_no_client_auth();
        Ok(Arc::new(config))
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authorities({})", self.0.len())
    }
}
