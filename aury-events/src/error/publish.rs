//! An event that was not published.

use std::{error::Error as StdError, fmt};

use aury_events_backends::{BackendError, EventName};

use super::{BackendFailure, UnknownBus};

/// Why an event was not published.
#[derive(Debug)]
#[non_exhaustive]
pub enum PublishError {
    /// The bus is shutting down or has been shut down.
    Closed {
        /// The bus.
        bus: String,
    },
    /// The Tokio runtime that the buses were started on has ended, and everything that ran for them with it.
    RuntimeEnded {
        /// The bus.
        bus: String,
    },
    /// The event's bus does not exist here.
    UnknownBus(UnknownBus),
    /// Subscribers feed each other: the event has more predecessors than `EVENT_MAX_HOPS` allows.
    TooManyHops {
        /// The event that was not published.
        event: EventName,
        /// The subscriber that wanted to publish it.
        subscriber: String,
        /// How many events would have preceded it.
        hops: u16,
        /// How many may.
        max_hops: u16,
    },
    /// It was to be published with a delay, which the bus's backend does not offer.
    NoDelay {
        /// The bus.
        bus: String,
        /// Its backend.
        backend: String,
    },
    /// The backend could not take it.
    Backend(BackendFailure),
}

impl PublishError {
    #[cold]
    pub(crate) fn too_many_hops(
        event: EventName,
        subscriber: Option<&str>,
        hops: u16,
        max_hops: u16,
    ) -> Self {
        let subscriber = subscriber.unwrap_or("(a task of its own)").to_owned();
        Self::TooManyHops { event, subscriber, hops, max_hops }
    }

    #[cold]
    pub(crate) fn no_delay(bus: &str, backend: &str) -> Self {
        Self::NoDelay { bus: bus.to_owned(), backend: backend.to_owned() }
    }

    #[cold]
    pub(crate) fn runtime_ended(bus: &str) -> Self {
        Self::RuntimeEnded { bus: bus.to_owned() }
    }

    #[cold]
    pub(crate) fn from_backend(error: BackendError, bus: &str) -> Self {
        if error.is_closed() {
            Self::Closed { bus: bus.to_owned() }
        } else {
            Self::Backend(BackendFailure::new("publish", bus, error))
        }
    }

    /// Whether the bus is shutting down or has been shut down.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed { .. })
    }

    /// Whether the Tokio runtime that the buses were started on has ended.
    pub fn is_runtime_ended(&self) -> bool {
        matches!(self, Self::RuntimeEnded { .. })
    }

    /// What the backend reported, if it could not take the event.
    pub fn backend_error(&self) -> Option<&BackendError> {
        match self {
            Self::Backend(failure) => Some(failure.error()),
            _ => None,
        }
    }

    fn is_of_backend(&self, is: fn(&BackendError) -> bool) -> bool {
        self.backend_error().is_some_and(is)
    }

    /// Whether the broker was reached and refused the event, as for want of a right or of room. Trying again helps when
    /// somebody has changed that.
    pub fn is_refused(&self) -> bool {
        self.is_of_backend(BackendError::is_refused)
    }

    /// Whether the event is larger than the broker takes.
    pub fn is_too_large(&self) -> bool {
        self.is_of_backend(BackendError::is_too_large)
    }

    /// Whether nobody has ever subscribed to the event, where `EVENT_UNROUTABLE` makes that an error.
    pub fn is_unroutable(&self) -> bool {
        self.is_of_backend(BackendError::is_unroutable)
    }

    /// Whether there was no confirmation in time. The event may have been published all the same.
    pub fn is_timeout(&self) -> bool {
        self.is_of_backend(BackendError::is_timeout)
    }

    /// Whether there was no connection to the broker in time. Nothing was sent.
    pub fn is_not_connected(&self) -> bool {
        self.is_of_backend(BackendError::is_not_connected)
    }

    /// The kind of the error in one word, for labels: that of the backend's error, or `closed`, `runtime_ended`,
    /// `unknown_bus`, `too_many_hops` or `no_delay`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Closed { .. } => "closed",
            Self::RuntimeEnded { .. } => "runtime_ended",
            Self::UnknownBus(_) => "unknown_bus",
            Self::TooManyHops { .. } => "too_many_hops",
            Self::NoDelay { .. } => "no_delay",
            Self::Backend(failure) => failure.error().kind(),
        }
    }

    /// Whether the loop guard stopped a chain of events.
    pub fn is_too_many_hops(&self) -> bool {
        matches!(self, Self::TooManyHops { .. })
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed { bus } => {
                write!(f, "the bus `{bus}` is shutting down and takes no more events")
            }
            Self::RuntimeEnded { bus } => write!(
                f,
                "the Tokio runtime that the bus `{bus}` was started on has ended; start the buses again on this one"
            ),
            Self::UnknownBus(unknown) => fmt::Display::fmt(unknown, f),
            Self::TooManyHops { event, subscriber, hops, max_hops } => write!(
                f,
                "event loop: `{event}`, published by the subscriber `{subscriber}`, has {hops} events before it in its \
                 chain; EVENT_MAX_HOPS allows {max_hops}"
            ),
            Self::NoDelay { bus, backend } => write!(
                f,
                "the backend `{backend}` of the bus `{bus}` cannot publish with a delay: use `memory`, \
                 `redis-streams` or `rabbitmq` for this bus, or wait before publishing"
            ),
            Self::Backend(failure) => fmt::Display::fmt(failure, f),
        }
    }
}

impl StdError for PublishError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Backend(failure) => failure.source(),
            Self::Closed { .. } => Some(&BusCloses),
            _ => None,
        }
    }
}

/// The part of [`PublishError::Closed`] that stays visible when an error type hides the outermost error of a chain.
#[derive(Debug)]
pub(crate) struct BusCloses;

impl fmt::Display for BusCloses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("only handlers that still run can publish now")
    }
}

impl StdError for BusCloses {}

impl From<UnknownBus> for PublishError {
    fn from(unknown: UnknownBus) -> Self {
        Self::UnknownBus(unknown)
    }
}

#[cfg(test)]
mod tests {
    use aury_events_backends::error::causes;

    use super::*;

    #[test]
    fn its_own_line_tells_what_failed_and_why_and_no_text_comes_twice() {
        let said = "no permission to write to topic 'admin.created' (ACCESS_REFUSED)";
        let error = BackendError::refused("RabbitMQ refused order.created", said);
        let error = PublishError::from_backend(error, "default");
        assert_eq!(
            error.to_string(),
            format!(
                "could not publish on the bus `default`: RabbitMQ refused order.created: {said}"
            )
        );
        assert!(error.is_refused() && !error.is_too_large() && !error.is_not_connected());
        assert_eq!(causes(&error).count(), 0);

        let error = BackendError::other("connect", "the socket is gone");
        let error = PublishError::from_backend(error, "default");
        let chain: Vec<_> = causes(&error).map(ToString::to_string).collect();
        assert_eq!(error.to_string(), "could not publish on the bus `default`: could not connect");
        assert_eq!(chain, ["the socket is gone"]);
    }
}
