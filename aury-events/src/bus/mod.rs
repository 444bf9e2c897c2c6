//! One bus: a named instance with one backend.

pub(crate) mod dead_letters;
pub(crate) mod publish;

use std::{
    collections::{BTreeSet, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aury_events_backends::{
    Backend, BoxFuture, Consumer, EventId, EventName, Health, SubscriptionHealth, SubscriptionSpec,
    Topic, envelope::Pattern,
};

use crate::{
    bus::dead_letters::DeadLetters,
    bus::publish::Publish,
    declared::event::{Event, IntoEvent},
    dispatch,
    dispatch::subscriber::SubscriberEntry,
    error::{BackendFailure, PublishAllError, PublishError, SubscribeError},
    extract::any_event::AnyEvent,
    manager::EventBusManager,
    runtime::circuit_breaker::{Breaker, Guarded},
    runtime::context::Current,
    runtime::subscription::{
        Closure, EventHandler, Running, Subscription, SubscriptionInfo, TypedInput,
    },
};

/// The name of the bus that is meant where none is named.
pub const DEFAULT_BUS: &str = "default";

/// A handle to one bus. Cheap to clone.
///
/// A bus belongs to an [`EventBusManager`] and is got from there; in a subscriber, it is a parameter.
#[derive(Clone)]
pub struct EventBus {
    manager: EventBusManager,
    /// Its place among the manager's buses.
    index: usize,
}

/// A bus as its manager keeps it.
pub(crate) struct BusCore {
    name: Arc<str>,
    backend: Arc<dyn Backend>,
    backend_name: String,
    is_remote: bool,
    shutdown_timeout: Duration,
    running: Mutex<Vec<Running>>,
    dynamic: Mutex<Dynamic>,
}

/// The subscriptions made at run time.
#[derive(Default)]
struct Dynamic {
    /// How many there were, to number them.
    made: u64,
    /// The ids of the latest, by which their dead letters are found also when they have ended.
    latest: VecDeque<Arc<str>>,
}

impl Dynamic {
    /// How many ids are kept: as many as there can be dead letters on `memory`.
    const KEPT: usize = 1024;

    /// An id for one more.
    fn next_id(&mut self, topic: &Topic) -> Arc<str> {
        self.made += 1;
        let id: Arc<str> = format!("dynamic::{topic}::{}", self.made).into();
        if self.latest.len() == Self::KEPT {
            self.latest.pop_front();
        }
        self.latest.push_back(Arc::clone(&id));
        id
    }
}

impl BusCore {
    pub(crate) fn new(
        name: Arc<str>,
        backend: Arc<dyn Backend>,
        backend_name: String,
        shutdown_timeout: Duration,
    ) -> Self {
        Self {
            name,
            is_remote: backend.capabilities().remote,
            backend,
            backend_name,
            shutdown_timeout,
            running: Mutex::default(),
            dynamic: Mutex::default(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    #[inline]
    pub(crate) fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    pub(crate) fn shutdown_timeout(&self) -> Duration {
        self.shutdown_timeout
    }

    fn dynamic(&self) -> MutexGuard<'_, Dynamic> {
        self.dynamic.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn running(&self) -> MutexGuard<'_, Vec<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of an event type, checked while compiling.
pub(crate) fn name_of<E: Event>() -> EventName {
    const { EventName::from_static(E::NAME) }
}

impl EventBus {
    pub(crate) fn new(manager: EventBusManager, index: usize) -> Self {
        Self { manager, index }
    }

    #[inline]
    fn core(&self) -> &BusCore {
        &self.manager.buses()[self.index]
    }

    #[inline]
    pub(crate) fn backend(&self) -> &dyn Backend {
        self.core().backend()
    }

    /// What selects the backend, as in `redis-streams`.
    pub(crate) fn backend_name(&self) -> &str {
        &self.core().backend_name
    }

    #[inline]
    pub(crate) fn is_remote(&self) -> bool {
        self.core().is_remote
    }

    #[inline]
    pub(crate) fn manager(&self) -> &EventBusManager {
        &self.manager
    }

    /// The name of the bus.
    pub fn name(&self) -> &str {
        self.core().name()
    }

    /// Publishes an event on this bus, whatever bus its type names.
    ///
    /// `Ok` means: on `memory`, that it is in the queue of every subscriber here; on `redis`, that the server took it;
    /// on `redis-streams` and `rabbitmq`, that the server holds it and confirmed it. While the queue of a subscriber in
    /// this process is full, an application waits for a place in it; a subscriber that publishes never does.
    ///
    /// A publish by a subscriber belongs to the chain of the event that it handles: the same trace and correlation id.
    ///
    /// Cancelling it leaves it open which subscribers the event reaches. A caller who must keep the event on error
    /// passes an [`Arc`].
    ///
    /// # Errors
    ///
    /// See [`PublishError`].
    pub async fn publish<T: IntoEvent>(&self, event: T) -> Result<EventId, PublishError> {
        let event = event.into_event();
        let cause = Current::cause();
        publish::check_hops::<T::Event>(self, cause.as_ref())?;
        publish::send(self, publish::outgoing(self, event, cause.as_ref())).await
    }

    /// Publishes many events of one type, in order, as fast as the backend takes them. Gives their ids in the same
    /// order.
    ///
    /// # Errors
    ///
    /// It stops at the first failure; the error says how far it came. Events that were under way with the failed one
    /// may have been published.
    pub async fn publish_all<I>(&self, events: I) -> Result<Vec<EventId>, PublishAllError>
    where
        I: IntoIterator<Item: IntoEvent, IntoIter: Send>,
    {
        let cause = Current::cause();
        let check = publish::check_hops::<<I::Item as IntoEvent>::Event>(self, cause.as_ref());
        check.map_err(|error| PublishAllError::new(Vec::new(), error))?;
        let mut ids = Vec::new();
        let mut outgoing = events.into_iter().map(|event| {
            let outgoing = publish::outgoing(self, event.into_event(), cause.as_ref());
            ids.push(outgoing.envelope.metadata().id());
            outgoing
        });
        let results = self.backend().publish_all(&mut outgoing).await;
        match results.into_iter().enumerate().find_map(|(at, result)| Some((at, result.err()?))) {
            None => Ok(ids),
            Some((at, error)) => {
                ids.truncate(at);
                Err(PublishAllError::new(ids, PublishError::from_backend(error, self.name())))
            }
        }
    }

    /// An event with what goes along, to be published: headers, a key, a delay.
    ///
    /// ```
    /// # use aury_events::prelude::*;
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize, Event)] struct OrderCreated;
    /// # async fn f(bus: EventBus) -> Result<(), aury_events::Error> {
    /// bus.event(OrderCreated).header("tenant", "acme").publish().await?;
    /// # Ok(()) }
    /// ```
    pub fn event<T: IntoEvent>(&self, event: T) -> Publish<'_, T::Event> {
        Publish::new(self, event.into_event())
    }

    /// Subscribes a closure to the events of one type, in this process, until
    /// [`unsubscribe`](Subscription::unsubscribe).
    ///
    /// The event type is that of the closure's first parameter, an `Arc<E>`; a second one may be the
    /// [`Context`](crate::Context). When it returns, the subscription is live.
    ///
    /// ```
    /// # use aury_events::prelude::*;
    /// # use serde::{Deserialize, Serialize};
    /// # use std::sync::Arc;
    /// # #[derive(Serialize, Deserialize, Event)] struct OrderCreated { amount: f64 }
    /// # async fn f(bus: EventBus) -> Result<(), aury_events::Error> {
    /// let subscription = bus
    ///     .subscribe(|event: Arc<OrderCreated>| async move { println!("{}", event.amount) })
    ///     .await?;
    /// subscription.unsubscribe().await;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// When the bus has been shut down, or the backend cannot be reached.
    pub async fn subscribe<P, F>(&self, handler: F) -> Result<Subscription, SubscribeError>
    where
        P: 'static,
        F: EventHandler<P, Input: TypedInput>,
    {
        self.subscribe_closure(F::Input::topic(), handler).await
    }

    /// Subscribes a closure over [`AnyEvent`] to all events whose names match a pattern: dot-separated segments, `*` for
    /// exactly one segment, `#` for any number of them.
    ///
    /// # Errors
    ///
    /// As [`subscribe`](Self::subscribe); and when `pattern` is none, or the backend has no patterns.
    pub async fn subscribe_pattern<P, F>(
        &self,
        pattern: &str,
        handler: F,
    ) -> Result<Subscription, SubscribeError>
    where
        P: 'static,
        F: EventHandler<P, Input = AnyEvent>,
    {
        let pattern = Pattern::parse(pattern)
            .map_err(|source| SubscribeError::invalid_pattern(pattern, source))?;
        if !self.backend().capabilities().patterns {
            return Err(SubscribeError::no_patterns(self.name(), pattern));
        }
        self.subscribe_closure(Topic::Pattern(pattern), handler).await
    }

    async fn subscribe_closure<P, F>(
        &self,
        topic: Topic,
        closure: F,
    ) -> Result<Subscription, SubscribeError>
    where
        P: 'static,
        F: EventHandler<P>,
    {
        let id = self.core().dynamic().next_id(&topic);
        let spec = SubscriptionSpec::new(id, topic, self.manager.service().clone());
        let handler = Closure::<P, F>::new(closure);
        let serve = |consumer, info| dispatch::run(handler, consumer, info);
        Ok(self.start(spec.broadcast(), serve).await?)
    }

    /// Starts the subscription of a subscriber known at link time.
    pub(crate) async fn start_linked(
        &self,
        entry: &'static SubscriberEntry,
    ) -> Result<(), BackendFailure> {
        let mut spec =
            SubscriptionSpec::new(entry.id, entry.topic.to_topic(), self.manager.service().clone());
        spec.concurrency = entry.options.deliveries_at_a_time();
        if entry.options.broadcast {
            spec = spec.broadcast();
        }
        self.start(spec, |consumer, info| entry.run(consumer, info)).await.map(drop)
    }

    async fn start(
        &self,
        spec: SubscriptionSpec,
        serve: impl FnOnce(Box<dyn Consumer>, Arc<SubscriptionInfo>) -> BoxFuture<'static, ()>,
    ) -> Result<Subscription, BackendFailure> {
        let id = Arc::clone(&spec.subscriber);
        let consumer = self.backend().subscribe(spec).await;
        let consumer = consumer.map_err(|error| {
            BackendFailure::new(format!("subscribe `{id}`"), self.name(), error)
        })?;
        let canceller = consumer.canceller();
        let breaker = self.manager.breakers().of(&id);
        let consumer = match &breaker {
            None => consumer,
            Some(breaker) => Box::new(Guarded::new(consumer, Arc::clone(breaker))),
        };
        let info = Arc::new(SubscriptionInfo::new(id, self.clone(), breaker));
        let task = tokio::spawn(serve(consumer, Arc::clone(&info)));

        let mut running = self.core().running();
        running.retain(|other| !other.task.is_finished());
        running.push(Running { info: Arc::clone(&info), task });
        drop(running);
        Ok(Subscription::new(info, canceller))
    }

    /// Waits until the loop of a cancelled subscription has ended.
    pub(crate) async fn join(&self, info: &Arc<SubscriptionInfo>) {
        let task = {
            let mut running = self.core().running();
            let at = running.iter().position(|other| Arc::ptr_eq(&other.info, info));
            at.map(|at| running.swap_remove(at).task)
        };
        if let Some(task) = task {
            // Handlers' panics are caught in the loop; what else can end it is the end of the runtime.
            let _ = task.await;
        }
    }

    /// What subscribers of this bus could not handle: to be listed, replayed or purged.
    pub fn dead_letters(&self) -> DeadLetters {
        DeadLetters::new(self.clone())
    }

    /// The ids of all subscribers of this bus that the program knows, whether they run in this process or not.
    pub(crate) fn known_subscribers(&self) -> BTreeSet<Arc<str>> {
        let linked = SubscriberEntry::all().into_iter().filter(|entry| entry.bus == self.name());
        let mut known: BTreeSet<Arc<str>> = linked.map(|entry| entry.id.into()).collect();
        known.extend(self.core().running().iter().map(|running| running.info.id().into()));
        known.extend(self.core().dynamic().latest.iter().map(Arc::clone));
        known
    }

    /// How the backend and the subscriptions in this process are.
    pub fn health(&self) -> Health {
        let mut health = self.backend().health();
        for running in &*self.core().running() {
            if running.info.breaker().is_some_and(Breaker::is_paused) {
                let of = |s: &&mut SubscriptionHealth| *s.subscriber == *running.info.id();
                health.subscriptions.iter_mut().filter(of).for_each(|s| s.is_paused = true);
            }
        }
        health
    }

    /// Waits until everything that has reached this process is handled, what subscribers publish meanwhile included.
    ///
    /// On `memory`, that includes what waits for another attempt and what was published with a delay: it waits as long
    /// as they do. On the others, what waits on the server has not reached this process.
    ///
    /// Other publishers go on meanwhile, so it is of use where the caller knows that there are none: in tests, in batch
    /// programs. Called by a subscriber, it would wait for itself.
    ///
    /// Cancel safe.
    pub async fn settled(&self) {
        self.backend().in_flight().settled().await;
    }
}

impl fmt::Debug for EventBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventBus")
            .field("name", &self.name())
            .field("backend", &self.backend())
            .finish_non_exhaustive()
    }
}
