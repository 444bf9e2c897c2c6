use std::{
    collections::BTreeMap,
    fmt::{self, Display},
    path::Path,
    time::Duration,
};

use aury_events_backends::{
    BackendFactory,
    config::{
        AnySetting, BackendConfig, BusUrl, Common, ExchangeType, Format, InvalidUrl, QueueType,
        Unroutable, read,
    },
};

use super::{
    declared::{declaration, meant_by},
    problem::shown,
    spelling::{Spelling, variable_name},
};

/// The field that names the backend.
pub(super) const BACKEND: &str = "BACKEND";
/// The field that holds the URL.
pub(super) const URL: &str = "URL";

#[doc = include_str!("environment.md")]
#[derive(Clone)]
#[must_use = "a configuration does nothing until a manager is started with it"]
pub struct BusConfig {
    pub(super) origin: Origin,
    /// What is set, by field. All else is as each setting's declaration has it.
    pub(super) given: BTreeMap<&'static str, Given>,
}

/// Where a configuration comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Code,
    Environment,
}

/// A value as it was given, not checked yet.
#[derive(Clone)]
pub(super) struct Given {
    pub(super) text: String,
    pub(super) by: By,
}

/// How a value was given.
#[derive(Clone)]
pub(super) enum By {
    Setter,
    /// [`BusConfig::setting`].
    Setting,
    /// A variable, as it was spelled.
    Variable(String),
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
        Self::new(Origin::Code).set(BACKEND, name.into())
    }

    pub(super) fn new(origin: Origin) -> Self {
        Self { origin, given: BTreeMap::new() }
    }

    /// Where the broker is, as in `redis://user:password@host:6379/0`. Reserved characters in the password are
    /// percent-encoded; no message ever shows it.
    pub fn url(self, url: impl Into<String>) -> Self {
        self.set(URL, url.into())
    }

    /// What the names of channels and streams begin with (redis, redis-streams). Default: `events:`.
    pub fn key_prefix(self, prefix: impl Into<String>) -> Self {
        self.set("KEY_PREFIX", prefix.into())
    }

    /// The exchange that events are published to (rabbitmq). Default: `aury.events`.
    pub fn exchange_name(self, name: impl Into<String>) -> Self {
        self.set("EXCHANGE_NAME", name.into())
    }

    /// How that exchange routes (rabbitmq). Default: topic.
    pub fn exchange_type(self, exchange_type: ExchangeType) -> Self {
        self.set("EXCHANGE_TYPE", exchange_type)
    }

    /// Which kind of queue holds what is not handled yet (rabbitmq). Default: quorum.
    pub fn queue_type(self, queue_type: QueueType) -> Self {
        self.set("QUEUE_TYPE", queue_type)
    }

    /// For how long handlers may block the application's runtime before the process gives up what it holds, so that
    /// another one handles it (rabbitmq). Default: 5 minutes.
    pub fn max_blocked(self, limit: Duration) -> Self {
        self.set("MAX_BLOCKED", read::duration_text(limit))
    }

    /// What happens when an event is published that nobody subscribes to: memory, redis outside of a cluster, rabbitmq. On
    /// redis-streams, `Error` is as `Warn`. Default: it is logged, once for each event name.
    pub fn unroutable(self, unroutable: Unroutable) -> Self {
        self.set("UNROUTABLE", unroutable)
    }

    /// How an envelope is written to a broker. Default: CloudEvents.
    pub fn format(self, format: Format) -> Self {
        self.set("FORMAT", format)
    }

    /// How many deliveries one subscriber may hold unacknowledged (rabbitmq, redis-streams). Default: twice its
    /// concurrency, and at least 32, or 256 on redis-streams.
    pub fn prefetch(self, deliveries: u32) -> Self {
        self.set("PREFETCH", deliveries)
    }

    /// How many deliveries one subscriber's local queue holds before its publishers wait. Default: 1024.
    pub fn queue_capacity(self, deliveries: usize) -> Self {
        self.set("QUEUE_CAPACITY", deliveries)
    }

    /// How many bytes of payload one subscriber's local queue holds between broker and handlers. One event always fits.
    /// Default: 64 MiB.
    pub fn queue_bytes(self, bytes: usize) -> Self {
        self.set("QUEUE_BYTES", bytes)
    }

    /// The largest payload, in bytes, on publish as on receipt. Default: 8 MiB.
    pub fn max_payload_bytes(self, bytes: usize) -> Self {
        self.set("MAX_PAYLOAD_BYTES", bytes)
    }

    /// How many dead letters are kept for each subscriber. A further one drops the oldest. Default: 10,000.
    pub fn dead_letter_max_count(self, letters: usize) -> Self {
        self.set("DEAD_LETTER_MAX_COUNT", letters)
    }

    /// How many bytes the dead letters of each subscriber may take. A further one drops the oldest. Default: 64 MiB.
    pub fn dead_letter_max_bytes(self, bytes: usize) -> Self {
        self.set("DEAD_LETTER_MAX_BYTES", bytes)
    }

    /// How many processes may die over one delivery, after its handler had begun, before it is a dead letter.
    /// Default: 5.
    pub fn max_interruptions(self, processes: u32) -> Self {
        self.set("MAX_INTERRUPTIONS", processes)
    }

    /// A file of certificates in PEM: the authorities that are trusted besides those of the system (`rediss://`,
    /// `amqps://`). Default: none.
    pub fn tls_ca_file(self, path: impl AsRef<Path>) -> Self {
        self.set("TLS_CA_FILE", path.as_ref().display())
    }

    /// A file with the certificate chain in PEM that the client shows (`rediss://`, `amqps://`). It takes a
    /// [`tls_key_file`](Self::tls_key_file), too. Default: none.
    pub fn tls_cert_file(self, path: impl AsRef<Path>) -> Self {
        self.set("TLS_CERT_FILE", path.as_ref().display())
    }

    /// A file with the private key of the client's certificate, in PEM (`rediss://`, `amqps://`). Default: none.
    pub fn tls_key_file(self, path: impl AsRef<Path>) -> Self {
        self.set("TLS_KEY_FILE", path.as_ref().display())
    }

    /// Whether an event that a broker could not carry unchanged is refused on every backend, the memory backend
    /// included: a test then sees what production would. Default: no.
    pub fn strict(self, strict: bool) -> Self {
        self.set("STRICT", strict)
    }

    /// How long start-up waits for a broker that is late. Default: 30 seconds.
    pub fn connect_timeout(self, timeout: Duration) -> Self {
        self.set("CONNECT_TIMEOUT", read::duration_text(timeout))
    }

    /// How long a publish waits for the broker to confirm it. Default: 10 seconds.
    pub fn publish_timeout(self, timeout: Duration) -> Self {
        self.set("PUBLISH_TIMEOUT", read::duration_text(timeout))
    }

    /// How long shutdown waits for what is in flight. Default: 30 seconds.
    pub fn shutdown_timeout(self, timeout: Duration) -> Self {
        self.set("SHUTDOWN_TIMEOUT", read::duration_text(timeout))
    }

    /// A setting that the bus's backend declares, such as that of a third party.
    pub fn setting(mut self, setting: &'static dyn AnySetting, value: impl Display) -> Self {
        self.give(setting.name(), value.to_string(), By::Setting);
        self
    }

    fn set(mut self, field: &'static str, value: impl Display) -> Self {
        self.give(field, value.to_string(), By::Setter);
        self
    }

    pub(super) fn give(&mut self, field: &'static str, text: String, by: By) {
        self.given.insert(field, Given { text, by });
    }

    /// The backend's name: as given, else by the URL's scheme, else `memory`.
    pub(crate) fn backend_name(&self) -> &str {
        let meant = || match self.parsed_url()? {
            Ok(url) => meant_by(url.scheme()).first().copied(),
            Err(_) => None,
        };
        match self.given.get(BACKEND) {
            Some(named) => &named.text,
            None => meant().unwrap_or("memory"),
        }
    }

    /// Whether anything says how the bus is to be. Nothing does for the default bus of an environment that is silent.
    pub(crate) fn is_given(&self) -> bool {
        self.origin == Origin::Code || !self.given.is_empty()
    }

    /// What the backend is told. What is not valid is left out: [`validate`](Self::validate) reports it.
    pub(crate) fn backend_config(&self) -> BackendConfig {
        let mut config = BackendConfig::default();
        config.url = self.parsed_url().and_then(Result::ok);
        let backend = BackendFactory::find(self.backend_name());
        for (field, Given { text, .. }) in &self.given {
            let _ = match (Common::find(field), backend.and_then(|it| it.own_setting(field))) {
                (Some(common), _) => common.apply(&mut config, text),
                (None, Some(own)) => config.set(own, text),
                (None, None) => Ok(()),
            };
        }
        config
    }

    /// The URL, if one is given.
    pub(super) fn parsed_url(&self) -> Option<Result<BusUrl, InvalidUrl>> {
        self.given.get(URL).map(|url| BusUrl::parse(&url.text))
    }

    /// The variables that set anything.
    pub(super) fn variables(&self) -> impl Iterator<Item = &str> {
        self.given.values().filter_map(|given| match &given.by {
            By::Variable(variable) => Some(&**variable),
            By::Setter | By::Setting => None,
        })
    }

    /// How the user names a field of this bus.
    pub(super) fn spelling(&self, bus: &str, field: &'static str) -> Spelling {
        let bus_name = || bus.to_owned();
        match self.given.get(field).map(|given| &given.by) {
            Some(By::Variable(variable)) => Spelling::Variable(variable.clone()),
            Some(By::Setting) => Spelling::Setting { bus: bus_name(), field },
            None if self.origin == Origin::Environment => {
                Spelling::Variable(variable_name(bus, field))
            }
            Some(By::Setter) | None => Spelling::Setter { bus: Some(bus_name()), field },
        }
    }
}

