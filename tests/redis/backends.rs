//! Processes of a service on a server of the test's own, one level below the bus.

use std::{
    future::poll_fn,
    sync::Arc,
    time::{Duration, Instant},
};

use aury_events_backends::{
    Backend, BackendConfig, BackendError, Consumer, DeadLetter, DeadLetterReason, Delivery,
    Envelope, EventName, Metadata, Origin, Outgoing, Payload, Settlement, SubscriptionSpec, Topic,
    envelope::Pattern,
    redis::streams::{StreamsBackend, Timing},
    registry::Connect,
};
use redis::{Client, FromRedisValue, Value};

use crate::brokers::{RedisOptions, RedisServer};

/// Short, so that tests need not wait long; long beside what a busy machine takes to answer.
pub(crate) const MIN_IDLE: Duration = Duration::from_secs(2);

/// How long anything may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A server whose confirmed writes outlive it.
pub(crate) struct Server(pub(crate) RedisServer);

impl Server {
    pub(crate) fn start() -> Self {
        Self(RedisServer::start_with(RedisOptions::default().durable()))
    }

    /// A server, and what so many processes of the service have.
    pub(crate) async fn with_backends<const N: usize>() -> (Self, [Arc<StreamsBackend>; N]) {
        let server = Self::start();
        let mut backends = Vec::with_capacity(N);
        for _ in 0..N {
            backends.push(server.backend().await);
        }
        (server, backends.try_into().expect("as many as were made"))
    }

    /// What a process of the service has.
    pub(crate) async fn backend(&self) -> Arc<StreamsBackend> {
        self.backend_with(|_| ()).await
    }

    /// The same, with other settings.
    pub(crate) async fn backend_with(
        &self,
        configure: impl FnOnce(&mut BackendConfig),
    ) -> Arc<StreamsBackend> {
        self.try_backend("shop", configure).await.expect("a connection")
    }

    /// What a process of that service has.
    pub(crate) async fn try_backend(
        &self,
        service: &str,
        configure: impl FnOnce(&mut BackendConfig),
    ) -> Result<Arc<StreamsBackend>, BackendError> {
        connect(&self.0.url(), service, MIN_IDLE, configure).await
    }

    /// Asks the server itself.
    pub(crate) async fn ask<T: FromRedisValue>(&self, command: &str) -> T {
        let client = Client::open(self.0.url()).expect("a URL");
        let mut connection = client.get_multiplexed_async_connection().await.expect("it runs");
        let mut words = command.split(' ');
        let mut asked = redis::cmd(words.next().expect("a command"));
        words.for_each(|word| _ = asked.arg(word));
        asked.query_async(&mut connection).await.expect(command)
    }

    /// How many entries `shop/mail` has not acknowledged.
    pub(crate) async fn pending(&self) -> Value {
        let pending: Vec<Value> = self.ask("XPENDING events:order shop/mail").await;
        pending.into_iter().next().expect("a count")
    }

    /// How many consumers `shop/mail` has.
    pub(crate) async fn consumers(&self) -> usize {
        self.ask::<Vec<Value>>("XINFO CONSUMERS events:order shop/mail").await.len()
    }
}

/// What a process of a service has.
pub(crate) async fn connect(
    url: &str,
    service: &str,
    min_idle: Duration,
    configure: impl FnOnce(&mut BackendConfig),
) -> Result<Arc<StreamsBackend>, BackendError> {
    let mut config = BackendConfig::default();
    config.url = Some(url.parse().expect("a URL"));
    config.publish_timeout = DEADLINE;
    configure(&mut config);
    let mut timing = Timing::default();
    (timing.min_idle, timing.trim_every) = (min_idle, Duration::from_millis(300));
    let connect = Connect::new("default", service, "/shop", config);
    StreamsBackend::connect(connect, timing).await.map(Arc::new)
}

