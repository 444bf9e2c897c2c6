//! A backend that could not do what was asked of it.

use std::{error::Error as StdError, fmt};

use aury_events_backends::BackendError;

/// A backend could not do what was asked of it.
#[derive(Debug)]
pub struct BackendFailure {
    operation: String,
    bus: String,
    source: BackendError,
}

impl BackendFailure {
    pub(crate) fn new(operation: impl Into<String>, bus: &str, source: BackendError) -> Self {
        Self { operation: operation.into(), bus: bus.to_owned(), source }
    }

    /// What the backend reported.
    pub fn error(&self) -> &BackendError {
        &self.source
    }
}

impl fmt::Display for BackendFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, bus, source } = self;
        write!(f, "could not {operation} on the bus `{bus}`: {source}")
    }
}

impl StdError for BackendFailure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        // The error itself is in the text above.
        self.source.source()
    }
}