impl fmt::Debug for BusConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut output = f.debug_struct("BusConfig");
        for (&field, Given { text, .. }) in &self.given {
            let is_secret = match (field, self.parsed_url()) {
                (URL, Some(url)) => url.is_err(),
                _ => declaration(self.backend_name(), field).is_some_and(|it| it.is_secret()),
            };
            output.field(field, &format_args!("{}", shown(text, is_secret)));
        }
        output.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::{RETENTION, TOKEN};

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
        assert_eq!(told.format, Format::Aury);
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
        assert_eq!(told.shutdown_timeout, Duration::from_secs(3));
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
    fn what_a_backend_declares_is_set_and_read_without_anybody_else_knowing_it() {
        let bus = BusConfig::backend("nats").url("nats://host").setting(&RETENTION, "2h");
        let told = bus.backend_config();
        assert_eq!(told.given(&RETENTION), Some(Duration::from_secs(2 * 60 * 60)));
        assert_eq!(told.given(&TOKEN), None);
    }

    #[test]
    fn a_secret_setting_is_shown_nowhere() {
        let bus = BusConfig::backend("nats").setting(&TOKEN, "hunter2").setting(&RETENTION, "1h");
        let shown = format!("{bus:?} {:?} {:?}", bus.backend_config(), bus.validate("default"));
        assert!(!shown.contains("hunter2") && shown.contains("1h"), "{shown}");
    }

    #[test]
    fn the_last_url_counts() {
        let bus = BusConfig::redis("nonsense").url("redis://host");
        assert!(bus.backend_config().url.is_some());
        let bus = bus.url("nonsense");
        assert!(bus.backend_config().url.is_none() && !bus.validate("default").is_empty());
    }
}
