//! From an event to the backend.

use std::{fmt, sync::Arc};

use aury_events_backends::{
    Envelope, EventId, Metadata, Origin, Outgoing, Payload, envelope::SharedStr,
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
    cause: Option<&'a Context>,
    key: Option<SharedStr>,
    headers: Vec<(SharedStr, SharedStr)>,
}

impl<'a, E: Event> Publish<'a, E> {
    pub(crate) fn new(bus: &'a EventBus, event: Arc<E>) -> Self {
        Self {
            bus,
            event,
            cause: None,
            key: None,
            headers: Vec::new(),
        }
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
    pub fn caused_by(mut self, context: &'a Context) -> Self {
        self.cause = Some(context);
        self
    }

    /// Publishes the event.
    ///
    /// # Errors
    ///
    /// See [`PublishError`].
    pub async fn publish(self) -> Result<EventId, PublishError> {
        let Self {
            bus,
            event,
            cause,
            key,
            headers,
        } = self;
        let mut outgoing = match cause {
            Some(cause) => outgoing(bus, event, Some(cause))?,
            None => Context::with_current(|current| outgoing(bus, event, current))?,
        };
        let mut metadata = outgoing.envelope.metadata;
        if let Some(key) = key {
            metadata = metadata.with_key(key);
        }
        for (name, value) in headers {
            metadata = metadata.with_header(name, value);
        }
        outgoing.envelope.metadata = metadata;
        send(bus, outgoing).await
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

/// Hands an event to the bus's backend.
pub(crate) async fn send(bus: &EventBus, outgoing: Outgoing) -> Result<EventId, PublishError> {
    let id = outgoing.envelope.metadata.id().clone();
    match bus.backend().publish(outgoing).await {
        Ok(()) => Ok(id),
        Err(error) => Err(PublishError::from_backend(error, bus.name())),
    }
}

/// Puts an event into its envelope: what it is caused by makes it part of a chain.
pub(crate) fn outgoing<E: Event>(
    bus: &EventBus,
    event: Arc<E>,
    cause: Option<&Context>,
) -> Result<Outgoing, PublishError> {
    let (name, source) = (name_of::<E>(), bus.manager().source());
    let (mut metadata, origin) = match cause {
        None => (
            Metadata::root(name, E::VERSION, source),
            Origin::Application,
        ),
        Some(context) => {
            let metadata = context.metadata().caused(name, E::VERSION, source);
            if metadata.hops() > bus.manager().max_hops() {
                return Err(PublishError::event_loop(&metadata, context));
            }
            (metadata, Origin::Handler)
        }
    };
    if bus.is_remote()
        && let Some(key) = event.key()
    {
        metadata = metadata.with_key(&*key);
    }
    let payload = Payload::Typed(E::into_payload(event));
    Ok(Outgoing {
        envelope: Envelope { metadata, payload },
        origin,
    })
}
