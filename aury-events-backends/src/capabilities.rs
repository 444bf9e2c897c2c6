//! What a backend promises.

/// What a backend promises. A subscriber that requires more does not start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Capabilities {
    /// An event that was accepted is delivered until it is settled, also when processes die.
    pub at_least_once: bool,
    /// Subscribers can listen to patterns of event names.
    pub patterns: bool,
    /// The processes of one service share the work of a subscriber, instead of doing it each.
    pub shared_work: bool,
    /// Events leave the process, so that names, keys and payloads are encoded.
    pub remote: bool,
    /// An event can be published with a delay.
    pub delay: bool,
    /// Events of one key are handled in order over all processes of a service, retries and redeliveries included. A
    /// backend that lives in one process promises it by that.
    pub service_order: bool,
}

impl Capabilities {
    /// Promises nothing.
    pub const NONE: Self = Self {
        at_least_once: false,
        patterns: false,
        shared_work: false,
        remote: false,
        delay: false,
        service_order: false,
    };

    /// Promises delivery until settled, also when processes die.
    #[must_use]
    pub const fn at_least_once(mut self) -> Self {
        self.at_least_once = true;
        self
    }

    /// Promises subscriptions to patterns.
    #[must_use]
    pub const fn patterns(mut self) -> Self {
        self.patterns = true;
        self
    }

    /// Promises that the processes of one service share the work.
    #[must_use]
    pub const fn shared_work(mut self) -> Self {
        self.shared_work = true;
        self
    }

    /// Says that events leave the process.
    #[must_use]
    pub const fn remote(mut self) -> Self {
        self.remote = true;
        self
    }

    /// Promises that events can be published with a delay.
    #[must_use]
    pub const fn delay(mut self) -> Self {
        self.delay = true;
        self
    }

    /// Promises the order of a key over all processes of a service.
    #[must_use]
    pub const fn service_order(mut self) -> Self {
        self.service_order = true;
        self
    }
}
