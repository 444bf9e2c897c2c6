//! The buses of a process, from start to shutdown.

pub(crate) mod builder;
pub(crate) mod global;
pub(crate) mod startup;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use aury_events_backends::{BoxFuture, Health, IdempotencyStore, InFlight};
use tokio::{sync::watch, time::timeout};

use crate::{
    bus::{BusCore, EventBus},
    declared::catalogue::Catalogue,
    declared::event::Event,
    error::{BackendFailure, ShutdownError, UnknownBus},
    extract::States,
    manager::builder::EventBusManagerBuilder,
    runtime::circuit_breaker::{Breaker, Breakers},
    runtime::middleware::{Chain, Middleware},
    runtime::subscription::Running,
};

/// The buses of an application and the subscribers that it runs. Cheap to clone.
///
/// Started by [`init_from_env`](crate::init_from_env) for the whole process, or by [`builder`](Self::builder) where
/// more is to be said, or where several are to live side by side, as in tests.
///
/// Its subscribers run until [`shutdown`](Self::shutdown), or until the runtime ends.
#[derive(Clone)]
pub struct EventBusManager(Arc<ManagerCore>);

pub(crate) struct ManagerCore {
    pub(crate) buses: Vec<BusCore>,
    pub(crate) service: Arc<str>,
    pub(crate) source: &'static str,
    pub(crate) max_hops: u16,
    pub(crate) states: States,
    pub(crate) middleware: Chain,
    pub(crate) breakers: Breakers,
    pub(crate) idempotency: Box<dyn IdempotencyStore>,
    pub(crate) catalogue: Catalogue,
    /// Whether shutdown has begun.
    pub(crate) is_draining: watch::Sender<bool>,
    /// Whether everything has been shut down; held while that goes on.
    pub(crate) is_shut_down: tokio::sync::Mutex<bool>,
}

/// How long aborted handlers have to give way. One that blocks its thread does not, and is left behind.
const ABORT_LIMIT: Duration = Duration::from_secs(1);

impl EventBusManager {
    pub(crate) fn new(core: ManagerCore) -> Self {
        Self(Arc::new(core))
    }

    /// Starts to describe a manager.
    ///
    /// ```standalone_crate
    /// use aury_events::prelude::*;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), aury_events::Error> {
    /// let events = EventBusManager::builder()
    ///     .bus("domain", BusConfig::memory())
    ///     .state("anything that subscribers take as State<&'static str>")
    ///     .start()
    ///     .await?;
    /// assert_eq!(events.get_instance("domain")?.name(), "domain");
    /// events.shutdown().await?;
    /// # Ok(()) }
    /// ```
    pub fn builder() -> EventBusManagerBuilder {
        EventBusManagerBuilder::default()
    }

