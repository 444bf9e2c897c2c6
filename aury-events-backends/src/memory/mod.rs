//! The backend inside one process.
//!
//! An event is handed to the queue of every subscriber that listens to it: one counted reference each, nothing
//! serialised. Queues are bounded. When one is full, the publisher waits for a place in it, after the other
//! subscribers have been served, for the publish timeout at most; a handler that publishes never waits (see [`Origin::Handler`]). `publish` is `Ok` when
//! the event is in every queue, at once for an event that nobody listens to. What the process holds is gone when the
//! process dies.
//!
//! An event that is published with a delay goes to those who listen when the delay has passed. Until then it counts as
//! in flight, as what waits for another attempt does: a bus that drains waits for it. At most 65,536 of them wait; one
//! more is refused. The latest 1024 dead letters are kept;
//! [`Health::dropped_dead_letters`] counts those that these have pushed out.

mod dead_letters;
mod delays;
mod line;
mod queue;
mod routes;
#[cfg(test)]
mod strict_tests;
mod unowned;

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard},
    task::Poll,
    time::Duration,
};

use tokio::time::{Instant, timeout_at};

use self::{
    dead_letters::Ring,
    delays::Delays,
    queue::{AddWhenFree, Queue, QueueClosed, QueueConsumer},
    routes::Routes,
};
use crate::{
    backend::{Backend, Capabilities, Health, Origin, Outgoing, ReadyPublisher, SubscriptionSpec},
    config::BackendConfig,
    dead_letters::DeadLetterReader,
    delivery::Consumer,
    envelope::Envelope,
    error::BackendError,
    in_flight::{InFlight, UnownedPublish},
    kit::{self, NobodyListens, read, write},
    maybe_ready::{BoxFuture, MaybeReady},
    register_backend,
    registry::{BackendFactory, Connect},
};

register_backend!(BackendFactory::new("memory", CAPABILITIES, connect));

const CAPABILITIES: Capabilities = Capabilities::NONE.patterns().delay().service_order();

/// Why an event is lost that nobody listens to.
const NOBODY: &str = "no subscriber to it runs in this process";

fn connect(connect: Connect) -> BoxFuture<'static, Result<Arc<dyn Backend>, BackendError>> {
    let backend = MemoryBackend::new(&connect.config);
    Box::pin(async { Ok(Arc::new(backend) as Arc<dyn Backend>) })
}

/// The backend inside one process: see the [module](self).
#[derive(Debug)]
pub struct MemoryBackend {
    routes: Arc<RwLock<Routes>>,
    delays: Delays,
    in_flight: InFlight,
    dead_letters: Arc<Ring>,
    queue_capacity: usize,
    publish_timeout: Duration,
    nobody_listens: Arc<NobodyListens>,
}

impl MemoryBackend {
    /// A backend without subscribers, with queues of `config.queue_capacity` events.
    pub fn new(config: &BackendConfig) -> Self {
        let nobody_listens = Arc::new(NobodyListens::new(config.unroutable));
        let routes = Routes::new(!nobody_listens.is_error());
        let (routes, in_flight) = (Arc::new(RwLock::new(routes)), InFlight::default());
        Self {
            delays: Delays::new(
                Arc::clone(&routes),
                in_flight.tally(),
                Arc::clone(&nobody_listens),
            ),
            routes,
            in_flight,
            dead_letters: Arc::default(),
            queue_capacity: config.queue_capacity,
            publish_timeout: config.publish_timeout,
            nobody_listens,
        }
    }

