//! The time by which something has to be done.

use std::time::Duration;

use tokio::time::{Instant, error::Elapsed, timeout_at};

use super::due_after;

/// The time by which something has to be done, and the limit that it follows from, which messages name.
///
/// One that is handed on bounds several steps together.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    at: Instant,
    limit: Duration,
}

impl Deadline {
    /// So much time from now on.
    #[must_use]
    pub fn after(limit: Duration) -> Self {
        Self { at: due_after(limit), limit }
    }

    /// When it is.
    pub fn at(&self) -> Instant {
        self.at
    }

    /// How much time there was in all.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// How much time is left.
    pub fn left(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// Whether the time is up.
    pub fn has_passed(&self) -> bool {
        self.left().is_zero()
    }

    /// Waits for a future until then.
    ///
    /// # Errors
    ///
    /// When the time is up before it has completed; it is dropped then.
    pub async fn bound<F: Future>(&self, future: F) -> Result<F::Output, Elapsed> {
        timeout_at(self.at, future).await
    }
}

impl From<Duration> for Deadline {
    fn from(limit: Duration) -> Self {
        Self::after(limit)
    }
}
