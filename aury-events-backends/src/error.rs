//! What can go wrong in a backend.

use std::{error::Error, fmt, time::Duration};

use crate::envelope::EncodeError;

/// Why a backend could not do what it was asked for.
#[derive(Debug)]
#[non_exhaustive]
pub enum BackendError {
    /// The bus is shutting down or has been shut down.
    Closed,
    /// The event could not be serialised.
    Encode(EncodeError),
    /// It took longer than the configured time.
    TimedOut {
        /// What was attempted, as in `publish order.created`.
        operation: String,
        /// The limit.
        after: Duration,
    },
    /// The client library or the broker reported an error.
    Other {
        /// What was attempted, as in `declare the exchange aury.events`.
        operation: String,
        /// What it said.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl BackendError {
    /// Whether the bus is shutting down or has been shut down.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed)
    }

    /// Whether the operation took too long; it may have been carried out all the same.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::TimedOut { .. })
    }
}

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the bus has been shut down"),
            Self::Encode(_) => f.write_str("the event could not be encoded"),
            Self::TimedOut { operation, after } => {
                write!(f, "{operation}: no answer within {after:?}")
            }
            Self::Other { operation, .. } => write!(f, "could not {operation}"),
        }
    }
}

impl Error for BackendError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Encode(source) => Some(source),
            Self::Other { source, .. } => Some(&**source),
            Self::Closed | Self::TimedOut { .. } => None,
        }
    }
}

impl From<EncodeError> for BackendError {
    fn from(source: EncodeError) -> Self {
        Self::Encode(source)
    }
}