    #[inline]
    fn routes(&self) -> RwLockReadGuard<'_, Routes> {
        read(&self.routes)
    }

    fn routes_mut(&self) -> RwLockWriteGuard<'_, Routes> {
        write(&self.routes)
    }

    /// Publishes an event, if that takes no wait.
    #[inline(always)]
    fn try_publish(&self, event: Outgoing) -> Result<Result<(), BackendError>, Box<Wait>> {
        let routes = self.routes();
        if !routes.is_open() {
            drop(routes);
            return self.try_publish_while_draining(event);
        }
        if event.delay.is_some() {
            return Err(Box::new(Wait::Delayed(event)));
        }
        let full = match routes.resolved(event.envelope.metadata().name()) {
            Some(queues) => offer(queues, event),
            None => {
                drop(routes);
                let name = event.envelope.metadata().name();
                let queues = self.routes_mut().resolve(name);
                if queues.is_empty() {
                    return Ok(self.nobody_listens.note(name.as_str(), NOBODY));
                }
                offer(&queues, event)
            }
        };
        match full {
            None => Ok(Ok(())),
            Some(full) => Err(Box::new(Wait::Full(*full))),
        }
    }

    /// Handlers' events go on as ever, and what no handler owns is taken for as long as it may be waited for.
    #[cold]
    fn try_publish_while_draining(
        &self,
        event: Outgoing,
    ) -> Result<Result<(), BackendError>, Box<Wait>> {
        if self.routes().is_closed() {
            return Ok(Err(BackendError::closed()));
        }
        let metadata = event.envelope.metadata();
        let is_handler = event.origin == Origin::Handler;
        let is_owned = is_handler && !self.in_flight.is_unowned(metadata);
        // Counted until it is in the queues, so that the bus does not close in between.
        let unowned = if is_handler { None } else { self.in_flight.publish_unowned() };
        if !is_handler && unowned.is_none() {
            return Ok(Err(BackendError::closed()));
        }
        if !is_owned {
            self.in_flight.add_unowned(metadata);
        }
        if event.delay.is_some() {
            return Err(Box::new(Wait::Delayed(event)));
        }
        let queues = self.routes_mut().resolve(metadata.name());
        if queues.is_empty() {
            return Ok(self.nobody_listens.note(metadata.name().as_str(), NOBODY));
        }
        let envelope = event.envelope;
        let Some(unowned) = unowned else {
            // What handlers publish takes no place.
            for queue in &*queues {
                queue.add_without_place(envelope.clone(), is_owned);
            }
            return Ok(Ok(()));
        };
        Err(Box::new(Wait::Unowned(unowned, Full { envelope, queues: queues.to_vec() })))
    }

    /// Publishes what has to wait. In a runtime.
    #[cold]
    fn publish_after(&self, wait: Wait) -> MaybeReady<'static, Result<(), BackendError>> {
        let (routes, limit) = (Arc::clone(&self.routes), self.publish_timeout);
        match wait {
            Wait::Delayed(event) => MaybeReady::ready(self.delays.add(event)),
            Wait::Full(Full { envelope, queues }) => {
                let adding = queues.into_iter().map(|queue| queue.add_when_free(envelope.clone()));
                let adding = adding.collect();
                MaybeReady::pending(wait_for_places(envelope, adding, routes, limit))
            }
            Wait::Unowned(unowned, Full { envelope, queues }) => {
                let adding =
                    queues.into_iter().map(|queue| queue.add_unowned_when_free(envelope.clone()));
                let adding = adding.collect();
                MaybeReady::pending(async move {
                    let _unowned = unowned;
                    wait_for_places(envelope, adding, routes, limit).await
                })
            }
        }
    }
}

/// Waits for a place in one queue after the other, as long as a publish may take: who waits may be the one that the
/// handlers of a full queue wait for.
async fn wait_for_places(
    envelope: Envelope,
    adding: Vec<AddWhenFree>,
    routes: Arc<RwLock<Routes>>,
    limit: Duration,
) -> Result<(), BackendError> {
    let mut end = None;
    for mut added in adding {
        // A consumer that runs makes room in its next turn; that takes no timer, which is dear.
        let outcome = match in_next_turn(&mut added).await {
            Some(outcome) => Ok(outcome),
            None => {
                let end = *end.get_or_insert_with(|| Instant::now() + limit);
                timeout_at(end, &mut added).await
            }
        };
        match outcome {
            Ok(Ok(())) => {}
            // A queue that ends meanwhile belongs to a subscriber that has left.
            Ok(Err(_)) if kit::read(&routes).is_closed() => return Err(BackendError::closed()),
            Ok(Err(_)) => {}
            Err(_) => {
                let operation = format!("publish {}", envelope.metadata().name());
                let subscriber = added.subscriber();
                let cause = format!("the queue of the subscriber `{subscriber}` is full");
                return Err(BackendError::timed_out_after(operation, limit, cause));
            }
        }
    }
    Ok(())
}

