//! The interface of a backend.

use std::{fmt, sync::Arc, time::Duration};

use serde::{Serialize, Serializer};

pub use crate::capabilities::Capabilities;
use crate::{
    dead_letters::DeadLetterReader,
    delivery::Consumer,
    destination::Destination,
    envelope::{Envelope, EventName, Topic},
    error::BackendError,
    in_flight::InFlight,
    maybe_ready::{BoxFuture, MaybeReady},
};

/// A transport of events: it takes them from publishers and delivers each to every subscriber that listens to it.
///
/// A bus has one backend. Dropping a future that a method returned leaves it open whether the operation is carried
/// out; the backend itself stays in order.
pub trait Backend: fmt::Debug + Send + Sync + 'static {
    /// What this backend promises.
    fn capabilities(&self) -> Capabilities;

    /// Publishes an event.
    ///
    /// `Ok` means that the backend has taken responsibility for it, as its documentation says. The ready path
    /// allocates nothing.
    fn publish(&self, event: Outgoing) -> MaybeReady<'_, Result<(), BackendError>>;

    /// The way of publishing without a box, for a backend that has one: see [`ReadyPublisher`]. Default: none.
    fn ready_publisher(self: Arc<Self>) -> Option<Arc<dyn ReadyPublisher>> {
        None
    }

    /// Publishes many events, in order, as fast as the transport allows. Gives the results in the same order, and
    /// stops taking events from the iterator after the first failure.
    ///
    /// The default publishes one by one; a backend with round trips should keep many of them under way.
    fn publish_all<'a>(
        &'a self,
        events: &'a mut (dyn Iterator<Item = Outgoing> + Send),
    ) -> BoxFuture<'a, Vec<Result<(), BackendError>>> {
        Box::pin(async move {
            let mut results = Vec::with_capacity(events.size_hint().0);
            for event in events {
                results.push(self.publish(event).await);
                if results.last().is_some_and(Result::is_err) {
                    break;
                }
            }
            results
        })
    }

    /// Starts a subscription. When the future completes, it is live: an event published next reaches it.
    fn subscribe(
        &self,
        spec: SubscriptionSpec,
    ) -> BoxFuture<'_, Result<Box<dyn Consumer>, BackendError>>;

    /// Reads what these subscribers of the bus's own service could not handle.
    fn dead_letters(
        &self,
        subscribers: &[Arc<str>],
    ) -> BoxFuture<'_, Result<Box<dyn DeadLetterReader>, BackendError>>;

    /// The count of what this process has taken in and not settled.
    fn in_flight(&self) -> &InFlight;

    /// What traces and metrics call the place where an event of that name is published, or, with a subscriber of a
    /// service, from where that one is given it. Asked for only when somebody looks. Default: the backend's name and the
    /// event's.
    fn destination(
        &self,
        _event: &EventName,
        _reader: Option<ServiceSubscriber<'_>>,
    ) -> Option<Destination> {
        None
    }

    /// Takes in nothing new from now on, but what handlers publish: the first step of shutting down.
    fn drain(&self);

    /// How the backend and its subscriptions are.
    fn health(&self) -> Health;

    /// Ends all consumers, after what they had taken in, and lets go of every connection. Repeating it changes
    /// nothing.
    fn close(&self) -> BoxFuture<'_, Result<(), BackendError>>;
}

/// A backend that mostly publishes at once. A publish that borrowed the backend would have to be boxed, so that it can go
/// to another task; this one need not be.
pub trait ReadyPublisher: Send + Sync + 'static {
    /// Publishes an event, as [`Backend::publish`] does. Called in a runtime.
    fn publish_ready(&self, event: Outgoing) -> MaybeReady<'static, Result<(), BackendError>>;
}

/// An event on its way out.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Metadata and payload.
    pub envelope: Envelope,
    /// Who publishes it.
    pub origin: Origin,
    /// How long it waits before it goes to those who listen to it then. Only a backend with
    /// [`delay`](Capabilities::delay) is given one; `publish` is `Ok` there when the wait has begun.
    pub delay: Option<Duration>,
}

/// Who publishes an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The application: it waits while local queues are full, and is refused while the bus drains.
    Application,
    /// A handler: waiting for a local queue could be waiting for itself, so it never does; and what it publishes
    /// belongs to the work that is drained.
    Handler,
}

/// A subscriber of a service, which reads events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceSubscriber<'a> {
    /// The service: the consumer group.
    pub service: &'a str,
    /// The id of the subscriber.
    pub subscriber: &'a str,
}

