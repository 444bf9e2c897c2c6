//! A backend as a third party writes one: queues of JSON in a broker that lives as long as the process.
//!
//! `use loopback as _;` links it, and a bus whose URL is `loopback://name` is on the broker of that name. What one
//! manager leaves in its queues, the next one that connects to it gets: as with a server, and without one.
//!
//! It shows all that a backend consists of, in the order in which one writes it:
//!
//! - this file: what the backend declares about itself, and [`Backend`], which publishes and subscribes;
//! - [`broker`]: what a server does elsewhere;
//! - [`subscription`]: a [`Consumer`], whose deliveries are settled;
//! - [`dead_letters`]: what could not be handled, to be read, replayed and purged;
//! - `tests/conformance.rs`: the suite that every backend passes.

mod broker;
mod dead_letters;
mod subscription;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, LazyLock, Mutex, Weak,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use aury_events_backends::{
    Backend, BackendError, BackendFactory, BoxFuture, Cancel, Capabilities, Consumer,
    DeadLetterReader, Envelope, Health, InFlight, MaybeReady, Origin, Outgoing, Payload,
    SubscriptionSpec,
    config::{Setting, read},
    kit::lock,
    register_backend,
    registry::Connect,
};
use tokio::time::{Instant, sleep};

use crate::{
    broker::Broker,
    dead_letters::{LetterReader, Letters},
    subscription::{Receiver, Subscription},
};

register_backend!(
    BackendFactory::new("loopback", CAPABILITIES, connect)
        .url(&["loopback"], "loopback://shop")
        .settings(&[&LATENCY])
);

const CAPABILITIES: Capabilities =
    Capabilities::NONE.at_least_once().shared_work().remote().delay();

/// How long an event is on its way to the queues: `EVENT_LATENCY`, or `EVENT_ORDERS_LATENCY` for the bus `orders`.
pub static LATENCY: Setting<Option<Duration>> =
    Setting::new("LATENCY", "How long an event is on its way to the queues", "", |text| {
        read::optional(text, read::duration)
    });

fn connect(connect: Connect) -> BoxFuture<'static, Result<Arc<dyn Backend>, BackendError>> {
    static BROKERS: LazyLock<Mutex<BTreeMap<String, Arc<Broker>>>> = LazyLock::new(Mutex::default);

    Box::pin(async move {
        let Connect { bus, service, config, .. } = connect;
        let url = config.url.as_ref().expect("a bus whose backend takes a URL has one");
        let namespace = format!("{url} {bus}");
        let broker = Arc::clone(lock(&BROKERS).entry(namespace).or_default());
        let connection = Connection {
            broker,
            service,
            max_payload_bytes: config.max_payload_bytes,
            latency: config.get(&LATENCY),
            ..Connection::default()
        };
        Ok(Arc::new(connection) as Arc<dyn Backend>)
    })
}

/// The backend of one bus.
#[derive(Debug, Default)]
struct Connection {
    broker: Arc<Broker>,
    service: Arc<str>,
    max_payload_bytes: usize,
    latency: Option<Duration>,
    subscriptions: Mutex<Vec<Weak<Subscription>>>,
    in_flight: InFlight,
    drains: AtomicBool,
    is_closed: AtomicBool,
}

impl Connection {
    /// Adds an event to every queue that listens to it, as JSON.
    fn send(&self, Outgoing { envelope, origin, delay }: Outgoing) -> Result<(), BackendError> {
        let refused = self.drains.load(SeqCst) && origin == Origin::Application;
        if refused || self.is_closed.load(SeqCst) {
            return Err(BackendError::closed());
        }
        let json = envelope.payload().json();
        let json = json.map_err(|error| BackendError::encode(envelope.metadata().name(), error))?;
        if json.len() > self.max_payload_bytes {
            let problem = format!("{} bytes are more than {}", json.len(), self.max_payload_bytes);
            return Err(BackendError::other("publish the event", problem));
        }
        let envelope = Envelope::new(envelope.metadata().clone(), Payload::Json(json.into()));
        let delay = match (delay, self.latency) {
            (Some(delay), latency) => Some(delay + latency.unwrap_or_default()),
            (None, latency) => latency,
        };
        match delay {
            None => self.broker.deliver(&envelope),
            Some(delay) => self.broker.deliver_at(Instant::now() + delay, envelope),
        }
        Ok(())
    }

    fn start(&self, spec: SubscriptionSpec) -> Result<Receiver, BackendError> {
        if self.is_closed.load(SeqCst) {
            return Err(BackendError::closed());
        }
        let subscription = Arc::new(Subscription {
            broker: Arc::clone(&self.broker),
            queue: self.broker.queue(spec),
            tally: self.in_flight.tally(),
            is_cancelled: AtomicBool::new(false),
        });
        lock(&self.subscriptions).push(Arc::downgrade(&subscription));
        Ok(Receiver { subscription, clock: Box::pin(sleep(Duration::ZERO)) })
    }

    fn subscriptions(&self) -> Vec<Arc<Subscription>> {
        lock(&self.subscriptions).iter().filter_map(Weak::upgrade).collect()
    }
}

impl Backend for Connection {
    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    fn publish(&self, event: Outgoing) -> MaybeReady<'_, Result<(), BackendError>> {
        MaybeReady::ready(self.send(event))
    }

    fn subscribe(
        &self,
        spec: SubscriptionSpec,
    ) -> BoxFuture<'_, Result<Box<dyn Consumer>, BackendError>> {
        Box::pin(async { Ok(Box::new(self.start(spec)?) as Box<dyn Consumer>) })
    }

    fn dead_letters(
        &self,
        subscribers: &[Arc<str>],
    ) -> BoxFuture<'_, Result<Box<dyn DeadLetterReader>, BackendError>> {
        let store = Arc::new(Letters { broker: Arc::clone(&self.broker) });
        let letters = store.of(&self.service, subscribers);
        Box::pin(async { Ok(Box::new(LetterReader { letters }) as Box<dyn DeadLetterReader>) })
    }

    fn in_flight(&self) -> &InFlight {
        &self.in_flight
    }

    fn drain(&self) {
        self.drains.store(true, SeqCst);
    }

    fn health(&self) -> Health {
        let subscriptions = self.subscriptions().iter().map(|it| it.health()).collect();
        Health::new(!self.is_closed.load(SeqCst), subscriptions)
    }

    fn close(&self) -> BoxFuture<'_, Result<(), BackendError>> {
        self.is_closed.store(true, SeqCst);
        self.subscriptions().iter().for_each(|subscription| subscription.cancel());
        Box::pin(async { Ok(()) })
    }
}
