//! A bus as its manager keeps it.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use aury_events_backends::{Backend, Health, ReadyPublisher, SubscriptionHealth, Topic, kit::lock};
use tokio::task::JoinHandle;

use super::circuit_breaker::Breaker;

/// One bus: its backend, and the subscriptions that run on it.
pub(crate) struct BusCore {
    name: Arc<str>,
    backend: Arc<dyn Backend>,
    ready_publisher: Option<Arc<dyn ReadyPublisher>>,
    backend_name: String,
    /// Where its server is, without a password; none inside a process.
    address: Option<String>,
    is_remote: bool,
    shutdown_timeout: Duration,
    running: Mutex<Vec<Running>>,
    dynamic: Arc<Mutex<Dynamic>>,
}

/// A subscription that runs.
pub(crate) struct Running {
    /// Its own copy of the subscriber's id, which tells it apart from others of the same subscriber.
    pub(crate) id: Arc<str>,
    pub(crate) breaker: Option<Arc<Breaker>>,
    pub(crate) task: JoinHandle<()>,
}

/// What ids begin with that are made up at run time. No name does.
pub(crate) const DYNAMIC: &str = "dynamic::";

/// The subscriptions made at run time.
#[derive(Default)]
struct Dynamic {
    /// How many there were, to number them.
    made: u64,
    /// The ids of the latest, by which their dead letters are found also when they have ended.
    latest: VecDeque<Arc<str>>,
    /// The names given to those that run.
    names: BTreeSet<Arc<str>>,
}

/// The id of a subscription made at run time. If it was given as a name, nobody else gets it meanwhile.
pub(crate) struct DynamicId {
    id: Arc<str>,
    /// Where it is a name.
    named_in: Option<Arc<Mutex<Dynamic>>>,
}

impl DynamicId {
    pub(crate) fn get(&self) -> &Arc<str> {
        &self.id
    }
}

impl Drop for DynamicId {
    fn drop(&mut self) {
        if let Some(dynamic) = &self.named_in {
            lock(dynamic).names.remove(&self.id);
        }
    }
}

impl Dynamic {
    /// How many ids are kept: as many as there can be dead letters on `memory`.
    const KEPT: usize = 1024;

    /// An id for one more.
    fn next_id(&mut self, topic: &Topic) -> Arc<str> {
        self.made += 1;
        let id: Arc<str> = format!("{DYNAMIC}{topic}::{}", self.made).into();
        self.remember(&id);
        id
    }

    /// Whether the name is free, and is now taken.
    fn take_name(&mut self, name: &Arc<str>) -> bool {
        let is_free = self.names.insert(Arc::clone(name));
        if is_free {
            self.latest.retain(|known| known != name);
            self.remember(name);
        }
        is_free
    }

    fn remember(&mut self, id: &Arc<str>) {
        if self.latest.len() == Self::KEPT {
            self.latest.pop_front();
        }
        self.latest.push_back(Arc::clone(id));
    }
}

impl BusCore {
    pub(crate) fn new(
        name: Arc<str>,
        backend: Arc<dyn Backend>,
        backend_name: String,
        address: Option<String>,
        shutdown_timeout: Duration,
    ) -> Self {
        Self {
            name,
            is_remote: backend.capabilities().remote,
            ready_publisher: Arc::clone(&backend).ready_publisher(),
            backend,
            backend_name,
            address,
            shutdown_timeout,
            running: Mutex::default(),
            dynamic: Arc::default(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    #[inline]
    pub(crate) fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    /// The backend, to be shared.
    pub(crate) fn shared_backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    /// The backend's way of publishing without a box.
    #[inline]
    pub(crate) fn ready_publisher(&self) -> Option<&dyn ReadyPublisher> {
        self.ready_publisher.as_deref()
    }

    /// What selects the backend, as in `redis-streams`.
    pub(crate) fn backend_name(&self) -> &str {
        &self.backend_name
    }

    /// Where its server is, without a password; none inside a process.
    pub(crate) fn address(&self) -> Option<&str> {
        self.address.as_deref()
    }

    #[inline]
    pub(crate) fn is_remote(&self) -> bool {
        self.is_remote
    }

    pub(crate) fn shutdown_timeout(&self) -> Duration {
        self.shutdown_timeout
    }

    fn dynamic(&self) -> MutexGuard<'_, Dynamic> {
        lock(&self.dynamic)
    }

    fn running(&self) -> MutexGuard<'_, Vec<Running>> {
        lock(&self.running)
    }

    /// An id for one more subscription made at run time.
    pub(crate) fn next_dynamic_id(&self, topic: &Topic) -> DynamicId {
        DynamicId { id: self.dynamic().next_id(topic), named_in: None }
    }

    /// That name as the id of a subscription made at run time; `None` when another one has it.
    pub(crate) fn named_dynamic_id(&self, name: Arc<str>) -> Option<DynamicId> {
        let is_free = self.dynamic().take_name(&name);
        is_free.then(|| DynamicId { id: name, named_in: Some(Arc::clone(&self.dynamic)) })
    }

    /// Keeps a subscription that has been started.
    pub(crate) fn add_running(&self, subscription: Running) {
        let mut running = self.running();
        running.retain(|other| !other.task.is_finished());
        running.push(subscription);
    }

    /// All subscriptions that run, which the bus keeps no more.
    pub(crate) fn take_running(&self) -> Vec<Running> {
        std::mem::take(&mut *self.running())
    }

    /// Waits until the loop of a cancelled subscription has ended.
    pub(crate) async fn join(&self, id: &Arc<str>) {
        let task = {
            let mut running = self.running();
            let at = running.iter().position(|other| Arc::ptr_eq(&other.id, id));
            at.map(|at| running.swap_remove(at).task)
        };
        if let Some(task) = task {
            // Handlers' panics are caught in the loop; what else can end it is the end of the runtime.
            let _ = task.await;
        }
    }

    /// The ids of the subscribers that run here, or did.
    pub(crate) fn known_ids(&self) -> BTreeSet<Arc<str>> {
        let running: Vec<_> =
            self.running().iter().map(|running| Arc::clone(&running.id)).collect();
        running.into_iter().chain(self.dynamic().latest.iter().map(Arc::clone)).collect()
    }

    /// The health of the backend and of the subscriptions in this process.
    pub(crate) fn health(&self) -> Health {
        let mut health = self.backend.health();
        for running in &*self.running() {
            if running.breaker.as_deref().is_some_and(Breaker::is_paused) {
                let of = |s: &&mut SubscriptionHealth| s.subscriber == running.id;
                health.subscriptions.iter_mut().filter(of).for_each(|s| s.is_paused = true);
            }
        }
        health
    }
}