/// Ends processes in order.
pub(crate) async fn close<const N: usize>(backends: [&StreamsBackend; N]) {
    for backend in backends {
        backend.close().await.expect("it closes");
    }
}

/// The dead letters of `mail`.
pub(crate) async fn letters(backend: &StreamsBackend) -> Vec<DeadLetter> {
    let mut reader = backend.dead_letters(&["mail".into()]).await.expect("they can be read");
    let mut letters = Vec::new();
    loop {
        let page = reader.next_page().await.expect("a page");
        if page.is_empty() {
            return letters;
        }
        letters.extend(page);
    }
}

pub(crate) fn event(name: &'static str, number: u64) -> Outgoing {
    let metadata = Metadata::new(EventName::from_static(name), 1, "/shop", None);
    let payload = Payload::Json(number.to_string().into_bytes().into());
    Outgoing {
        envelope: Envelope::new(metadata, payload),
        origin: Origin::Application,
        delay: None,
    }
}

pub(crate) async fn publish(
    backend: &StreamsBackend,
    name: &'static str,
    numbers: impl Iterator<Item = u64> + Send,
) {
    let mut events = numbers.map(|number| event(name, number));
    for result in backend.publish_all(&mut events).await {
        result.expect("it is confirmed");
    }
}

pub(crate) fn number(delivery: &Delivery) -> u64 {
    delivery.payload().decode_json().expect("a number")
}

pub(crate) fn to_order() -> SubscriptionSpec {
    SubscriptionSpec::new("mail", Topic::Event(EventName::from_static("order")), "shop")
}

pub(crate) fn to_pattern(pattern: &str) -> SubscriptionSpec {
    SubscriptionSpec::new("audit", Topic::Pattern(Pattern::parse(pattern).unwrap()), "shop")
}

pub(crate) type Subscriber = Box<dyn Consumer>;

pub(crate) async fn subscribed(backend: &StreamsBackend, spec: SubscriptionSpec) -> Subscriber {
    backend.subscribe(spec).await.expect("a subscription")
}

pub(crate) async fn next(consumer: &mut Subscriber) -> Delivery {
    next_within(consumer, DEADLINE).await.expect("a delivery in time")
}

pub(crate) async fn next_within(consumer: &mut Subscriber, limit: Duration) -> Option<Delivery> {
    tokio::time::timeout(limit, poll_fn(|cx| consumer.poll_next(cx))).await.ok().flatten()
}

pub(crate) async fn ack(delivery: Delivery) -> u64 {
    let number = number(&delivery);
    delivery.settle(Settlement::Ack).await.expect("taken note of");
    number
}

/// Handles what comes until nothing has come for a second.
pub(crate) async fn handle_all(mut consumer: Subscriber) -> Vec<u64> {
    let mut handled = Vec::new();
    while let Some(delivery) = next_within(&mut consumer, Duration::from_secs(1)).await {
        handled.push(ack(delivery).await);
    }
    handled
}

pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < DEADLINE, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// An event with as many bytes as that in its payload.
pub(crate) fn large_event(name: &'static str, bytes: usize) -> Outgoing {
    let metadata = Metadata::new(EventName::from_static(name), 1, "/shop", None);
    let payload = Payload::Json(format!("\"{}\"", "x".repeat(bytes)).into_bytes().into());
    let envelope = Envelope::new(metadata, payload);
    Outgoing { envelope, origin: Origin::Application, delay: None }
}

/// Makes the next delivery a dead letter.
pub(crate) async fn fail_next(consumer: &mut Subscriber) {
    let reason = DeadLetterReason::Panicked("it is so".to_owned());
    next(consumer).await.settle(Settlement::DeadLetter(reason)).await.expect("it is stored");
}

/// A subscription to the events of one name.
pub(crate) fn to(name: &'static str, subscriber: &'static str) -> SubscriptionSpec {
    SubscriptionSpec::new(subscriber, Topic::Event(EventName::from_static(name)), "shop")
}
