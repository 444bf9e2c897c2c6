//! Why a delivery became a dead letter.

use std::{error::Error, fmt, time::Duration};

use crate::{
    envelope::DecodeError,
    error::{OneLine, WithCauses},
};

/// Why a delivery became a dead letter.
#[derive(Debug)]
#[non_exhaustive]
pub enum DeadLetterReason {
    /// The handler returned an error.
    Failed(Box<dyn Error + Send + Sync>),
    /// The handler panicked, with this message.
    Panicked(String),
    /// The handler did not end within this time.
    TimedOut(Duration),
    /// The payload is not the event that the subscriber takes.
    Undecodable(DecodeError),
    /// So many processes died after its handler had begun, without settling it.
    ///
    /// The backend decides this, before the handler would run again. A lost connection, a restart of the broker, a
    /// shutdown, and a delivery that was only prefetched are no interruptions.
    Interrupted {
        /// How many processes died.
        times: u32,
    },
}

impl DeadLetterReason {
    /// The kind of the reason in one word, for labels: `failed`, `panicked`, `timed_out`, `undecodable` or
    /// `interrupted`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Failed(_) => "failed",
            Self::Panicked(_) => "panicked",
            Self::TimedOut(_) => "timed_out",
            Self::Undecodable(_) => "undecodable",
            Self::Interrupted { .. } => "interrupted",
        }
    }
}

impl fmt::Display for DeadLetterReason {
    /// The reason with its chain of causes, on one line: line breaks are escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => write!(f, "the handler failed: {}", WithCauses(&**error)),
            Self::Panicked(message) => write!(f, "the handler panicked: {}", OneLine(message)),
            Self::TimedOut(limit) => write!(f, "the handler did not end within {limit:?}"),
            Self::Undecodable(error) => {
                write!(f, "the event could not be decoded: {}", WithCauses(error))
            }
            Self::Interrupted { times: 1 } => {
                f.write_str("the process died while its handler was running")
            }
            Self::Interrupted { times } => {
                write!(f, "{times} processes died while its handler was running")
            }
        }
    }
}

/// The longest reason that a broker is given to keep, in bytes.
#[cfg(any(feature = "redis", feature = "rabbitmq"))]
const MAX_REASON: usize = 4 * 1024;

/// The first part of a reason, cut between two characters.
#[cfg(any(feature = "redis", feature = "rabbitmq"))]
pub(crate) fn shortened_reason(reason: &str) -> &str {
    let mut end = reason.len().min(MAX_REASON);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    &reason[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_handler_says_cannot_forge_a_line_of_a_log() {
        let said = "no\r\nERROR forged\u{2028}\u{1b}[31m \"quoted\" ü";
        let shown = "no\\r\\nERROR forged\\u{2028}\\u{1b}[31m \"quoted\" ü";
        let failed = DeadLetterReason::Failed(said.into());
        assert_eq!(failed.to_string(), format!("the handler failed: {shown}"));
        let panicked = DeadLetterReason::Panicked(said.to_owned());
        assert_eq!(panicked.to_string(), format!("the handler panicked: {shown}"));
    }
}
