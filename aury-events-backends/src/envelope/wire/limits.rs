//! How large an event may be, on its way out as on its way in.

use super::WireError;
use crate::{config::BackendConfig, envelope::Metadata};

/// How large an event may be.
///
/// What is too large is refused to its publisher, and not handed to a subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The largest payload, in bytes of JSON text. Default: 8 MiB.
    pub max_payload_bytes: usize,
    /// The largest number of headers. Default: 64.
    pub max_headers: usize,
    /// The largest size of what publishers can write into the metadata, in bytes of UTF-8 text: headers (names and
    /// values), key, source, `tracestate`, and ids that are no UUIDs. Default: 8 KiB.
    pub max_metadata_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self::new(&BackendConfig::default())
    }
}

impl Limits {
    /// The limits of a bus.
    pub fn new(config: &BackendConfig) -> Self {
        Self {
            max_payload_bytes: config.max_payload_bytes,
            max_headers: 64,
            max_metadata_bytes: 8 * 1024,
        }
    }

    /// Whether there can be an event in a message of that size: so that no more than that is ever scanned.
    pub(super) fn check_message(&self, size: usize) -> Result<(), WireError> {
        // The payload in base64, and metadata whose every byte is an escape within an escape, `\\u0000`; as much again
        // for white space.
        let payload = self.max_payload_bytes.saturating_mul(2);
        let limit = payload.saturating_add(self.max_metadata_bytes.saturating_mul(16));
        check("message", size, limit)
    }

    pub(super) fn check_payload(&self, size: usize) -> Result<(), WireError> {
        check("payload", size, self.max_payload_bytes)
    }

    /// Whether there can be metadata in so many bytes of a message: so that no more than that is ever read.
    pub(super) fn check_raw_metadata(&self, size: usize) -> Result<(), WireError> {
        // As above, and what every event has: a time, a trace, its ids.
        let most = self.max_metadata_bytes.saturating_mul(16).saturating_add(4 * 1024);
        if size > most {
            return Err(WireError::TooLarge {
                what: "metadata",
                size,
                limit: self.max_metadata_bytes,
            });
        }
        Ok(())
    }

    /// Gives the size of the metadata.
    pub(super) fn check_metadata(&self, metadata: &Metadata) -> Result<usize, WireError> {
        if metadata.headers().count() > self.max_headers {
            return Err(WireError::TooManyHeaders { limit: self.max_headers });
        }
        let ids = [Some(metadata.id()), Some(metadata.correlation_id()), metadata.causation_id()];
        let ids = ids.iter().flatten().filter_map(|id| id.as_foreign()).map(|text| text.len());
        let headers = metadata.headers().map(|(name, value)| name.len() + value.len());
        let others = [Some(metadata.source()), metadata.key(), metadata.tracestate()];
        let others = others.into_iter().flatten().map(str::len);
        let size = ids.chain(headers).chain(others).sum();
        check("metadata", size, self.max_metadata_bytes).map(|()| size)
    }
}

fn check(what: &'static str, size: usize, limit: usize) -> Result<(), WireError> {
    if size > limit { Err(WireError::TooLarge { what, size, limit }) } else { Ok(()) }
}
