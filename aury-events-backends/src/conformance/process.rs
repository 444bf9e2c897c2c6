//! A process of a service, as far as it is one connection to a backend, and the events that it publishes.

use std::sync::Arc;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{ledger::Ledger, subscriber::Subscriber, wait::in_time};
use crate::{
    backend::{Backend, Origin, Outgoing, SubscriptionSpec},
    envelope::{Envelope, EventId, EventName, Payload, Topic},
    error::BackendError,
};

/// What the suite's events carry as their source.
pub(super) const SOURCE: &str = "/conformance";

/// The event that most checks publish.
pub(super) const ORDER_CREATED: EventName = EventName::from_static("order.created");

/// The data of the suite's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Numbered {
    pub(super) publisher: u32,
    pub(super) number: u32,
}

/// An event that is made now.
pub(super) fn event(
    name: &EventName,
    payload: impl Serialize + DeserializeOwned + Send + Sync + 'static,
) -> Envelope {
    Envelope::published(name.clone(), 1, SOURCE, None, Payload::Typed(Arc::new(payload)))
}

/// `order.created` with that number.
pub(super) fn order(number: u32) -> Envelope {
    event(&ORDER_CREATED, Numbered { publisher: 0, number })
}

#[derive(Clone)]
pub(super) struct Process {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) service: Arc<str>,
}

impl Process {
    /// Subscribes to `order.created`.
    pub(super) async fn subscribe(&self, subscriber: &str) -> Subscriber {
        self.subscribe_to(subscriber, Topic::Event(ORDER_CREATED)).await
    }

    pub(super) async fn subscribe_to(&self, subscriber: &str, topic: Topic) -> Subscriber {
        self.subscribe_as(self.spec(subscriber, topic)).await
    }

    pub(super) fn spec(&self, subscriber: &str, topic: Topic) -> SubscriptionSpec {
        SubscriptionSpec::new(subscriber, topic, Arc::clone(&self.service))
    }

    pub(super) async fn subscribe_as(&self, spec: SubscriptionSpec) -> Subscriber {
        let subscriber = Arc::clone(&spec.subscriber);
        let subscribing = in_time("a subscription", self.backend.subscribe(spec));
        let consumer = subscribing.await.unwrap_or_else(|error| panic!("subscribe: {error:?}"));
        Subscriber::new(subscriber, consumer, Arc::clone(&self.backend))
    }

    /// Publishes `order.created` with that number.
    pub(super) async fn publish(&self, number: u32) -> EventId {
        self.publish_event(order(number)).await
    }

    pub(super) async fn publish_event(&self, event: Envelope) -> EventId {
        let id = event.metadata().id();
        let published = in_time("a confirmation", self.try_publish(event)).await;
        published.unwrap_or_else(|error| panic!("publish: {error:?}"));
        id
    }

    pub(super) async fn try_publish(&self, envelope: Envelope) -> Result<(), BackendError> {
        self.publish_from(Origin::Application, envelope).await
    }

    pub(super) async fn publish_from(
        &self,
        origin: Origin,
        envelope: Envelope,
    ) -> Result<(), BackendError> {
        self.backend.publish(Outgoing { envelope, origin, delay: None }).await
    }

    /// Publishes an event and enters the result.
    pub(super) async fn publish_into(
        &self,
        ledger: &Ledger,
        envelope: Envelope,
    ) -> Result<(), BackendError> {
        let id = envelope.metadata().id();
        let published = self.try_publish(envelope).await;
        if published.is_ok() {
            ledger.confirmed(id);
        } else {
            ledger.doubtful(id);
        }
        published
    }

    /// Waits until this process holds nothing.
    pub(super) async fn settled(&self) {
        in_time("nothing is in flight", self.backend.in_flight().settled()).await;
    }

    pub(super) async fn close(&self) {
        let closed = in_time("the bus is closed", self.backend.close()).await;
        closed.unwrap_or_else(|error| panic!("close: {error:?}"));
    }
}
