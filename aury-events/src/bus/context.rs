//! The buses of the event that is being handled.

use aury_events_backends::EventId;

use super::EventBus;
use crate::{
    declared::{Event, IntoEvent},
    error::{BoxError, PublishError},
    extract::FromContext,
    runtime::Context,
};

impl Context {
    /// The bus on which the event came.
    pub fn bus(&self) -> EventBus {
        EventBus::new(self.handle().clone(), self.subscription().bus_index())
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
        let index = self.handle().index_of(T::Event::BUS)?;
        let bus = EventBus::new(self.handle().clone(), index);
        bus.event(event).caused_by(self).publish().await
    }
}

/// The bus on which the event came.
impl FromContext for EventBus {
    fn from_context(context: &Context) -> Result<Self, BoxError> {
        Ok(context.bus())
    }
}
