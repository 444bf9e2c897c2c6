//! The buses of a process, from start to shutdown.

mod builder;
mod global;
mod shutdown;
mod startup;

use std::{collections::BTreeMap, fmt, sync::Arc};

use aury_events_backends::Health;

pub use self::{
    builder::EventBusManagerBuilder,
    global::{bus, default_bus, init_from_env, publish},
};
use crate::{
    bus::EventBus,
    declared::{Catalogue, DEFAULT_BUS},
    error::UnknownBus,
    runtime::{BusCore, Handle},
};

/// The buses of an application and the subscribers that it runs. Cheap to clone.
///
/// Started by [`init_from_env`](crate::init_from_env) for the whole process, or by [`builder`](Self::builder) where
/// more is to be said, or where several are to live side by side, as in tests.
///
/// Its subscribers run until [`shutdown`](Self::shutdown), or until the runtime ends, or until the last handle is
/// dropped: managers, buses, contexts, and subscriptions made at run time. Then everything ends where it is, connections
/// included, and one line in the log counts what was left.
#[derive(Clone)]
pub struct EventBusManager(Arc<Handle>);

impl EventBusManager {
    pub(crate) fn new(handle: Arc<Handle>) -> Self {
        Self(handle)
    }

    /// The bus of that name.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn get_instance(&self, name: &str) -> Result<EventBus, UnknownBus> {
        Ok(EventBus::new(Arc::clone(&self.0), self.0.index_of(name)?))
    }

    /// The bus that is meant where none is named.
    pub fn default_bus(&self) -> EventBus {
        self.get_instance(DEFAULT_BUS).expect("every manager has a default bus")
    }

    /// All buses, by name.
    pub fn instances(&self) -> impl Iterator<Item = EventBus> {
        (0..self.0.buses.len()).map(|index| EventBus::new(Arc::clone(&self.0), index))
    }

    /// How each bus is.
    pub fn health(&self) -> BTreeMap<String, Health> {
        self.instances().map(|bus| (bus.name().to_owned(), bus.health())).collect()
    }

    /// The events that the program declares, and the subscribers that this manager runs.
    pub fn catalogue(&self) -> &Catalogue {
        &self.0.catalogue
    }
}

impl fmt::Debug for EventBusManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventBusManager")
            .field("buses", &self.0.buses.iter().map(BusCore::name).collect::<Vec<_>>())
            .field("service", &self.0.service)
            .finish_non_exhaustive()
    }
}
