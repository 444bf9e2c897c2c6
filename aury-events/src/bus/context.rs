//! The buses of the event that is being handled.

use super::{EventBus, Publish};
use crate::{
    declared::{Event, IntoEvent, Needs},
    error::BoxError,
    extract::Extractor,
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
    /// spawned, this one keeps the chain, and so does all that runs in [`scope`](Self::scope) or
    /// [`spawn`](Self::spawn).
    ///
    /// # Errors
    ///
    /// See [`PublishError`](crate::PublishError).
    pub fn publish<T: IntoEvent>(&self, event: T) -> Publish<T::Event> {
        let (handle, event) = (self.handle().clone(), event.into_event());
        match handle.index_of(T::Event::BUS) {
            Ok(index) => Publish::on(EventBus::new(handle, index), event).caused_by(self),
            Err(unknown) => Publish::on(self.bus(), event).nowhere(unknown),
        }
    }
}

/// The bus on which the event came.
impl Extractor for EventBus {
    async fn extract(context: &Context) -> Result<Self, BoxError> {
        Ok(context.bus())
    }

    fn needs(_: &mut Needs) {}
}
