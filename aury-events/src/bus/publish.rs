//! From an event to the backend.

use std::{fmt, sync::Arc, time::Duration};

use aury_events_backends::{
    Envelope, EventId, Metadata, Origin, Outgoing, Payload,
    envelope::{Cause, SharedStr},
};

use super::EventBus;
use crate::{
    declared::{Event, name_of},
    error::PublishError,
    runtime::{Context, Current},
};

/// An event about to be published, with what goes along: made by [`EventBus::event`].
#[must_use = "nothing happens until `publish` is called and awaited"]
pub struct Publish<'a, E> {
    bus: &'a EventBus,
    event: Arc<E>,
    cause: Option<Cause>,
    key: Option<SharedStr>,
    headers: Vec<(SharedStr, SharedStr)>,
    delay: Option<Duration>,
}

impl<'a, E: Event> Publish<'a, E> {
    pub(super) fn new(bus: &'a EventBus, event: Arc<E>) -> Self {
        Self { bus, event, cause: None, key: None, headers: Vec::new(), delay: None }
    }

    /// Sets a header; one of the same name is replaced.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into().into(), value.into().into()));
        self
    }

    /// Sets the key of this one event, in place of [`Event::key`].
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into().into());
        self
    }

    /// Has it delivered later: to those who listen to it when so much time has passed since [`publish`](Self::publish),
    /// and not before.
    ///
    /// `Ok` of `publish` means that it waits. On `memory`, it waits in this process: it counts as in flight, so that
    /// [`settled`](EventBus::settled) waits for it, and a shutdown too, up to its time limit; what is left over then is
    /// lost, and [`ShutdownError`](crate::ShutdownError) says so. On `redis-streams` and `rabbitmq`, it waits on the
    /// server and survives every process; it may come up to half a second late. `redis` offers no delay.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = Some(delay).filter(|delay| !delay.is_zero());
        self
    }

    /// Publishes it as a consequence of the event of `context`, in place of the one that the current task handles.
    pub fn caused_by(mut self, context: &Context) -> Self {
        self.cause = Some(context.metadata().as_cause());
        self
    }

    /// Publishes the event.
    ///
    /// # Errors
    ///
    /// See [`PublishError`].
    pub async fn publish(self) -> Result<EventId, PublishError> {
        let Self { bus, event, cause, key, headers, delay } = self;
        if delay.is_some() && !bus.backend().capabilities().delay {
            return Err(PublishError::no_delay(bus.name(), bus.core().backend_name()));
        }
        let cause = cause.or_else(Current::cause);
        check_hops::<E>(bus, cause.as_ref())?;
        let mut metadata = metadata_of(bus, &*event, cause.as_ref());
        if let Some(key) = key {
            metadata = metadata.with_key(key);
        }
        for (name, value) in headers {
            metadata = metadata.with_header(name, value);
        }
        let envelope = Envelope::new(metadata, Payload::Typed(E::into_payload(event)));
        let origin = origin_of(cause.as_ref());
        send(bus, Outgoing { envelope, origin, delay }).await
    }
}

impl<E: Event> fmt::Debug for Publish<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publish")
            .field("event", &E::NAME)
            .field("bus", &self.bus.name())
            .field("key", &self.key)
            .field("headers", &self.headers)
            .field("delay", &self.delay)
            .finish_non_exhaustive()
    }
}

/// The guard against subscribers that feed each other for ever: an event may be one too many in its chain.
#[inline]
pub(super) fn check_hops<E: Event>(
    bus: &EventBus,
    cause: Option<&Cause>,
) -> Result<(), PublishError> {
    let max_hops = bus.handle.max_hops;
    match cause.map(Cause::hops_on) {
        Some(hops) if hops > max_hops => {
            let subscriber = Current::subscriber();
            Err(PublishError::event_loop(name_of::<E>(), subscriber.as_deref(), hops, max_hops))
        }
        _ => Ok(()),
    }
}

#[inline]
fn origin_of(cause: Option<&Cause>) -> Origin {
    if cause.is_some() { Origin::Handler } else { Origin::Application }
}

/// Puts an event into its envelope, as one that is published now.
#[inline]
pub(super) fn outgoing<E: Event>(bus: &EventBus, event: Arc<E>, cause: Option<&Cause>) -> Outgoing {
    let envelope = if bus.core().is_remote() {
        Envelope::new(metadata_of(bus, &*event, cause), Payload::Typed(E::into_payload(event)))
    } else {
        // The key stays in the event, where subscribers in this process see it.
        let (source, payload) = (bus.handle.source, Payload::Typed(E::into_payload(event)));
        Envelope::published(name_of::<E>(), E::VERSION, source, cause, payload)
    };
    Outgoing { envelope, origin: origin_of(cause), delay: None }
}

/// The metadata of an event published now, with its key.
fn metadata_of<E: Event>(bus: &EventBus, event: &E, cause: Option<&Cause>) -> Metadata {
    let metadata = Metadata::new(name_of::<E>(), E::VERSION, bus.handle.source, cause);
    match event.key() {
        Some(key) => metadata.with_key(&*key),
        None => metadata,
    }
}

/// Hands an event to the bus's backend, at once: what is left to be awaited holds the outcome, not the event.
#[inline]
pub(super) fn send(
    bus: &EventBus,
    outgoing: Outgoing,
) -> impl Future<Output = Result<EventId, PublishError>> + Send {
    let id = outgoing.envelope.metadata().id();
    let published = bus.backend().publish(outgoing).now();
    async move {
        let published = match published {
            Ok(published) => published,
            Err(pending) => pending.await,
        };
        match published {
            Ok(()) => Ok(id),
            Err(error) => Err(PublishError::from_backend(error, bus.name())),
        }
    }
}