/// What a subscription asks of its backend.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SubscriptionSpec {
    /// The stable id of the subscriber, unique within its service.
    pub subscriber: Arc<str>,
    /// What it listens to.
    pub topic: Topic,
    /// The service it belongs to: the consumer group of all processes of one application.
    pub service: Arc<str>,
    /// Whether it belongs to this process alone and ends with it, so that every process gets every event: as
    /// `broadcast` subscribers want, and as subscriptions made at run time do.
    pub broadcast: bool,
    /// How many deliveries are handled at a time.
    pub concurrency: usize,
    /// Whether it requires that no event is lost: on a server that may lose some, it is refused.
    pub durable: bool,
}

impl SubscriptionSpec {
    /// A subscription of a lasting subscriber.
    pub fn new(
        subscriber: impl Into<Arc<str>>,
        topic: Topic,
        service: impl Into<Arc<str>>,
    ) -> Self {
        Self {
            subscriber: subscriber.into(),
            topic,
            service: service.into(),
            broadcast: false,
            concurrency: 1,
            durable: false,
        }
    }

    /// Makes it one that requires that no event is lost.
    #[must_use]
    pub fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// Makes it one that ends with this process.
    #[must_use]
    pub fn broadcast(mut self) -> Self {
        self.broadcast = true;
        self
    }
}

/// The health of a bus. As JSON, its fields have these names; further ones may come.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Health {
    /// Whether the backend is reachable and takes events.
    pub is_up: bool,
    /// Its subscriptions in this process.
    pub subscriptions: Vec<SubscriptionHealth>,
    /// How many events this process holds whose delay has not passed.
    pub delayed: u64,
    /// How many dead letters it has lost because there were too many, on a backend that counts them.
    pub dropped_dead_letters: u64,
    /// What is wrong with the backend now, as far as it knows.
    #[serde(serialize_with = "optional_text")]
    pub problem: Option<Arc<str>>,
}

impl Health {
    /// The health of a backend.
    pub fn new(is_up: bool, subscriptions: Vec<SubscriptionHealth>) -> Self {
        Self { is_up, subscriptions, delayed: 0, dropped_dead_letters: 0, problem: None }
    }

    /// Sets how many events this process holds whose delay has not passed.
    #[must_use]
    pub fn with_delayed(mut self, delayed: u64) -> Self {
        self.delayed = delayed;
        self
    }

    /// Sets how many dead letters it has lost because there were too many.
    #[must_use]
    pub fn with_dropped_dead_letters(mut self, dropped: u64) -> Self {
        self.dropped_dead_letters = dropped;
        self
    }

    /// Says what is wrong.
    #[must_use]
    pub fn with_problem(mut self, problem: Option<Arc<str>>) -> Self {
        self.problem = problem;
        self
    }
}

/// The health of one subscription.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct SubscriptionHealth {
    /// The id of the subscriber.
    #[serde(serialize_with = "text")]
    pub subscriber: Arc<str>,
    /// Whether events reach it.
    pub is_live: bool,
    /// How many deliveries it holds that are not settled.
    pub in_flight: u64,
    /// How many events it has lost because it was too slow, on a backend that drops them then instead of waiting.
    pub dropped: u64,
    /// Whether it takes no events for a while, since it keeps failing. Said by the bus, not by its backend.
    pub is_paused: bool,
    /// What is wrong with it, or was wrong with it last.
    #[serde(serialize_with = "optional_text")]
    pub problem: Option<Arc<str>>,
}

fn text<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

fn optional_text<S: Serializer>(text: &Option<Arc<str>>, serializer: S) -> Result<S::Ok, S::Error> {
    text.as_deref().serialize(serializer)
}

impl SubscriptionHealth {
    /// The health of a subscription.
    pub fn new(subscriber: Arc<str>, is_live: bool, in_flight: u64) -> Self {
        Self { subscriber, is_live, in_flight, dropped: 0, is_paused: false, problem: None }
    }

    /// Sets how many events it has lost because it was too slow.
    #[must_use]
    pub fn with_dropped(mut self, dropped: u64) -> Self {
        self.dropped = dropped;
        self
    }

    /// Says what is wrong with it, or was last.
    #[must_use]
    pub fn with_problem(mut self, problem: Option<Arc<str>>) -> Self {
        self.problem = problem;
        self
    }
}
