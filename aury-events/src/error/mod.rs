//! What can go wrong, for those who call the framework.

pub(crate) mod failure;

use std::{error::Error as StdError, fmt, time::Duration};

use aury_events_backends::{
    BackendError, EventId, EventName,
    envelope::{InvalidPattern, Pattern},
    error::causes,
};

use crate::{manager::startup::StartError, runtime::context::Context};

/// Any error, as handlers return them.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// Any error of this crate: what `main` returns.
///
/// Its `Debug` form is meant for people, since that is what a `main` that returns it prints: the message and its
/// causes.
#[non_exhaustive]
pub enum Error {
    /// The buses could not start.
    Start(StartError),
    /// `init` was called a second time in this process.
    AlreadyInitialised,
    /// There is no such bus, or none yet.
    UnknownBus(UnknownBus),
    /// An event could not be published.
    Publish(PublishError),
    /// Several events could not be published.
    PublishAll(PublishAllError),
    /// A subscription could not be made.
    Subscribe(SubscribeError),
    /// A dead letter could not be replayed or purged.
    DeadLetter(BackendError),
    /// The backend failed otherwise.
    Backend(BackendFailure),
    /// Shutting down took too long.
    Shutdown(ShutdownError),
}

impl Error {
    fn inner(&self) -> &(dyn StdError + 'static) {
        match self {
            Self::Start(error) => error,
            Self::AlreadyInitialised => &ALREADY_INITIALISED,
            Self::UnknownBus(error) => error,
            Self::Publish(error) => error,
            Self::PublishAll(error) => error,
            Self::Subscribe(error) => error,
            Self::DeadLetter(error) => error,
            Self::Backend(error) => error,
            Self::Shutdown(error) => error,
        }
    }
}

const ALREADY_INITIALISED: AlreadyInitialised = AlreadyInitialised;

#[derive(Debug)]
struct AlreadyInitialised;

impl fmt::Display for AlreadyInitialised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the process's event buses have been initialised before; use `EventBusManager::builder()` and `start()` \
             for further managers",
        )
    }
}

impl StdError for AlreadyInitialised {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.inner(), f)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)?;
        causes(self).try_for_each(|cause| write!(f, "\n  caused by: {cause}"))
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner().source()
    }
}

macro_rules! into_error {
    ($($variant:ident($error:ty)),* $(,)?) => {$(
        impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Self::$variant(error)
            }
        }
    )*};
}
into_error! {
    Start(StartError),
    UnknownBus(UnknownBus),
    Publish(PublishError),
    PublishAll(PublishAllError),
    Subscribe(SubscribeError),
    DeadLetter(BackendError),
    Backend(BackendFailure),
    Shutdown(ShutdownError),
}

/// There is no bus of that name.
#[derive(Debug, Clone)]
pub struct UnknownBus {
    bus: String,
    /// The buses that there are; `None` when nothing has been initialised.
    known: Option<Vec<String>>,
}

impl UnknownBus {
    pub(crate) fn among<'a>(bus: &str, known: impl Iterator<Item = &'a str>) -> Self {
        Self { bus: bus.to_owned(), known: Some(known.map(str::to_owned).collect()) }
    }

    pub(crate) fn not_initialised(bus: &str) -> Self {
        Self { bus: bus.to_owned(), known: None }
    }

    /// The name that was asked for.
    pub fn bus(&self) -> &str {
        &self.bus
    }
}

impl fmt::Display for UnknownBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.known {
            Some(known) => write!(f, "there is no bus `{}`, only {}", self.bus, quoted(known)),
            None => write!(
                f,
                "there is no bus `{}` yet: call `aury_events::init_from_env().await` first",
                self.bus
            ),
        }
    }
}

impl StdError for UnknownBus {}

/// Names in backticks, separated by commas.
pub(crate) fn quoted<T: fmt::Display>(names: impl IntoIterator<Item = T>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Why an event was not published.
#[derive(Debug)]
#[non_exhaustive]
pub enum PublishError {
    /// The bus is shutting down or has been shut down.
    Closed {
        /// The bus.
        bus: String,
    },
    /// The event's bus does not exist here.
    UnknownBus(UnknownBus),
    /// Subscribers feed each other: the event has more predecessors than `EVENT_MAX_HOPS` allows.
    EventLoop {
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
    pub(crate) fn event_loop(event: EventName, hops: u16, max_hops: u16) -> Self {
        let subscriber = Context::current().map(|context| context.subscriber().to_owned());
        let subscriber = subscriber.unwrap_or_else(|| "(a task of its own)".to_owned());
        Self::EventLoop { event, subscriber, hops, max_hops }
    }

    #[cold]
    pub(crate) fn no_delay(bus: &str, backend: &str) -> Self {
        Self::NoDelay { bus: bus.to_owned(), backend: backend.to_owned() }
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

    /// Whether the loop guard stopped a chain of events.
    pub fn is_event_loop(&self) -> bool {
        matches!(self, Self::EventLoop { .. })
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed { bus } => {
                write!(f, "the bus `{bus}` is shutting down and takes no more events")
            }
            Self::UnknownBus(unknown) => fmt::Display::fmt(unknown, f),
            Self::EventLoop { event, subscriber, hops, max_hops } => write!(
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
            _ => None,
        }
    }
}

impl From<UnknownBus> for PublishError {
    fn from(unknown: UnknownBus) -> Self {
        Self::UnknownBus(unknown)
    }
}

/// Why some of many events were not published.
#[derive(Debug)]
pub struct PublishAllError {
    published: Vec<EventId>,
    source: PublishError,
}

impl PublishAllError {
    pub(crate) fn new(published: Vec<EventId>, source: PublishError) -> Self {
        Self { published, source }
    }

    /// The ids of the events that were published: all before the one that failed. Their number is the index of that one.
    pub fn published(&self) -> &[EventId] {
        &self.published
    }

    /// Why the next one was not.
    pub fn error(&self) -> &PublishError {
        &self.source
    }
}

impl fmt::Display for PublishAllError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} events were published, the next one was not", self.published.len())
    }
}

