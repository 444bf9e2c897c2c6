//! The backend inside one process.
//!
//! An event is handed to the queue of every subscriber that listens to it: one counted reference each, nothing
//! serialised. Queues are bounded. When one is full, the publisher waits for a place in it, after the other
//! subscribers have been served; a handler that publishes never waits (see [`Origin::Handler`]). `publish` is `Ok` when
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

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use self::{
    dead_letters::Ring,
    delays::Delays,
    queue::{Queue, QueueConsumer},
    routes::Routes,
};
use crate::{
    backend::{Backend, Capabilities, Health, Origin, Outgoing, ReadyPublisher, SubscriptionSpec},
    config::BackendConfig,
    dead_letters::DeadLetterReader,
    delivery::Consumer,
    envelope::Envelope,
    error::BackendError,
    in_flight::InFlight,
    kit,
    maybe_ready::{BoxFuture, MaybeReady},
    register_backend,
    registry::{BackendFactory, Connect},
};

register_backend!(BackendFactory::new("memory", CAPABILITIES, connect));

const CAPABILITIES: Capabilities = Capabilities::NONE.patterns().delay();

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
}

impl MemoryBackend {
    /// A backend without subscribers, with queues of `config.queue_capacity` events.
    pub fn new(config: &BackendConfig) -> Self {
        let (routes, in_flight) = (Arc::<RwLock<Routes>>::default(), InFlight::default());
        Self {
            delays: Delays::new(Arc::clone(&routes), in_flight.tally()),
            routes,
            in_flight,
            dead_letters: Arc::default(),
            queue_capacity: config.queue_capacity,
        }
    }

    #[inline]
    fn routes(&self) -> RwLockReadGuard<'_, Routes> {
        self.routes.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn routes_mut(&self) -> RwLockWriteGuard<'_, Routes> {
        self.routes.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes an event, if that takes no wait.
    #[inline(always)]
    fn try_publish(&self, event: Outgoing) -> Result<Result<(), BackendError>, Box<Wait>> {
        let routes = self.routes();
        if !routes.takes(event.origin) {
            return Ok(Err(BackendError::closed()));
        }
        if event.delay.is_some() {
            return Err(Box::new(Wait::Delayed(event)));
        }
        let full = match routes.resolved(event.envelope.metadata().name()) {
            Some(queues) => offer(queues, event),
            None => {
                drop(routes);
                let queues = self.routes_mut().resolve(event.envelope.metadata().name());
                offer(&queues, event)
            }
        };
        match full {
            None => Ok(Ok(())),
            Some(full) => Err(Box::new(Wait::Full(*full))),
        }
    }

    /// Publishes what has to wait. In a runtime.
    #[cold]
    fn publish_after(&self, wait: Wait) -> MaybeReady<'static, Result<(), BackendError>> {
        match wait {
            Wait::Delayed(event) => MaybeReady::ready(self.delays.add(event)),
            Wait::Full(full) => {
                let routes = Arc::clone(&self.routes);
                MaybeReady::pending(publish_when_free(full, routes))
            }
        }
    }
}

/// Waits for a place in the queues that were full, one after the other: the event is in all others already.
async fn publish_when_free(full: Full, routes: Arc<RwLock<Routes>>) -> Result<(), BackendError> {
    let envelope = full.envelope;
    let adding = full.queues.into_iter().map(|queue| queue.add_when_free(envelope.clone()));
    for added in adding.collect::<Vec<_>>() {
        // A queue that ends meanwhile belongs to a subscriber that has left.
        if added.await.is_err() && kit::read(&routes).is_closed() {
            return Err(BackendError::closed());
        }
    }
    Ok(())
}

/// Why an event was not published at once.
enum Wait {
    Delayed(Outgoing),
    Full(Full),
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
            if !routes.takes(Origin::Application) {
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
        Health::new(
            routes.takes(Origin::Application),
            routes.queues().map(|queue| queue.health()).collect(),
        )
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