    /// The bus of that name.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn get_instance(&self, name: &str) -> Result<EventBus, UnknownBus> {
        match self.0.buses.iter().position(|bus| bus.name() == name) {
            Some(index) => Ok(EventBus::new(self.clone(), index)),
            None => Err(UnknownBus::among(name, self.0.buses.iter().map(BusCore::name))),
        }
    }

    /// The bus that is meant where none is named.
    pub fn default_bus(&self) -> EventBus {
        self.get_instance(crate::DEFAULT_BUS).expect("every manager has a default bus")
    }

    /// The bus that events of type `E` belong to.
    pub(crate) fn bus_of<E: Event>(&self) -> Result<EventBus, UnknownBus> {
        self.get_instance(E::BUS)
    }

    /// All buses, by name.
    pub fn instances(&self) -> impl Iterator<Item = EventBus> {
        (0..self.0.buses.len()).map(|index| EventBus::new(self.clone(), index))
    }

    /// How each bus is.
    pub fn health(&self) -> BTreeMap<String, Health> {
        self.instances().map(|bus| (bus.name().to_owned(), bus.health())).collect()
    }

    /// The events that the program declares, and the subscribers that this manager runs.
    pub fn catalogue(&self) -> &Catalogue {
        &self.0.catalogue
    }

    /// Ends everything in order: applications' publishes are refused from now on, what was accepted is handled, with
    /// all that subscribers publish meanwhile, and the connections are closed.
    ///
    /// It may take as long as the longest `SHUTDOWN_TIMEOUT` of the buses; what is not handled by then is aborted. A
    /// subscriber that calls it waits for itself, so it runs into that limit.
    ///
    /// Calling it again changes nothing. When the future is dropped, nothing is aborted, and a further call goes on.
    ///
    /// # Errors
    ///
    /// When something was left over: see [`ShutdownError::left`].
    pub async fn shutdown(&self) -> Result<(), ShutdownError> {
        self.boxed_shutdown().await
    }

    /// No `async fn`, as for the start.
    fn boxed_shutdown(&self) -> BoxFuture<'_, Result<(), ShutdownError>> {
        Box::pin(self.shut_down())
    }

    async fn shut_down(&self) -> Result<(), ShutdownError> {
        let mut is_shut_down = self.0.is_shut_down.lock().await;
        if *is_shut_down {
            return Ok(());
        }
        let buses = &self.0.buses;
        let limit = buses.iter().map(BusCore::shutdown_timeout).max().unwrap_or_default();
        buses.iter().for_each(|bus| bus.backend().drain());
        self.0.is_draining.send_replace(true);
        let in_flight: Vec<_> = buses.iter().map(|bus| bus.backend().in_flight().clone()).collect();
        let in_time = timeout(limit, InFlight::all_settled(&in_flight)).await.is_ok();
        let (left, delayed) = if in_time { (Vec::new(), 0) } else { self.unsettled() };

        let running: Vec<_> =
            buses.iter().flat_map(|bus| std::mem::take(&mut *bus.running())).collect();
        if !in_time {
            running.iter().for_each(|subscription| subscription.task.abort());
        }
        let mut failures = Vec::new();
        for bus in buses {
            if let Err(error) = bus.backend().close().await {
                failures.push(BackendFailure::new("close the connections", bus.name(), error));
            }
        }
        running
            .iter()
            .filter_map(|subscription| subscription.info.breaker())
            .for_each(Breaker::end);
        end(running).await;
        *is_shut_down = true;
        ShutdownError::new(limit, left, delayed, failures)
    }

    /// Ends all subscriptions where they are.
    pub(crate) fn abort(&self) {
        for bus in &self.0.buses {
            bus.running().drain(..).for_each(|subscription| subscription.task.abort());
        }
    }

    /// The subscribers that hold unsettled deliveries, with the number of these, and how many events wait for their
    /// delay to pass.
    fn unsettled(&self) -> (Vec<(String, u64)>, u64) {
        let health: Vec<_> = self.0.buses.iter().map(|bus| bus.backend().health()).collect();
        let subscriptions = health.iter().flat_map(|health| &health.subscriptions);
        let unsettled = subscriptions.filter(|subscription| subscription.in_flight > 0);
        let unsettled = unsettled.map(|s| (s.subscriber.to_string(), s.in_flight)).collect();
        (unsettled, health.iter().map(|health| health.delayed).sum())
    }

    #[inline]
    pub(crate) fn buses(&self) -> &[BusCore] {
        &self.0.buses
    }

    /// Whether shutdown has begun.
    pub(crate) fn draining(&self) -> watch::Receiver<bool> {
        self.0.is_draining.subscribe()
    }

    pub(crate) fn service(&self) -> &Arc<str> {
        &self.0.service
    }

    #[inline]
    pub(crate) fn source(&self) -> &'static str {
        self.0.source
    }

    pub(crate) fn max_hops(&self) -> u16 {
        self.0.max_hops
    }

    pub(crate) fn middleware(&self) -> &[Arc<dyn Middleware>] {
        self.0.middleware.as_slice()
    }

    pub(crate) fn breakers(&self) -> &Breakers {
        &self.0.breakers
    }

    pub(crate) fn idempotency(&self) -> &dyn IdempotencyStore {
        &*self.0.idempotency
    }

    pub(crate) fn states(&self) -> &States {
        &self.0.states
    }
}

/// Waits for the loops of closed or aborted subscriptions.
async fn end(running: Vec<Running>) {
    let ended = async {
        for subscription in running {
            // Its panics are caught; an abort is what was asked for.
            let _ = subscription.task.await;
        }
    };
    if timeout(ABORT_LIMIT, ended).await.is_err() {
        tracing::warn!(
            "a subscriber blocks its thread and could not be stopped; it is left behind"
        );
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