/// Whether a place is free when all other tasks have had a turn.
async fn in_next_turn(added: &mut AddWhenFree) -> Option<Result<(), QueueClosed>> {
    let mut turns = 0;
    poll_fn(|cx| match Pin::new(&mut *added).poll(cx) {
        Poll::Ready(added) => Poll::Ready(Some(added)),
        Poll::Pending if turns == 0 => {
            turns += 1;
            cx.waker().wake_by_ref();
            Poll::Pending
        }
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Why an event was not published at once.
enum Wait {
    Delayed(Outgoing),
    Full(Full),
    Unowned(UnownedPublish, Full),
}

/// An event, and the queues that had no place for it.
struct Full {
    envelope: Envelope,
    queues: Vec<Arc<Queue>>,
}

/// Adds an event to all of the queues, as far as there is a place in them.
// As for `Queue::offer`.
#[inline(always)]
fn offer(queues: &[Arc<Queue>], event: Outgoing) -> Option<Box<Full>> {
    let Outgoing { envelope, origin, .. } = event;
    let (last, others) = queues.split_last()?;
    let mut full = None;
    for queue in others {
        if let Err(envelope) = queue.offer(envelope.clone(), origin) {
            note_full(&mut full, queue, envelope);
        }
    }
    if let Err(envelope) = last.offer(envelope, origin) {
        note_full(&mut full, last, envelope);
    }
    full
}

#[cold]
fn note_full(full: &mut Option<Box<Full>>, queue: &Arc<Queue>, envelope: Envelope) {
    let full = full.get_or_insert_with(|| Box::new(Full { envelope, queues: Vec::new() }));
    full.queues.push(Arc::clone(queue));
}

impl ReadyPublisher for MemoryBackend {
    fn publish_ready(&self, event: Outgoing) -> MaybeReady<'static, Result<(), BackendError>> {
        match self.try_publish(event) {
            Ok(published) => MaybeReady::ready(published),
            Err(wait) => self.publish_after(*wait),
        }
    }
}

impl Backend for MemoryBackend {
    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    fn publish(&self, event: Outgoing) -> MaybeReady<'_, Result<(), BackendError>> {
        match self.try_publish(event) {
            Ok(published) => MaybeReady::ready(published),
            // Polled, it is in a runtime.
            Err(wait) => MaybeReady::pending(async move { self.publish_after(*wait).await }),
        }
    }

    fn ready_publisher(self: Arc<Self>) -> Option<Arc<dyn ReadyPublisher>> {
        Some(self)
    }

    fn subscribe(
        &self,
        spec: SubscriptionSpec,
    ) -> BoxFuture<'_, Result<Box<dyn Consumer>, BackendError>> {
        Box::pin(async move {
            let mut routes = self.routes_mut();
            if !routes.is_open() {
                return Err(BackendError::closed());
            }
            let queue = Arc::new(Queue::new(
                spec.subscriber,
                self.queue_capacity,
                self.in_flight.tally(),
                Arc::clone(&self.dead_letters),
            ));
            self.dead_letters.add_queue(&queue);
            routes.add(spec.topic, Arc::clone(&queue));
            Ok(Box::new(QueueConsumer::new(queue)) as Box<dyn Consumer>)
        })
    }

    fn dead_letters(
        &self,
        subscribers: &[Arc<str>],
    ) -> BoxFuture<'_, Result<Box<dyn DeadLetterReader>, BackendError>> {
        let reader = self.dead_letters.read(subscribers);
        Box::pin(async { Ok(Box::new(reader) as Box<dyn DeadLetterReader>) })
    }

    fn in_flight(&self) -> &InFlight {
        &self.in_flight
    }

    fn drain(&self) {
        self.routes_mut().drain();
    }

    fn health(&self) -> Health {
        let routes = self.routes();
        Health::new(routes.is_open(), routes.queues().map(|queue| queue.health()).collect())
            .with_delayed(self.delays.count())
            .with_dropped_dead_letters(self.dead_letters.dropped())
    }

    fn close(&self) -> BoxFuture<'_, Result<(), BackendError>> {
        Box::pin(async {
            for queue in self.routes_mut().close() {
                queue.close();
            }
            self.delays.close().await;
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Duration};

    use super::*;
    use crate::{
        delivery::{Delivery, Settlement},
        envelope::{EventName, Payload, Topic},
    };

    const NAME: EventName = EventName::from_static("order.created");

    async fn subscribed(backend: &MemoryBackend) -> Box<dyn Consumer> {
        let spec = SubscriptionSpec::new("subscriber", Topic::Event(NAME), "service");
        backend.subscribe(spec).await.unwrap()
    }

    async fn publish(backend: &MemoryBackend, number: u32) {
        let payload = Payload::Typed(Arc::new(number));
        let envelope = Envelope::published(NAME, 1, "/service", None, payload);
        backend
            .publish(Outgoing { envelope, origin: Origin::Application, delay: None })
            .await
            .unwrap();
    }

    async fn next(consumer: &mut Box<dyn Consumer>) -> (u32, Delivery) {
        let delivery = poll_fn(|cx| consumer.poll_next(cx)).await.unwrap();
        (*delivery.payload().decode().unwrap(), delivery)
    }

    #[tokio::test]
    async fn a_delivery_that_is_dropped_comes_back_first() {
        let backend = MemoryBackend::new(&BackendConfig::default());
        let mut consumer = subscribed(&backend).await;
        publish(&backend, 1).await;
        publish(&backend, 2).await;
        let (number, delivery) = next(&mut consumer).await;
        assert_eq!((number, delivery.attempt()), (1, 1));
        drop(delivery);
        let (number, delivery) = next(&mut consumer).await;
        assert_eq!((number, delivery.attempt()), (1, 2));
        delivery.settle(Settlement::Ack).await.unwrap();
        assert_eq!(backend.in_flight().count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_retry_waits_its_time_and_holds_back_nobody() {
        let backend = MemoryBackend::new(&BackendConfig::default());
        let mut consumer = subscribed(&backend).await;
        publish(&backend, 1).await;
        publish(&backend, 2).await;
        let start = tokio::time::Instant::now();
        let (_, first) = next(&mut consumer).await;
        first.settle(Settlement::Retry { after: Duration::from_secs(2) }).await.unwrap();
        let (number, second) = next(&mut consumer).await;
        assert_eq!(number, 2);
        second.settle(Settlement::Ack).await.unwrap();
        assert_eq!(backend.in_flight().count(), 1, "what waits is in flight");
        let (number, again) = next(&mut consumer).await;
        assert_eq!((number, again.attempt()), (1, 2));
        assert_eq!(start.elapsed().as_secs(), 2);
        again.settle(Settlement::Ack).await.unwrap();
        backend.in_flight().settled().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_queue_hands_out_what_it_holds_retries_included() {
        let backend = MemoryBackend::new(&BackendConfig::default());
        let mut consumer = subscribed(&backend).await;
        publish(&backend, 1).await;
        let (_, first) = next(&mut consumer).await;
        first.settle(Settlement::Retry { after: Duration::from_secs(2) }).await.unwrap();
        backend.close().await.unwrap();
        let (number, again) = next(&mut consumer).await;
        assert_eq!(number, 1);
        drop(consumer);
        drop(again);
        backend.in_flight().settled().await;
        backend.close().await.expect("closing again changes nothing");
    }
}
