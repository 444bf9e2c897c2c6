//! The event that is being handled.

use std::{fmt, sync::Arc, time::SystemTime};

use aury_events_backends::{
    Delivery, Envelope, EventId, EventName, Metadata,
    envelope::{TraceContext, TraceId},
};

use tokio::task::JoinHandle;
use tracing::{Instrument, Span};

use super::{Current, Handle, SubscriptionInfo};
use crate::error::BoxError;

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
///     println!("{} in trace {}", context.event_id(), context.trace_id());
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
        Current::read(Self::of).flatten()
    }

    fn of(delivery: &Delivery, subscription: &Arc<SubscriptionInfo>) -> Option<Self> {
        let handle = subscription.core().handle()?;
        let (envelope, attempt) = (delivery.envelope().clone(), delivery.attempt());
        Some(Self { envelope, attempt, subscription: Arc::clone(subscription), handle })
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

    /// The id of the trace in which the event was published.
    pub fn trace_id(&self) -> TraceId {
        self.trace().trace_id()
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

    /// Runs a future as part of the handling of this event, wherever it is awaited: what it publishes belongs to the
    /// chain, and [`aury_events::publish`](crate::publish) and [`aury_events::bus`](crate::bus) mean the buses of this
    /// event, as they do in the handler.
    ///
    /// For the branches of a `JoinSet`, a `select!` in another task, or a callback that runs later:
    ///
    /// ```
    /// # use aury_events::prelude::*;
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize, Event)] struct OrderCreated;
    /// # #[derive(Serialize, Deserialize, Event)] struct ItemReserved;
    /// #[subscribe]
    /// async fn reserve(event: &OrderCreated, context: Context) {
    ///     let mut items = tokio::task::JoinSet::new();
    ///     for _ in 0..3 {
    ///         items.spawn(context.scope(async { aury_events::publish(ItemReserved).await }));
    ///     }
    ///     items.join_all().await;
    /// }
    /// ```
    ///
    /// It does not settle the event, and a shutdown does not wait for it: see [`spawn`](Self::spawn).
    pub fn scope<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        Current::adopt(self.clone(), future.instrument(Span::current()))
    }

    /// Spawns a task as part of the handling of this event: see [`scope`](Self::scope).
    ///
    /// It counts as in flight until it ends, also when the handler has returned: a shutdown waits for it, up to its
    /// limit, and then aborts it and counts it in [`ShutdownError::left`](crate::ShutdownError::left). What becomes of
    /// the event does not depend on it, unless the handler awaits it.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        let in_flight = self.subscription.bus().backend().in_flight().tally();
        in_flight.accept();
        let future = self.scope(future);
        let task = tokio::spawn(async move {
            // Dropped with the task, it no longer counts.
            let _in_flight = in_flight;
            future.await
        });
        self.subscription.core().add_spawned(self.subscriber(), task.abort_handle());
        task
    }

    pub(super) fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    pub(crate) fn subscription(&self) -> &Arc<SubscriptionInfo> {
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

/// A delivery that no handler has been called for yet.
#[derive(Debug)]
pub struct Received<'a> {
    pub(crate) delivery: &'a Delivery,
    pub(crate) info: &'a Arc<SubscriptionInfo>,
}

impl Received<'_> {
    /// The context of the event.
    ///
    /// # Errors
    ///
    /// When the buses have been abandoned.
    pub fn context(&self) -> Result<Context, BoxError> {
        let context = Context::of(self.delivery, self.info);
        context.ok_or_else(|| "the buses of this event have ended".into())
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
