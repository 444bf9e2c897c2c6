//! `EVENT_STRICT`: an event that a broker could not carry unchanged is refused on every backend.

use std::sync::Arc;

use crate::{
    backend::{Backend, Capabilities, Health, Outgoing, ServiceSubscriber, SubscriptionSpec},
    dead_letters::DeadLetterReader,
    delivery::Consumer,
    destination::Destination,
    envelope::{EventName, Payload},
    error::BackendError,
    in_flight::InFlight,
    maybe_ready::{BoxFuture, MaybeReady},
};

/// A backend before which every event is written as JSON and read again.
///
/// Inside one process, an event is never serialised, so that a value which has no JSON form, or one that reads back as
/// something else, would be found in production only.
#[derive(Debug)]
pub struct Strict {
    backend: Arc<dyn Backend>,
    max_payload_bytes: usize,
}

impl Strict {
    /// Proves what is published by `backend`, and that it is no larger than a broker would be given.
    pub fn new(backend: Arc<dyn Backend>, max_payload_bytes: usize) -> Self {
        Self { backend, max_payload_bytes }
    }

    fn prove(&self, event: &Outgoing) -> Result<(), BackendError> {
        let Payload::Typed(value) = event.envelope.payload() else { return Ok(()) };
        let name = event.envelope.metadata().name();
        let size = value.prove().map_err(|error| BackendError::encode(name, error))?;
        let limit = self.max_payload_bytes;
        if size > limit {
            let what = format!("refused {name}");
            let said = format!("its payload has {size} bytes, and at most {limit} are allowed");
            return Err(BackendError::too_large(what, said));
        }
        Ok(())
    }
}

impl Backend for Strict {
    fn capabilities(&self) -> Capabilities {
        self.backend.capabilities()
    }

    fn publish(&self, event: Outgoing) -> MaybeReady<'_, Result<(), BackendError>> {
        match self.prove(&event) {
            Ok(()) => self.backend.publish(event),
            Err(error) => MaybeReady::ready(Err(error)),
        }
    }

    fn publish_all<'a>(
        &'a self,
        events: &'a mut (dyn Iterator<Item = Outgoing> + Send),
    ) -> BoxFuture<'a, Vec<Result<(), BackendError>>> {
        Box::pin(async move {
            let mut refused = None;
            let mut proven = events.map_while(|event| match self.prove(&event) {
                Ok(()) => Some(event),
                Err(error) => {
                    refused = Some(error);
                    None
                }
            });
            let mut results = self.backend.publish_all(&mut proven).await;
            // It comes after the others, unless one of them has failed before.
            if results.last().is_none_or(Result::is_ok) {
                results.extend(refused.map(Err));
            }
            results
        })
    }

    fn subscribe(
        &self,
        spec: SubscriptionSpec,
    ) -> BoxFuture<'_, Result<Box<dyn Consumer>, BackendError>> {
        self.backend.subscribe(spec)
    }

    fn dead_letters(
        &self,
        subscribers: &[Arc<str>],
    ) -> BoxFuture<'_, Result<Box<dyn DeadLetterReader>, BackendError>> {
        self.backend.dead_letters(subscribers)
    }

    fn in_flight(&self) -> &InFlight {
        self.backend.in_flight()
    }

    fn destination(
        &self,
        event: &EventName,
        reader: Option<ServiceSubscriber<'_>>,
    ) -> Option<Destination> {
        self.backend.destination(event, reader)
    }

    fn drain(&self) {
        self.backend.drain();
    }

    fn health(&self) -> Health {
        self.backend.health()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), BackendError>> {
        self.backend.close()
    }
}
