//! The options of a subscriber.

use std::time::Duration;

use super::Retry;

/// The options of a subscriber that say how its deliveries are treated. Known while compiling, so that what is not
/// asked for is not compiled in.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub(crate) durable: bool,
    pub(crate) broadcast: bool,
    pub(crate) retry: Option<Retry>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) concurrency: usize,
    pub(crate) ordered: bool,
    pub(crate) idempotent: bool,
    pub(crate) batch: Option<Batch>,
}

/// How many events are handled together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Batch {
    /// At most.
    pub(crate) max: usize,
    /// How long the first one waits for more.
    pub(crate) wait: Duration,
}

impl Options {
    /// All options off.
    #[expect(clippy::new_without_default, reason = "made by the macro, in constants alone")]
    pub const fn new() -> Self {
        Self {
            durable: false,
            broadcast: false,
            retry: None,
            timeout: None,
            concurrency: 1,
            ordered: false,
            idempotent: false,
            batch: None,
        }
    }

    /// Refuses to start without at-least-once delivery.
    #[must_use]
    pub const fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// Gets every event in every process.
    #[must_use]
    pub const fn broadcast(mut self) -> Self {
        self.broadcast = true;
        self
    }

    /// Tries again what failed.
    #[must_use]
    pub const fn retry(mut self, retry: Retry) -> Self {
        self.retry = Some(retry);
        self
    }

    /// Ends each attempt after that time; it counts as failed.
    #[must_use]
    pub const fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Handles so many events at a time.
    #[must_use]
    pub const fn concurrency(mut self, handlers: usize) -> Self {
        self.concurrency = handlers;
        self
    }

    /// Keeps the events of one key in order.
    #[must_use]
    pub const fn ordered(mut self) -> Self {
        self.ordered = true;
        self
    }

    /// Skips an event that it has handled before.
    #[must_use]
    pub const fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// Handles up to so many events together, of which the first waits so long for more.
    #[must_use]
    pub const fn batch(mut self, max: usize, wait: Duration) -> Self {
        self.batch = Some(Batch { max, wait });
        self
    }

    /// How many deliveries are handled at a time.
    pub(crate) const fn deliveries_at_a_time(&self) -> usize {
        match self.batch {
            None => self.concurrency,
            Some(Batch { max, .. }) => self.concurrency.saturating_mul(max),
        }
    }
}
