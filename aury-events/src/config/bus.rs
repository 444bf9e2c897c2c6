//! The configuration of one bus.

use std::{path::PathBuf, time::Duration};

use aury_events_backends::config::{
    BackendConfig, BusUrl, ExchangeType, Format, InvalidUrl, QueueType, Unroutable,
};

use super::{setting::Origin, validate};

#[doc = include_str!("environment.md")]
#[derive(Debug, Clone)]
#[must_use = "a configuration does nothing until a manager is started with it"]
pub struct BusConfig {
    /// None: the URL decides.
    pub(super) backend: Option<String>,
    pub(super) transport: BackendConfig,
    pub(super) shutdown_timeout: Duration,
    pub(super) refused_url: Option<RefusedUrl>,
    pub(super) origin: Origin,
}

/// A URL that did not parse. Its text may be a secret, so that only its length is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct RefusedUrl {
    pub(super) length: usize,
    pub(super) reason: InvalidUrl,
}

impl BusConfig {
    /// A bus within this process, with no broker.
    pub fn memory() -> Self {
        Self::backend("memory")
    }

    /// A bus over Redis Pub/Sub: at most once, to every process that listens.
    pub fn redis(url: impl Into<String>) -> Self {
        Self::backend("redis").url(url)
    }

    /// A bus over Redis Streams: at least once, shared by the processes of a service.
    pub fn redis_streams(url: impl Into<String>) -> Self {
        Self::backend("redis-streams").url(url)
    }

    /// A bus over RabbitMQ: at least once, shared by the processes of a service.
    pub fn rabbitmq(url: impl Into<String>) -> Self {
        Self::backend("rabbitmq").url(url)
    }

    /// A bus over the backend of that name, such as one that a linked third-party crate brings.
    pub fn backend(name: impl Into<String>) -> Self {
        Self { backend: Some(name.into()), ..Self::new(Origin::Code) }
    }

    pub(super) fn new(origin: Origin) -> Self {
        Self {
            backend: None,
            transport: BackendConfig::default(),
            shutdown_timeout: Duration::from_secs(30),
            refused_url: None,
            origin,
        }
    }

