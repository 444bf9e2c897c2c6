//! The options of a subscriber.

use std::time::Duration;

use super::Retry;

/// How the deliveries of a subscriber are treated: a field for each option of `#[subscribe]`, under its name. Known while
/// compiling, so that what is not asked for is not compiled in.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Takes up to so many events at a time.
    pub batch: Option<Batch>,
    /// Tries again what failed.
    pub retry: Option<Retry>,
    /// How long an attempt may take.
    pub timeout: Option<Duration>,
    /// How many events, or batches, are handled at a time.
    pub concurrency: usize,
    /// Keeps the events of one key in order.
    pub ordered: Option<Order>,
    /// Skips an event that it has handled before.
    pub idempotent: bool,
    /// Refuses to start without at-least-once delivery.
    pub durable: bool,
    /// Gets every event in every process.
    pub broadcast: bool,
}

/// Where the events of one key are handled in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Within each process.
    Process,
    /// Over all processes of the service.
    Service,
}

/// How many events are handled together.
#[derive(Debug, Clone, Copy)]
pub struct Batch {
    /// At most.
    pub max: usize,
    /// How long the first one waits for more.
    pub wait: Duration,
}

impl Options {
    /// As they are where nothing is written.
    pub const DEFAULT: Self = Self {
        batch: None,
        retry: None,
        timeout: None,
        concurrency: 1,
        ordered: None,
        idempotent: false,
        durable: false,
        broadcast: false,
    };

    /// How many deliveries are handled at a time.
    pub(crate) const fn deliveries_at_a_time(&self) -> usize {
        match self.batch {
            None => self.concurrency,
            Some(Batch { max, .. }) => self.concurrency.saturating_mul(max),
        }
    }
}
