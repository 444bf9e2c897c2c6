//! The event that is being handled.

use std::{
    cell::{Cell, RefCell},
    fmt,
    sync::Arc,
    time::SystemTime,
};

use aury_events_backends::{
    Delivery, Envelope, EventId, EventName, Metadata,
    envelope::{Cause, TraceContext, TraceId},
};

use crate::{
    bus::EventBus, declared::event::IntoEvent, error::PublishError, manager::EventBusManager,
    runtime::subscription::SubscriptionInfo,
};

tokio::task_local! {
    /// What the current task is handling.
    static CURRENT: Current;
}

/// What a subscription's loop is handling, one delivery after the other.
pub(crate) struct Current {
    subscription: Arc<SubscriptionInfo>,
    /// Borrowed for a moment only; no code of the application runs meanwhile.
    delivery: RefCell<Option<Delivery>>,
    /// Whether another delivery stands in for it, and the handler settles it.
    is_taken: Cell<bool>,
}

impl Current {
    /// Runs the loop of a subscription.
    pub(crate) async fn scope<T>(
        subscription: Arc<SubscriptionInfo>,
        dispatch: impl Future<Output = T>,
    ) -> T {
        CURRENT
            .scope(
                Self { subscription, delivery: RefCell::default(), is_taken: Cell::default() },
                dispatch,
            )
            .await
    }

    /// Makes it the delivery that the loop is handling.
    #[inline]
    pub(crate) fn begin(delivery: Delivery) {
        CURRENT.with(|current| {
            current.is_taken.set(false);
            *current.delivery.borrow_mut() = Some(delivery);
        });
    }

    /// Hands the delivery to the handler, and puts in its place what `stand_in` makes of its envelope and its attempt.
    /// `None` when that has been done.
    pub(crate) fn take(
        stand_in: impl FnOnce(&Envelope, u32) -> Delivery,
    ) -> Option<(Delivery, Arc<SubscriptionInfo>)> {
        let take = |current: &Self| {
            if current.is_taken.replace(true) {
                return None;
            }
            let mut slot = current.delivery.borrow_mut();
            let delivery = slot.as_mut()?;
            let stand_in = stand_in(delivery.envelope(), delivery.attempt());
            let taken = std::mem::replace(delivery, stand_in);
            Some((taken, Arc::clone(&current.subscription)))
        };
        CURRENT.try_with(take).ok().flatten()
    }

    /// Whether the handler has taken the delivery that the loop was handling, and settles it.
    pub(crate) fn is_taken() -> bool {
        CURRENT.with(|current| current.is_taken.get())
    }

    /// What is read off the delivery that the current task handles, if it handles one.
    #[inline]
    fn read<T>(read: impl FnOnce(&Delivery, &Arc<SubscriptionInfo>) -> T) -> Option<T> {
        let read = |current: &Self| {
            let delivery = current.delivery.borrow();
            delivery.as_ref().map(|delivery| read(delivery, &current.subscription))
        };
        CURRENT.try_with(read).ok().flatten()
    }

    /// What the event that the current task handles hands on to those published now; `None` outside of handlers.
    #[inline]
    pub(crate) fn cause() -> Option<Cause> {
        Self::read(|delivery, _| delivery.metadata().as_cause())
    }

    /// Takes back the delivery that the loop was handling.
    #[inline]
    pub(crate) fn end() -> Delivery {
        CURRENT
            .with(|current| current.delivery.borrow_mut().take())
            .expect("only the loop takes what it has put here")
    }
}

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
}

impl Context {
    /// The context of the event that the current task handles, if it handles one.
    pub(crate) fn current() -> Option<Self> {
        Current::read(|delivery, subscription| {
            let (envelope, attempt) = (delivery.envelope().clone(), delivery.attempt());
            Self { envelope, attempt, subscription: Arc::clone(subscription) }
        })
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

    /// The bus on which the event came.
    pub fn bus(&self) -> EventBus {
        self.subscription.bus().clone()
    }

    pub(crate) fn manager(&self) -> &EventBusManager {
        self.subscription.bus().manager()
    }

    pub(crate) fn is_of(&self, subscription: &SubscriptionInfo) -> bool {
        std::ptr::eq(&*self.subscription, subscription)
    }

    /// Publishes an event, caused by this one, on the bus that the event's type names.
    ///
    /// While the handler runs, [`aury_events::publish`](crate::publish) does the same; in a task that the handler has
    /// spawned, only this one keeps the chain.
    ///
    /// # Errors
    ///
    /// See [`PublishError`].
    pub async fn publish<T: IntoEvent>(&self, event: T) -> Result<EventId, PublishError> {
        let bus = self.manager().bus_of::<T::Event>()?;
        bus.event(event).caused_by(self).publish().await
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
    Context::current().map(|context| context.trace().trace_id())
}
