//! The event that is being handled.

use std::{fmt, sync::Arc, time::SystemTime};

use aury_events_backends::{
    Envelope, EventId, EventName, Metadata,
    envelope::{TraceContext, TraceId},
};

use super::{Current, Handle, SubscriptionInfo};

/// The event that is being handled: its metadata, the attempt, and the subscriber.
///
/// Subscribers take it as a parameter. It can be kept and sent to other tasks, where [`Context::publish`] still
/// publishes as part of the chain.
///
/// ```
/// # use aury_events::prelude::*;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize, Event)] struct OrderCreated;
/// #[subscribe]
/// async fn audit(event: &OrderCreated, context: Context) {
///     println!("{} in trace {}", context.event_id(), context.trace().trace_id());
/// }
/// ```
#[derive(Clone)]
pub struct Context {
    envelope: Envelope,
    attempt: u32,
    subscription: Arc<SubscriptionInfo>,
    /// Keeps the buses running.
    handle: Arc<Handle>,
}

impl Context {
    /// The context of the event that the current task handles; `None` when it handles none, and when the buses have
    /// been abandoned.
    pub(crate) fn current() -> Option<Self> {
        let context = Current::read(|delivery, subscription| {
            let handle = subscription.core().handle()?;
            let (envelope, attempt) = (delivery.envelope().clone(), delivery.attempt());
            Some(Self { envelope, attempt, subscription: Arc::clone(subscription), handle })
        });
        context.flatten()
    }

    /// The id of the event.
    pub fn event_id(&self) -> EventId {
        self.metadata().id()
    }

    /// The name of the event.
    pub fn event_name(&self) -> &EventName {
        self.metadata().name()
    }

    /// When the event was published.
    pub fn time(&self) -> SystemTime {
        self.metadata().time()
    }

    /// The trace in which the event was published.
    pub fn trace(&self) -> TraceContext {
        self.metadata().trace()
    }

    /// The id of the event that started the chain.
    pub fn correlation_id(&self) -> EventId {
        self.metadata().correlation_id()
    }

    /// The id of the event whose handling published this one.
    pub fn causation_id(&self) -> Option<EventId> {
        self.metadata().causation_id()
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.metadata().header(name)
    }

    /// All that is known of the event.
    pub fn metadata(&self) -> &Metadata {
        self.envelope.metadata()
    }

    /// How many times this subscriber has been given the event, this time included: 1 at first.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The id of the subscriber.
    pub fn subscriber(&self) -> &str {
        self.subscription.id()
    }

    pub(crate) fn subscription(&self) -> &SubscriptionInfo {
        &self.subscription
    }

    pub(crate) fn handle(&self) -> &Arc<Handle> {
        &self.handle
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("metadata", self.metadata())
            .field("attempt", &self.attempt)
            .field("subscriber", &self.subscriber())
            .finish_non_exhaustive()
    }
}

/// The trace of the event that the current task is handling; `None` outside of handlers.
///
/// ```
/// assert_eq!(aury_events::trace_id(), None);
/// ```
pub fn trace_id() -> Option<TraceId> {
    Current::read(|delivery, _| delivery.metadata().trace().trace_id())
}
