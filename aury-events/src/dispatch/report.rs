//! What is logged of failures.

use std::fmt::{self, Write};

use aury_events_backends::{BackendError, DeadLetterReason, Delivery};

use super::retry::Verdict;
use crate::runtime::SubscriptionInfo;

/// Logs a failed attempt, and what follows from it.
pub(super) fn report(
    delivery: &Delivery,
    info: &SubscriptionInfo,
    reason: &DeadLetterReason,
    verdict: &Verdict,
) {
    let metadata = delivery.metadata();
    macro_rules! log {
        ($level:ident) => {
            tracing::$level!(
                subscriber = info.id(),
                event = %metadata.name(),
                event_id = %metadata.id(),
                trace_id = %metadata.trace().trace_id(),
                attempt = delivery.attempt(),
                "{}; {verdict}",
                OneLine(reason)
            )
        };
    }
    match verdict {
        Verdict::Retry { .. } => log!(info),
        Verdict::Discard | Verdict::Taken => log!(warn),
        Verdict::DeadLetter => log!(error),
    }
}

/// A text in one line: what an error says must not look like a line of the log's own. Control characters are escaped.
struct OneLine<T>(T);

impl<T: fmt::Display> fmt::Display for OneLine<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.to_string().chars() {
            if c.is_control() {
                write!(f, "{}", c.escape_default())?;
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
}

/// Logs that a settlement failed.
#[cold]
pub(super) fn warn_unsettled(info: &SubscriptionInfo, error: &BackendError) {
    tracing::warn!(
        subscriber = info.id(),
        error = error as &dyn std::error::Error,
        "the outcome of an event could not be recorded; it may be delivered again"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_error_says_stays_in_one_line() {
        let forged = "no\r\n2026-01-01 ERROR paid\u{1b}[2K größer";
        assert_eq!(OneLine(forged).to_string(), r"no\r\n2026-01-01 ERROR paid\u{1b}[2K größer");
    }
}
