//! From an event to the backend.

use std::{fmt, sync::Arc};

use aury_events_backends::{
    Envelope, EventId, Metadata, Origin, Outgoing, Payload,
    envelope::{Cause, SharedStr},
};

use crate::{
    bus::{EventBus, name_of},
    context::Context,
    error::PublishError,
    event::Event,
};

/// An event about to be published, with what goes along: made by [`EventBus::event`].
#[must_use = "nothing happens until `publish` is called and awaited"]
pub struct Publish<'a, E> {
    bus: &'a EventBus,
    event: Arc<E>,
    cause: Option<Cause>,
    key: Option<SharedStr>,
    headers: Vec<(SharedStr, SharedStr)>,
}

impl<'a, E: Event> Publish<'a, E> {
    pub(crate) fn new(bus: &'a EventBus, event: Arc<E>) -> Self {
        Self { bus, event, cause: None, key: None, headers: Vec::new() }
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
        let Self { bus, event, cause, key, headers } = self;
        let cause = cause.or_else(current_cause);
        check_hops::<E>(bus, cause.as_ref())?;
        let mut metadata = metadata_of(bus, &*event, cause.as_ref());
        if let Some(key) = key {
            metadata = metadata.with_key(key);
        }
        for (name, value) in headers {
            metadata = metadata.with_header(name, value);
        }
        send(bus, outgoing(metadata, event)).await
    }
}

impl<E: Event> fmt::Debug for Publish<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publish")
            .field("event", &E::NAME)
            .field("bus", &self.bus.name())
            .field("key", &self.key)
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}

/// What the event that the current task handles hands on to those published now; `None` outside of handlers.
pub(crate) fn current_cause() -> Option<Cause> {
    Context::current().map(|context| context.metadata().as_cause())
}

/// The guard against subscribers that feed each other for ever: an event may be one too many in its chain.
#[inline]
pub(crate) fn check_hops<E: Event>(
    bus: &EventBus,
    cause: Option<&Cause>,
) -> Result<(), PublishError> {
    match cause {
        Some(cause) if cause.hops_on() > bus.manager().max_hops() => {
            Err(PublishError::event_loop(name_of::<E>(), cause.hops_on()))
        }
        _ => Ok(()),
    }
}

/// The metadata of an event published now.
#[inline]
pub(crate) fn metadata_of<E: Event>(bus: &EventBus, event: &E, cause: Option<&Cause>) -> Metadata {
    let metadata = Metadata::new(name_of::<E>(), E::VERSION, bus.manager().source(), cause);
    if bus.is_remote()
        && let Some(key) = event.key()
    {
        return metadata.with_key(&*key);
    }
    metadata
}

/// Puts an event into its envelope.
#[inline]
pub(crate) fn outgoing<E: Event>(metadata: Metadata, event: Arc<E>) -> Outgoing {
    let origin = if metadata.hops() > 0 { Origin::Handler } else { Origin::Application };
    Outgoing { envelope: Envelope::new(metadata, Payload::Typed(E::into_payload(event))), origin }
}

/// Hands an event to the bus's backend.
#[inline]
pub(crate) async fn send(bus: &EventBus, outgoing: Outgoing) -> Result<EventId, PublishError> {
    let id = outgoing.envelope.metadata().id();
    match bus.backend().publish(outgoing).await {
        Ok(()) => Ok(id),
        Err(error) => Err(PublishError::from_backend(error, bus.name())),
    }
}
