//! Whether a failed delivery is tried again, and when.

use std::{fmt, time::Duration};

use aury_events_backends::{DeadLetterReason, Settlement};

use super::attempt::Failed;
use crate::{
    declared::Retry,
    error::{Decision, Failure},
};

/// What is to become of a delivery that failed.
#[derive(Debug)]
pub(super) enum Verdict {
    Retry {
        after: Duration,
    },
    DeadLetter,
    Discard,
    /// The handler has taken the delivery, and what stands in for it is not settled.
    Taken,
}

impl Verdict {
    /// The settlement by which the backend carries it out.
    pub(super) fn settlement(self, reason: DeadLetterReason) -> Settlement {
        match self {
            Self::Retry { after } => Settlement::Retry { after },
            Self::DeadLetter => Settlement::DeadLetter(reason),
            Self::Discard | Self::Taken => Settlement::Ack,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retry { after } => write!(f, "the next attempt follows in {after:?}"),
            Self::DeadLetter => f.write_str("the event is kept as a dead letter"),
            Self::Discard => f.write_str("the event is discarded"),
            Self::Taken => f.write_str("what becomes of the event is up to its receipt"),
        }
    }
}

/// Judges the failure of an attempt, counted from 1. The handler's own decision goes before the subscriber's policy.
pub(super) fn judge(policy: Option<&Retry>, attempt: u32, failed: &Failed) -> Verdict {
    let decision = match &failed.reason {
        DeadLetterReason::Failed(error) => Failure::decision(&**error),
        // It would be no other event the next time.
        DeadLetterReason::Undecodable(_) => Some(Decision::DeadLetter),
        _ => None,
    };
    match (decision, policy) {
        (Some(Decision::RetryAfter(after)), _) => Verdict::Retry { after },
        (Some(Decision::Discard), _) => Verdict::Discard,
        (None, Some(policy)) if !failed.is_final && attempt < policy.attempts => {
            Verdict::Retry { after: policy.wait_after(attempt) }
        }
        (Some(Decision::DeadLetter) | None, _) => Verdict::DeadLetter,
    }
}
