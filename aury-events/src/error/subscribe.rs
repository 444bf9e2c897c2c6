//! A subscription that was not made.

use std::{error::Error as StdError, fmt};

use aury_events_backends::envelope::{InvalidPattern, Pattern};

use super::BackendFailure;

/// Why a subscription was not made.
#[derive(Debug)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The text is not a pattern over event names.
    InvalidPattern {
        /// The text.
        pattern: String,
        /// What is wrong with it.
        source: InvalidPattern,
    },
    /// The backend has no subscriptions to patterns.
    NoPatterns {
        /// The bus.
        bus: String,
        /// The pattern.
        pattern: String,
    },
    /// The backend could not do it.
    Backend(BackendFailure),
}

impl SubscribeError {
    pub(crate) fn invalid_pattern(pattern: &str, source: InvalidPattern) -> Self {
        Self::InvalidPattern { pattern: pattern.to_owned(), source }
    }

    pub(crate) fn no_patterns(bus: &str, pattern: Pattern) -> Self {
        Self::NoPatterns { bus: bus.to_owned(), pattern: pattern.to_string() }
    }
}

impl From<BackendFailure> for SubscribeError {
    fn from(failure: BackendFailure) -> Self {
        Self::Backend(failure)
    }
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidPattern { pattern, .. } => {
                write!(f, "`{pattern}` is not a pattern over event names")
            }
            Self::NoPatterns { bus, pattern } => write!(
                f,
                "cannot subscribe to `{pattern}`: the backend of the bus `{bus}` has no patterns"
            ),
            Self::Backend(failure) => fmt::Display::fmt(failure, f),
        }
    }
}

impl StdError for SubscribeError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::InvalidPattern { source, .. } => Some(source),
            Self::NoPatterns { .. } => None,
            Self::Backend(failure) => failure.source(),
        }
    }
}
