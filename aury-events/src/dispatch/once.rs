//! `idempotent`: an event that the subscriber has handled is not handled again.
//!
//! Of two copies that are there at the same time, the second waits for the outcome of the first, and is skipped only if
//! that is success.

use std::time::Duration;

use aury_events_backends::{
    BackendError, DeadLetterReason,
    idempotency::{IdempotencyKey, IdempotencyStore},
};

use super::attempt::Failed;
use crate::{error::Failure, runtime::Claims};

/// When an event is tried again of which it could not be told whether it was handled.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// What has become of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    Handled,
    /// It had been handled before.
    Before,
}

/// Handles an event, unless that has been done.
pub(super) async fn once(
    key: &IdempotencyKey,
    store: &dyn IdempotencyStore,
    claims: &Claims,
    handling: impl Future<Output = Result<(), Failed>>,
) -> Result<Done, Failed> {
    let _claim = claims.claim(key).await;
    match store.is_handled(key).await {
        Ok(true) => {
            tracing::debug!(event = %key, "the event has been handled before, and is skipped");
            return Ok(Done::Before);
        }
        Ok(false) => {}
        Err(error) => return Err(unknown(error)),
    }
    handling.await?;
    if let Err(error) = store.mark_handled(key).await {
        // To handle it again for this would be certain to do what the mark is to prevent.
        tracing::warn!(
            event = %key,
            error = &error as &dyn std::error::Error,
            "the event was handled and could not be marked; a copy of it would be handled again"
        );
    }
    Ok(Done::Handled)
}

/// No fault of the event: it is tried again, however often that takes.
fn unknown(error: BackendError) -> Failed {
    DeadLetterReason::Failed(Failure::retry_after(error, ASK_AGAIN).into()).into()
}
