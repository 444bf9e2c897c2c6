//! The buses of a manager, and what keeps them running.

use std::{
    future::pending,
    ops::Deref,
    sync::{Arc, MutexGuard, Weak},
};

use aury_events_backends::{IdempotencyStore, kit::lock};
use tokio::{sync::Mutex, task::AbortHandle};

use super::{AsyncRuntime, BusCore, Ending, Middleware, States, circuit_breaker::Breakers};
use crate::{declared::Catalogue, error::UnknownBus};

/// The buses of a manager with what belongs to all of them.
///
/// The application holds it by a [`Handle`], which keeps it running. Everything that runs on its behalf holds the plain
/// core, so that no task keeps itself alive.
pub(crate) struct Core {
    pub(crate) buses: Vec<BusCore>,
    pub(crate) service: Arc<str>,
    pub(crate) source: &'static str,
    pub(crate) max_hops: u16,
    /// Whether the span of a handler is a child of the one that published the event.
    pub(crate) continue_traces: bool,
    pub(crate) states: States,
    /// The outermost first.
    pub(crate) middleware: Vec<Box<dyn Middleware>>,
    pub(crate) breakers: Breakers,
    pub(crate) idempotency: Box<dyn IdempotencyStore>,
    pub(crate) catalogue: Catalogue,
    pub(crate) async_runtime: AsyncRuntime,
    /// How far shutdown has come.
    pub(crate) ending: Ending,
    /// Whether everything has been shut down; held while that goes on.
    pub(crate) is_shut_down: Mutex<bool>,
    /// The tasks that handlers have spawned, by the ids of their subscribers.
    pub(crate) spawned: std::sync::Mutex<Vec<(String, AbortHandle)>>,
    /// What keeps it running.
    pub(crate) handle: Weak<Handle>,
}

impl Core {
    /// A handle for the application; `None` when the last one has been dropped, and all that runs is about to end.
    pub(crate) fn handle(&self) -> Option<Arc<Handle>> {
        self.handle.upgrade()
    }

    /// Never ends when the application has let go of it: the task that waits is about to be aborted, and what fails in
    /// it now is no failure of its subscriber.
    pub(crate) async fn stop_if_abandoned(&self) {
        if self.handle.strong_count() == 0 {
            pending().await
        }
    }

    /// Whether a delivery is in flight of an event that was published before the buses began to drain, or by the handler of
    /// such a one. As long as there is, they take what tasks publish that no handler owns.
    pub(crate) fn is_owned_in_flight(&self) -> bool {
        self.buses.iter().any(|bus| bus.backend().in_flight().owned() > 0)
    }

    /// The place of the bus of that name.
    pub(crate) fn index_of(&self, bus: &str) -> Result<usize, UnknownBus> {
        let index = self.buses.iter().position(|known| known.name() == bus);
        index.ok_or_else(|| UnknownBus::among(bus, self.buses.iter().map(BusCore::name)))
    }

    /// Keeps a task that a handler has spawned, to be ended with the buses.
    pub(crate) fn add_spawned(&self, subscriber: &str, task: AbortHandle) {
        let mut spawned = self.spawned();
        spawned.retain(|(_, task)| !task.is_finished());
        spawned.push((subscriber.to_owned(), task));
    }

    fn spawned(&self) -> MutexGuard<'_, Vec<(String, AbortHandle)>> {
        lock(&self.spawned)
    }

    /// Ends the tasks that handlers have spawned. Gives whose they were.
    pub(crate) fn abort_spawned(&self) -> Vec<String> {
        let spawned = std::mem::take(&mut *self.spawned());
        let left = spawned.into_iter().filter(|(_, task)| !task.is_finished());
        left.map(|(subscriber, task)| {
            task.abort();
            subscriber
        })
        .collect()
    }

    /// Ends what runs, and says nothing of it: the start has failed.
    pub(crate) fn give_up(&self) {
        self.abort();
        if let Ok(mut is_shut_down) = self.is_shut_down.try_lock() {
            *is_shut_down = true;
        }
    }

    /// Ends all subscriptions where they are. Gives how many there were.
    fn abort(&self) -> usize {
        let running = self.buses.iter().flat_map(BusCore::take_running);
        let running = running.filter(|subscription| !subscription.task.is_finished());
        running.map(|subscription| subscription.task.abort()).count()
    }

    /// Ends what runs when nobody can reach it any more. Connections end with the core, when the last subscription has
    /// let go of it.
    fn abandon(&self) {
        let is_shut_down = self.is_shut_down.try_lock().is_ok_and(|is_shut_down| *is_shut_down);
        let unsettled: u64 = self.buses.iter().map(|bus| bus.backend().in_flight().count()).sum();
        let subscriptions = self.abort();
        if !is_shut_down && (subscriptions > 0 || unsettled > 0) {
            tracing::warn!(
                service = &*self.service,
                subscriptions,
                unsettled,
                "the last handle of the event buses was dropped without a shutdown: {subscriptions} subscriptions end, \
                 and {unsettled} deliveries are not settled; call `shutdown().await` first"
            );
        }
    }
}

/// Keeps the buses running: one for the application as a whole, shared by all that it holds. They end with it.
pub(crate) struct Handle(Arc<Core>);

impl Handle {
    /// `core` makes the core, which knows its handle.
    pub(crate) fn new(core: impl FnOnce(Weak<Self>) -> Core) -> Arc<Self> {
        let handle = Arc::new_cyclic(|handle| Self(Arc::new(core(Weak::clone(handle)))));
        handle.async_runtime.runs(Arc::downgrade(&handle.0));
        handle
    }

    /// The core for what runs on its behalf.
    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.0
    }
}

impl Deref for Handle {
    type Target = Core;

    #[inline]
    fn deref(&self) -> &Core {
        &self.0
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.abandon();
    }
}
