//! What subscribers could not handle.

use aury_events_backends::DeadLetter;

use crate::{
    bus::EventBus,
    error::{BackendFailure, Error},
};

/// The dead letters of a bus: events that a subscriber could not handle, kept with the reason.
///
/// On `memory`, the latest 1024.
#[derive(Debug, Clone, Copy)]
pub struct DeadLetters<'a> {
    bus: &'a EventBus,
}

impl<'a> DeadLetters<'a> {
    pub(crate) fn new(bus: &'a EventBus) -> Self {
        Self { bus }
    }

    /// All that are kept, the oldest first.
    ///
    /// # Errors
    ///
    /// When the backend cannot be reached.
    pub async fn list(&self) -> Result<Vec<DeadLetter>, Error> {
        let listed = self.bus.backend().dead_letters().await;
        Ok(listed.map_err(|source| {
            BackendFailure::new("list the dead letters", self.bus.name(), source)
        })?)
    }
}
