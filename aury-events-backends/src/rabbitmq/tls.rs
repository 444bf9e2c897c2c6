//! Encryption: whom to trust, and who we are.

use std::{fs, path::Path};

use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};

use crate::{config::BackendConfig, error::BackendError};

/// The files of `TLS_CA_FILE`, `TLS_CERT_FILE` and `TLS_KEY_FILE`, read once, at start-up.
///
/// # Errors
///
/// When one cannot be read, when only one of certificate and key is given, and when any is given for a connection that is
/// not encrypted.
pub(super) fn certificates(
    config: &BackendConfig,
    is_encrypted: bool,
) -> Result<OwnedTLSConfig, BackendError> {
    let files = (&config.tls_cert_file, &config.tls_key_file);
    if !is_encrypted && (config.tls_ca_file.is_some() || files != (&None, &None)) {
        return Err(wrong(
            "certificates are given, but the connection is not encrypted: write `amqps://`, or leave TLS_CA_FILE, \
             TLS_CERT_FILE and TLS_KEY_FILE out",
        ));
    }
    let identity = match files {
        (None, None) => None,
        (Some(certificate), Some(key)) => {
            Some(OwnedIdentity::PKCS8 { pem: read(certificate)?, key: read(key)? })
        }
        _ => {
            return Err(wrong(
                "a client's certificate needs both TLS_CERT_FILE and TLS_KEY_FILE, and one of them is missing",
            ));
        }
    };
    let authority = config.tls_ca_file.as_deref().map(read).transpose()?;
    let cert_chain = authority.map(String::from_utf8).transpose();
    let cert_chain = cert_chain.map_err(|_| wrong("TLS_CA_FILE is not in the PEM format"))?;
    Ok(OwnedTLSConfig { identity, cert_chain })
}

fn read(file: impl AsRef<Path>) -> Result<Vec<u8>, BackendError> {
    let file = file.as_ref();
    fs::read(file).map_err(|error| wrong(format!("{} cannot be read: {error}", file.display())))
}

fn wrong(why: impl Into<String>) -> BackendError {
    BackendError::other("encrypt the connection to RabbitMQ", why.into())
}
