//! One bus: a named instance with one backend.

mod context;
mod dead_letters;
mod publish;
mod subscribe;

use std::{fmt, sync::Arc};

use aury_events_backends::{Backend, BackendError, EventId, Health, Topic, envelope::Pattern};

pub use self::{dead_letters::DeadLetters, publish::Publish, subscribe::Subscribe};
use crate::{
    declared::IntoEvent,
    dispatch::{EventHandler, EventInput},
    error::{PublishAllError, PublishError, SubscribeError},
    extract::AnyEvent,
    runtime::{BusCore, Current, Handle},
};

/// A handle to one bus. Cheap to clone.
///
/// A bus belongs to an [`EventBusManager`](crate::EventBusManager), which hands it out; in a subscriber, it is a parameter.
#[derive(Clone)]
pub struct EventBus {
    /// Keeps the buses running.
    handle: Arc<Handle>,
    /// Its place among them.
    index: usize,
}

impl EventBus {
    pub(crate) fn new(handle: Arc<Handle>, index: usize) -> Self {
        Self { handle, index }
    }

    #[inline]
    fn core(&self) -> &BusCore {
        &self.handle.buses[self.index]
    }

    #[inline]
    pub(crate) fn backend(&self) -> &dyn Backend {
        self.core().backend()
    }

    pub(super) fn service(&self) -> &str {
        &self.handle.service
    }

    /// The name of the bus.
    pub fn name(&self) -> &str {
        self.core().name()
    }

    /// Publishes an event on this bus, whatever bus its type names: a future that is inert until it is polled, to which
    /// a header, a key or a delay can be added before. See [`Publish`].
    ///
    /// `Ok` means: on `memory`, that it is in the queue of every subscriber here; on `redis`, that the server took it;
    /// on `redis-streams` and `rabbitmq`, that the server holds it and confirmed it. While the queue of a subscriber in
    /// this process is full, an application waits for a place in it; a subscriber that publishes never does.
    ///
    /// A publish by a subscriber belongs to the chain of the event that it handles: the same trace and correlation id.
    /// A caller who must keep the event on error passes an [`Arc`].
    ///
    /// # Errors
    ///
    /// See [`PublishError`].
    #[inline]
    pub fn publish<T: IntoEvent>(&self, event: T) -> Publish<T::Event> {
        Publish::on(self.clone(), event.into_event())
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
        let span = publish::span_of_many::<<I::Item as IntoEvent>::Event>(self);
        let mut outgoing = events.into_iter().map(|event| {
            let (event, cause) = (event.into_event(), cause.as_ref());
            let outgoing = match &span {
                None => publish::outgoing(self, self.core(), event, cause),
                Some(span) => publish::outgoing_in(self, span, event, cause),
            };
            ids.push(outgoing.envelope.metadata().id());
            outgoing
        });
        let published = self.backend().publish_all(&mut outgoing);
        let results = match &span {
            None => published.await,
            Some(span) => span.around(published).await,
        };
        let failed = results.into_iter().enumerate().find_map(|(at, it)| Some((at, it.err()?)));
        if let Some(span) = &span {
            span.count(ids.len());
        }
        let Some((at, error)) = failed else { return Ok(ids) };
        ids.truncate(at);
        let error = self.not_published(error);
        if let Some(span) = &span {
            span.fail(error.kind());
        }
        Err(PublishAllError::new(ids, error))
    }

    /// Subscribes a closure or async function to the events of one type, in this process, until
    /// [`unsubscribe`](crate::Subscription::unsubscribe): a future that is inert until it is polled, to which a name, retries, a
    /// time limit or concurrency can be added before. See [`Subscribe`].
    ///
    /// The event type is that of the first parameter, an `Arc<E>`; further ones are those that `#[subscribe]` functions
    /// take: see [`Extractor`](crate::Extractor). When the future is done, the subscription is live. Each process that
    /// makes it gets every event, as a `broadcast` subscriber does.
    ///
    /// ```
    /// # use aury_events::prelude::*;
    /// # use serde::{Deserialize, Serialize};
    /// # use std::sync::Arc;
    /// # #[derive(Serialize, Deserialize, Event)] struct OrderCreated { amount: f64 }
    /// # async fn f(bus: EventBus) -> Result<(), aury_events::Error> {
    /// let subscription = bus
    ///     .subscribe(async |event: Arc<OrderCreated>| println!("{}", event.amount))
    ///     .await?;
    /// subscription.unsubscribe().await;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// When the bus has been shut down, or the backend cannot be reached; when the name is none or is taken; when a
    /// [`State`](crate::State) that it takes was not given to the manager.
    pub fn subscribe<P, F>(&self, handler: F) -> Subscribe
    where
        P: 'static,
        F: EventHandler<P, Input: EventInput>,
    {
        Subscribe::on(self.clone(), Ok(F::Input::topic()), handler)
    }

    /// Subscribes a closure over [`AnyEvent`] to all events whose names match a pattern: dot-separated segments, `*` for
    /// exactly one segment, `#` for any number of them.
    ///
    /// # Errors
    ///
    /// As [`subscribe`](Self::subscribe); and when `pattern` is none, or the backend has no patterns.
    pub fn subscribe_pattern<P, F>(&self, pattern: &str, handler: F) -> Subscribe
    where
        P: 'static,
        F: EventHandler<P, Input = AnyEvent>,
    {
        let topic = match Pattern::parse(pattern) {
            Err(source) => Err(SubscribeError::invalid_pattern(pattern, source)),
            Ok(pattern) if !self.backend().capabilities().patterns => {
                Err(SubscribeError::no_patterns(self.name(), pattern))
            }
            Ok(pattern) => Ok(Topic::Pattern(pattern)),
        };
        Subscribe::on(self.clone(), topic, handler)
    }

    /// What subscribers of this bus could not handle: to be listed, replayed or purged.
    pub fn dead_letters(&self) -> DeadLetters {
        DeadLetters::new(self.clone())
    }

    /// How the backend and the subscriptions in this process are.
    pub fn health(&self) -> Health {
        let mut health = self.core().health();
        if self.handle.async_runtime.has_ended() {
            health.is_up = false;
            health.problem =
                Some("the Tokio runtime that the buses were started on has ended".into());
            health.subscriptions.iter_mut().for_each(|subscription| subscription.is_live = false);
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
    /// It also returns when the runtime has ended that the buses were started on: nothing is handled any more then.
    ///
    /// Cancel safe.
    pub async fn settled(&self) {
        tokio::select! {
            () = self.backend().in_flight().settled() => {}
            () = self.handle.async_runtime.end() => {}
        }
    }

    /// Why the backend did not take an event.
    #[cold]
    fn not_published(&self, error: BackendError) -> PublishError {
        if self.handle.async_runtime.has_ended() {
            PublishError::runtime_ended(self.name())
        } else {
            PublishError::from_backend(error, self.name())
        }
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
