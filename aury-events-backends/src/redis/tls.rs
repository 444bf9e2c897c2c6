//! Encryption: whom to trust, and who we are.

use std::{
    error::Error,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use redis::{Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, RedisError, TlsCertificates};

use crate::config::BackendConfig;

/// The files of `TLS_CA_FILE`, `TLS_CERT_FILE` and `TLS_KEY_FILE`. They are read once, at start-up.
#[derive(Debug, Clone, Default)]
pub(crate) struct TlsFiles {
    /// Certificates of authorities that are trusted in place of those of the system.
    authority: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

impl TlsFiles {
    pub(crate) fn of(config: &BackendConfig) -> Self {
        Self {
            authority: config.tls_ca_file.clone(),
            certificate: config.tls_cert_file.clone(),
            key: config.tls_key_file.clone(),
        }
    }

    fn is_empty(&self) -> bool {
        self.authority.is_none() && self.certificate.is_none() && self.key.is_none()
    }
}

/// Why the files cannot be used.
#[derive(Debug)]
pub(crate) enum InvalidFiles {
    NotEncrypted,
    OneOfTwo,
    Unreadable(PathBuf, io::Error),
    Refused(RedisError),
}

impl fmt::Display for InvalidFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotEncrypted => f.write_str(
                "certificates are given, but the connection is not encrypted: write `rediss://`, or leave \
                 TLS_CA_FILE, TLS_CERT_FILE and TLS_KEY_FILE out",
            ),
            Self::OneOfTwo => f.write_str(
                "a client's certificate needs both TLS_CERT_FILE and TLS_KEY_FILE, and one of them is missing",
            ),
            Self::Unreadable(path, error) => write!(f, "{} cannot be read: {error}", path.display()),
            Self::Refused(error) => write!(f, "the certificates cannot be used: {error}"),
        }
    }
}

impl Error for InvalidFiles {}

/// Has a connection be encrypted with these certificates, if it is one that is encrypted.
pub(crate) fn with_files(
    info: ConnectionInfo,
    files: &TlsFiles,
) -> Result<ConnectionInfo, InvalidFiles> {
    if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
        // An application that has chosen another provider keeps it.
        let _ = rustls::crypto::ring::default_provider().install_default();
    } else if !files.is_empty() {
        return Err(InvalidFiles::NotEncrypted);
    }
    if files.is_empty() {
        return Ok(info);
    }
    let client_tls = match (&files.certificate, &files.key) {
        (None, None) => None,
        (Some(certificate), Some(key)) => {
            Some(ClientTlsConfig { client_cert: read(certificate)?, client_key: read(key)? })
        }
        _ => return Err(InvalidFiles::OneOfTwo),
    };
    let root_cert = files.authority.as_deref().map(read).transpose()?;
    let certificates = TlsCertificates { client_tls, root_cert };
    let client = Client::build_with_tls(info, certificates).map_err(InvalidFiles::Refused)?;
    Ok(client.get_connection_info().clone())
}

fn read(path: &Path) -> Result<Vec<u8>, InvalidFiles> {
    fs::read(path).map_err(|error| InvalidFiles::Unreadable(path.to_owned(), error))
}
