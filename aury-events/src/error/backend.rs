//! A backend that could not do what was asked of it.

use std::{error::Error as StdError, fmt};

use aury_events_backends::BackendError;

/// A backend could not do what was asked of it.
#[derive(Debug)]
pub struct BackendFailure {
    attempt: String,
    bus: String,
    source: BackendError,
}

impl BackendFailure {
    pub(crate) fn new(attempt: impl Into<String>, bus: &str, source: BackendError) -> Self {
        Self { attempt: attempt.into(), bus: bus.to_owned(), source }
    }

    /// What the backend reported.
    pub fn error(&self) -> &BackendError {
        &self.source
    }
}

impl fmt::Display for BackendFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not {} on the bus `{}`", self.attempt, self.bus)
    }
}

impl StdError for BackendFailure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.source)
    }
}
