//! The process-wide manager, for those who need no other.

use std::sync::RwLock;

use aury_events_backends::kit::{read, write};

use super::{EventBusManager, EventBusManagerBuilder};
use crate::{
    bus::{EventBus, Publish},
    declared::{DEFAULT_BUS, IntoEvent},
    error::{Error, UnknownBus},
    runtime::Current,
};

static MANAGER: RwLock<Option<EventBusManager>> = RwLock::new(None);

/// The manager of the process, unless its runtime has ended: then a new one may take its place.
fn running() -> Option<EventBusManager> {
    read(&MANAGER).clone().filter(|manager| !manager.0.async_runtime.has_ended())
}

/// Starts the buses that the environment describes, with all subscribers that are linked into the program, and makes
/// them the process's own: those of [`publish`], [`bus`] and [`default_bus`].
///
/// Without any `EVENT_*` variable, that is one bus inside the process. When it returns, every subscription is live: an
/// event published next is not missed. A broker that is late is waited for, up to `EVENT_CONNECT_TIMEOUT`.
///
/// Where more is to be said than the environment can say, such as the values that subscribers take as
/// [`State`](crate::State), use [`EventBusManager::builder`] with
/// [`from_env`](EventBusManagerBuilder::from_env) and [`init`](EventBusManagerBuilder::init).
///
/// # Errors
///
/// All problems at once, each with its place: see [`StartError`](crate::StartError). A second call in one process is an error.
pub async fn init_from_env() -> Result<EventBusManager, Error> {
    EventBusManager::builder().from_env().init().await
}

impl EventBusManagerBuilder {
    /// Starts the manager and makes it the process's own: that of [`aury_events::publish`](crate::publish).
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start); and when the process has its manager already, also one that has been shut down. Where the
    /// Tokio runtime has ended that it was started on, as with each `#[tokio::test]`, the new one takes its place.
    pub async fn init(self) -> Result<EventBusManager, Error> {
        if running().is_some() {
            return Err(Error::AlreadyInitialised);
        }
        let manager = self.start().await?;
        if !take_place(&manager) {
            // Another call was faster while this one connected.
            manager.shutdown().await?;
            return Err(Error::AlreadyInitialised);
        }
        Ok(manager)
    }
}

/// Makes it the manager of the process, if there is none whose runtime goes on.
fn take_place(manager: &EventBusManager) -> bool {
    let mut place = write(&MANAGER);
    if place.as_ref().is_some_and(|other| !other.0.async_runtime.has_ended()) {
        return false;
    }
    let ended = place.replace(manager.clone());
    drop(place);
    // What it held is let go of when others may look at the place.
    drop(ended);
    true
}

/// The manager of the event that the current task handles, else that of the process.
fn manager() -> Option<EventBusManager> {
    match Current::core() {
        Some(core) => core.handle().map(EventBusManager::new),
        None => read(&MANAGER).clone(),
    }
}

/// Publishes an event on the bus that its type names.
///
/// In a subscriber, that is a bus of the manager which runs it, and the event belongs to the chain of the one that is
/// being handled; elsewhere, a bus of the process: see [`init_from_env`]. What `Ok` means, and what cancelling does, is said at
/// [`EventBus::publish`].
///
/// # Errors
///
/// See [`PublishError`](crate::PublishError).
#[inline]
pub fn publish<T: IntoEvent>(event: T) -> Publish<T::Event> {
    Publish::on_found(bus, event.into_event())
}

/// The bus of that name: in a subscriber, of the manager which runs it; elsewhere, of the process.
///
/// # Errors
///
/// When there is none of that name, or nothing has been initialised.
pub fn bus(name: &str) -> Result<EventBus, UnknownBus> {
    match manager() {
        Some(manager) => manager.get_instance(name),
        None => Err(UnknownBus::not_initialised(name)),
    }
}

/// The bus that is meant where none is named: [`bus`]`("default")`.
///
/// # Errors
///
/// When nothing has been initialised.
pub fn default_bus() -> Result<EventBus, UnknownBus> {
    bus(DEFAULT_BUS)
}