    /// Where the broker is, as in `redis://user:password@host:6379/0`. Reserved characters in the password are
    /// percent-encoded; no message ever shows it.
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.set_url(&url.into());
        self
    }

    /// What the names of channels and streams begin with (redis, redis-streams). Default: `events:`.
    pub fn key_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.transport.key_prefix = prefix.into();
        self
    }

    /// The exchange that events are published to (rabbitmq). Default: `aury.events`.
    pub fn exchange_name(mut self, name: impl Into<String>) -> Self {
        self.transport.exchange_name = name.into();
        self
    }

    /// How that exchange routes (rabbitmq). Default: topic.
    pub fn exchange_type(mut self, exchange_type: ExchangeType) -> Self {
        self.transport.exchange_type = exchange_type;
        self
    }

    /// Which kind of queue holds what is not handled yet (rabbitmq). Default: quorum.
    pub fn queue_type(mut self, queue_type: QueueType) -> Self {
        self.transport.queue_type = queue_type;
        self
    }

    /// What happens when an event is published that no queue is bound for (rabbitmq). Default: it is logged, once for
    /// each event name.
    pub fn unroutable(mut self, unroutable: Unroutable) -> Self {
        self.transport.unroutable = unroutable;
        self
    }

    /// How an envelope is written to a broker. Default: CloudEvents.
    pub fn format(mut self, format: Format) -> Self {
        self.transport.format = format;
        self
    }

    /// How many deliveries one subscriber may hold unacknowledged (rabbitmq, redis-streams). Default: twice its
    /// concurrency, and at least 32.
    pub fn prefetch(mut self, deliveries: u32) -> Self {
        self.transport.prefetch = Some(deliveries);
        self
    }

    /// How many deliveries one subscriber's local queue holds before its publishers wait. Default: 1024.
    pub fn queue_capacity(mut self, deliveries: usize) -> Self {
        self.transport.queue_capacity = deliveries;
        self
    }

    /// How many bytes of payload one subscriber's local queue holds between broker and handlers. One event always fits.
    /// Default: 64 MiB.
    pub fn queue_bytes(mut self, bytes: usize) -> Self {
        self.transport.queue_bytes = bytes;
        self
    }

    /// The largest payload, in bytes, on publish as on receipt. Default: 8 MiB.
    pub fn max_payload_bytes(mut self, bytes: usize) -> Self {
        self.transport.max_payload_bytes = bytes;
        self
    }

    /// How many dead letters are kept for each subscriber. A further one drops the oldest. Default: 10,000.
    pub fn dead_letter_max_count(mut self, letters: usize) -> Self {
        self.transport.dead_letter_max_count = letters;
        self
    }

    /// How many bytes the dead letters of each subscriber may take. A further one drops the oldest. Default: 64 MiB.
    pub fn dead_letter_max_bytes(mut self, bytes: usize) -> Self {
        self.transport.dead_letter_max_bytes = bytes;
        self
    }

    /// How many processes may die over one delivery, after its handler had begun, before it is a dead letter.
    /// Default: 5.
    pub fn max_interruptions(mut self, processes: u32) -> Self {
        self.transport.max_interruptions = processes;
        self
    }

    /// A file of certificates in PEM: the authorities that are trusted besides those of the system (`rediss://`,
    /// `amqps://`). Default: none.
    pub fn tls_ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.transport.tls_ca_file = Some(path.into());
        self
    }

    /// A file with the certificate chain in PEM that the client shows (`rediss://`, `amqps://`). It takes a
    /// [`tls_key_file`](Self::tls_key_file), too. Default: none.
    pub fn tls_cert_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.transport.tls_cert_file = Some(path.into());
        self
    }

    /// A file with the private key of the client's certificate, in PEM (`rediss://`, `amqps://`). Default: none.
    pub fn tls_key_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.transport.tls_key_file = Some(path.into());
        self
    }

    /// Whether an event that a broker could not carry unchanged is refused on every backend, the memory backend
    /// included: a test then sees what production would. Default: no.
    pub fn strict(mut self, strict: bool) -> Self {
        self.transport.strict = strict;
        self
    }

    /// How long start-up waits for a broker that is late. Default: 30 seconds.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.transport.connect_timeout = timeout;
        self
    }

    /// How long a publish waits for the broker to confirm it. Default: 10 seconds.
    pub fn publish_timeout(mut self, timeout: Duration) -> Self {
        self.transport.publish_timeout = timeout;
        self
    }

    /// How long shutdown waits for what is in flight. Default: 30 seconds.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.shutdown_timeout = timeout;
        self
    }

    /// The backend's name: as given, else by the URL's scheme, else `memory`.
    pub(crate) fn backend_name(&self) -> &str {
        match (&self.backend, &self.transport.url) {
            (Some(name), _) => name,
            (None, Some(url)) => validate::backend_for(url.scheme()).unwrap_or("memory"),
            (None, None) => "memory",
        }
    }

    /// Whether anything says how the bus is to be. Nothing does for the default bus of an environment that is silent.
    pub(crate) fn is_given(&self) -> bool {
        match &self.origin {
            Origin::Code => true,
            Origin::Environment(given) => !given.is_empty(),
        }
    }

    /// What the backend is told.
    pub(crate) fn backend_config(&self) -> &BackendConfig {
        &self.transport
    }

    /// How long shutdown waits; named apart from the setter.
    pub(crate) fn shutdown_limit(&self) -> Duration {
        self.shutdown_timeout
    }

    pub(super) fn set_url(&mut self, text: &str) {
        let parsed = BusUrl::parse(text);
        self.refused_url = parsed
            .as_ref()
            .err()
            .map(|&reason| RefusedUrl { length: text.chars().count(), reason });
        self.transport.url = parsed.ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setter_reaches_what_the_backend_is_told() {
        let bus = BusConfig::rabbitmq("amqp://broker")
            .key_prefix("shop:")
            .exchange_name("shop")
            .exchange_type(ExchangeType::Fanout)
            .queue_type(QueueType::Classic)
            .format(Format::Aury)
            .prefetch(7)
            .queue_capacity(8)
            .queue_bytes(10)
            .max_payload_bytes(9)
            .dead_letter_max_count(11)
            .dead_letter_max_bytes(12)
            .max_interruptions(13)
            .tls_ca_file("ca.pem")
            .tls_cert_file("cert.pem")
            .tls_key_file("key.pem")
            .strict(true)
            .connect_timeout(Duration::from_secs(1))
            .publish_timeout(Duration::from_secs(2))
            .shutdown_timeout(Duration::from_secs(3));
        let told = bus.backend_config();
        assert_eq!(told.url.as_ref().unwrap().expose(), "amqp://broker");
        assert_eq!(told.key_prefix, "shop:");
        assert_eq!(told.exchange_name, "shop");
        assert_eq!(told.exchange_type, ExchangeType::Fanout);
        assert_eq!(told.queue_type, QueueType::Classic);
        assert_eq!(told.format, Format::Aury);
        assert_eq!(told.prefetch, Some(7));
        assert_eq!(told.queue_capacity, 8);
        assert_eq!(told.queue_bytes, 10);
        assert_eq!(told.max_payload_bytes, 9);
        assert_eq!(told.dead_letter_max_count, 11);
        assert_eq!(told.dead_letter_max_bytes, 12);
        assert_eq!(told.max_interruptions, 13);
        assert_eq!(told.tls_ca_file, Some("ca.pem".into()));
        assert_eq!(told.tls_cert_file, Some("cert.pem".into()));
        assert_eq!(told.tls_key_file, Some("key.pem".into()));
        assert!(told.strict);
        assert_eq!(told.connect_timeout, Duration::from_secs(1));
        assert_eq!(told.publish_timeout, Duration::from_secs(2));
        assert_eq!(bus.shutdown_limit(), Duration::from_secs(3));
    }

    #[test]
    fn a_constructor_names_its_backend() {
        assert_eq!(BusConfig::memory().backend_name(), "memory");
        assert_eq!(BusConfig::redis("redis://r").backend_name(), "redis");
        assert_eq!(BusConfig::redis_streams("redis://r").backend_name(), "redis-streams");
        assert_eq!(BusConfig::rabbitmq("amqp://r").backend_name(), "rabbitmq");
        assert_eq!(BusConfig::backend("nats").backend_name(), "nats");
    }

    #[test]
    fn debug_output_holds_no_password_even_of_a_malformed_url() {
        for url in ["redis://user:hunter2@host", "user:hunter2@host", "redis://user:hun/ter2@host"]
        {
            let shown = format!("{:?}", BusConfig::redis(url));
            assert!(!shown.contains("hun") && !shown.contains("ter2"), "{shown}");
        }
    }

    #[test]
    fn the_last_url_counts() {
        let bus = BusConfig::redis("nonsense").url("redis://host");
        assert!(bus.refused_url.is_none() && bus.transport.url.is_some());
        let bus = bus.url("nonsense");
        assert!(bus.refused_url.is_some() && bus.transport.url.is_none());
    }
}
