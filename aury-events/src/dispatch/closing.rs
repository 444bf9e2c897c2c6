//! A handler that fails since its buses end has not failed of itself.

use std::{error::Error, iter::successors, time::Duration};

use aury_events_backends::{BackendError, DeadLetterReason};
use tokio::time;

use super::attempt::Failed;
use crate::{error::BusCloses, runtime::Core};

/// What comes of a failed attempt while the buses end.
pub(super) enum Closing {
    /// It stands for itself.
    Failed,
    /// The handler is called again, and that is no further attempt.
    Again,
    /// The buses take nothing more that no handler owns, which this handler waits for: its event is left over.
    Leave,
    /// The delivery goes back to its backend, and nothing more is handled.
    GiveBack,
}

/// How long a handler waits that was refused since its buses end: they take what it publishes from now on.
const AGAIN: Duration = Duration::from_millis(10);

impl Closing {
    /// Never ends when the application has let go of the buses: the task is about to be aborted.
    pub(super) async fn of(failed: &Failed, core: &Core) -> Self {
        core.stop_if_abandoned().await;
        if !core.ending.is_draining() || !is_refused(&failed.reason) {
            return Self::Failed;
        }
        if core.ending.is_closing() {
            return Self::GiveBack;
        }
        if !core.is_owned_in_flight() {
            return Self::Leave;
        }
        time::sleep(AGAIN).await;
        Self::Again
    }
}

/// Whether a bus refused something since it ends.
fn is_refused(reason: &DeadLetterReason) -> bool {
    let DeadLetterReason::Failed(error) = reason else { return false };
    let error: &(dyn Error + 'static) = &**error;
    successors(Some(error), |&error| error.source()).any(|error| {
        error.is::<BusCloses>() || error.downcast_ref().is_some_and(BackendError::is_closed)
    })
}