impl StdError for PublishAllError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.source)
    }
}

/// Why a subscription was not made.
#[derive(Debug)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The text is not a pattern over event names.
    InvalidPattern {
        /// The text.
        pattern: String,
        /// What is wrong with it.
        source: InvalidPattern,
    },
    /// The backend has no subscriptions to patterns.
    NoPatterns {
        /// The bus.
        bus: String,
        /// The pattern.
        pattern: String,
    },
    /// The backend could not do it.
    Backend(BackendFailure),
}

impl SubscribeError {
    pub(crate) fn invalid_pattern(pattern: &str, source: InvalidPattern) -> Self {
        Self::InvalidPattern { pattern: pattern.to_owned(), source }
    }

    pub(crate) fn no_patterns(bus: &str, pattern: Pattern) -> Self {
        Self::NoPatterns { bus: bus.to_owned(), pattern: pattern.to_string() }
    }
}

impl From<BackendFailure> for SubscribeError {
    fn from(failure: BackendFailure) -> Self {
        Self::Backend(failure)
    }
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidPattern { pattern, .. } => {
                write!(f, "`{pattern}` is not a pattern over event names")
            }
            Self::NoPatterns { bus, pattern } => write!(
                f,
                "cannot subscribe to `{pattern}`: the backend of the bus `{bus}` has no patterns"
            ),
            Self::Backend(failure) => fmt::Display::fmt(failure, f),
        }
    }
}

impl StdError for SubscribeError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::InvalidPattern { source, .. } => Some(source),
            Self::NoPatterns { .. } => None,
            Self::Backend(failure) => failure.source(),
        }
    }
}

/// A backend could not do what was asked of it.
#[derive(Debug)]
pub struct BackendFailure {
    attempt: String,
    bus: String,
    source: BackendError,
}

impl BackendFailure {
    pub(crate) fn new(attempt: impl Into<String>, bus: &str, source: BackendError) -> Self {
        Self { attempt: attempt.into(), bus: bus.to_owned(), source }
    }

    /// What the backend reported.
    pub fn error(&self) -> &BackendError {
        &self.source
    }
}

impl fmt::Display for BackendFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not {} on the bus `{}`", self.attempt, self.bus)
    }
}

impl StdError for BackendFailure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.source)
    }
}

/// Shutting down took longer than it may: what was running has been aborted.
#[derive(Debug)]
pub struct ShutdownError {
    limit: Duration,
    left: Vec<(String, u64)>,
    delayed: u64,
    close: Vec<BackendFailure>,
}

impl ShutdownError {
    pub(crate) fn new(
        limit: Duration,
        left: Vec<(String, u64)>,
        delayed: u64,
        close: Vec<BackendFailure>,
    ) -> Result<(), Self> {
        let is_complete = left.is_empty() && delayed == 0 && close.is_empty();
        if is_complete { Ok(()) } else { Err(Self { limit, left, delayed, close }) }
    }

    /// How many deliveries each subscriber had not finished, by its id.
    pub fn left(&self) -> &[(String, u64)] {
        &self.left
    }

    /// How many events were lost since their delay had not passed: they waited in this process.
    pub fn delayed(&self) -> u64 {
        self.delayed
    }
}

impl fmt::Display for ShutdownError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.left.is_empty() {
            write!(f, "not everything was handled within {:?}; left over:", self.limit)?;
            for (subscriber, count) in &self.left {
                write!(f, " {count} for `{subscriber}`;")?;
            }
        }
        if self.delayed > 0 {
            let (count, limit) = (self.delayed, self.limit);
            write!(f, " {count} events are lost, whose delay had not passed within {limit:?};")?;
        }
        for failure in &self.close {
            write!(f, " {failure}: {}", failure.error())?;
        }
        Ok(())
    }
}

impl StdError for ShutdownError {}
