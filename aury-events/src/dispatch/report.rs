//! What is logged of failures.

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
                "{reason}; {verdict}"
            )
        };
    }
    match verdict {
        Verdict::Retry { .. } => log!(info),
        Verdict::Discard | Verdict::Taken => log!(warn),
        Verdict::DeadLetter => log!(error),
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
