//! What a backend needs to know about the bus it carries.
//!
//! - [`BackendConfig`]: all of it, with a safe default for each field;
//! - [`BusUrl`]: where the broker is, in a type that never prints a password;
//! - [`ExchangeType`], [`QueueType`], [`Unroutable`], [`Format`]: settings that are one of a few words.

mod choice;
mod mask;
mod url;

use std::{path::PathBuf, time::Duration};

pub use self::{
    choice::{ExchangeType, Format, InvalidChoice, QueueType, Unroutable},
    url::{BusUrl, InvalidUrl},
};

/// The configuration of one bus, as its backend sees it.
///
/// A backend ignores what means nothing to it. Values are checked before a backend is made: the exchange has a name,
/// and counts and times are greater than zero.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackendConfig {
    /// Where the broker is. Default: none, which only the memory backend can do with.
    pub url: Option<BusUrl>,
    /// What the names of channels and streams begin with (redis, redis-streams). Default: `events:`.
    pub key_prefix: String,
    /// The exchange that events are published to (rabbitmq). Default: `aury.events`.
    pub exchange_name: String,
    /// How that exchange routes (rabbitmq). Default: topic.
    pub exchange_type: ExchangeType,
    /// Which kind of queue holds what is not handled yet (rabbitmq). Default: quorum.
    pub queue_type: QueueType,
    /// What happens when an event is published that no queue is bound for (rabbitmq). Default: it is logged.
    pub unroutable: Unroutable,
    /// How an envelope is written. Default: CloudEvents.
    pub format: Format,
    /// How many deliveries each subscriber may hold unacknowledged (rabbitmq, redis-streams). Default: none, by which
    /// [`prefetch_for`](Self::prefetch_for) decides.
    pub prefetch: Option<u32>,
    /// How many deliveries each subscriber's local queue holds before the side that fills it has to wait. Default:
    /// 1024.
    pub queue_capacity: usize,
    /// How many bytes of payload each subscriber's local queue holds between broker and handlers. One event always
    /// fits, however large. Default: 64 MiB.
    pub queue_bytes: usize,
    /// The largest payload, in bytes, on publish as on receipt. Default: 8 MiB.
    pub max_payload_bytes: usize,
    /// How many dead letters are kept for each subscriber. A further one drops the oldest, which is counted. Default:
    /// 10,000.
    pub dead_letter_max_count: usize,
    /// How many bytes the dead letters of each subscriber may take. A further one drops the oldest, which is counted;
    /// one always fits. Default: 64 MiB.
    pub dead_letter_max_bytes: usize,
    /// How many processes may die over one delivery, after its handler had begun, before it is a dead letter.
    /// Default: 5.
    pub max_interruptions: u32,
    /// A file of certificates in PEM: the authorities that are trusted besides those of the system. Default: none.
    pub tls_ca_file: Option<PathBuf>,
    /// A file with the certificate chain in PEM that the client shows. Default: none.
    pub tls_cert_file: Option<PathBuf>,
    /// A file with the private key of that certificate, in PEM. Default: none.
    pub tls_key_file: Option<PathBuf>,
    /// Whether an event that a broker could not carry unchanged is refused on every backend, the memory backend
    /// included. Default: no.
    pub strict: bool,
    /// How long start-up waits for a broker that is late. Default: 30 seconds.
    pub connect_timeout: Duration,
    /// How long a publish may take until the broker has confirmed it. Default: 10 seconds.
    pub publish_timeout: Duration,
}

impl BackendConfig {
    /// How many deliveries a subscriber of this concurrency may hold unacknowledged: as configured, else twice its
    /// concurrency and at least 32, so that no handler waits for a round trip to the broker; and no more than the
    /// 65,535 that AMQP 0-9-1 can count.
    pub fn prefetch_for(&self, concurrency: usize) -> u32 {
        let twice = u32::try_from(concurrency.saturating_mul(2)).unwrap_or(u32::MAX);
        self.prefetch.unwrap_or(twice.max(32)).min(65_535)
    }
}

impl Default for BackendConfig {
    fn default() -> Self {
        Self {
            url: None,
            key_prefix: "events:".to_owned(),
            exchange_name: "aury.events".to_owned(),
            exchange_type: ExchangeType::default(),
            queue_type: QueueType::default(),
            unroutable: Unroutable::default(),
            format: Format::default(),
            prefetch: None,
            queue_capacity: 1024,
            queue_bytes: 64 * 1024 * 1024,
            max_payload_bytes: 8 * 1024 * 1024,
            dead_letter_max_count: 10_000,
            dead_letter_max_bytes: 64 * 1024 * 1024,
            max_interruptions: 5,
            tls_ca_file: None,
            tls_cert_file: None,
            tls_key_file: None,
            strict: false,
            connect_timeout: Duration::from_secs(30),
            publish_timeout: Duration::from_secs(10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefetch_keeps_every_handler_busy_unless_it_is_configured() {
        let mut config = BackendConfig::default();
        assert_eq!(config.prefetch_for(1), 32);
        assert_eq!(config.prefetch_for(100), 200);
        assert_eq!(config.prefetch_for(usize::MAX), 65_535);
        config.prefetch = Some(5);
        assert_eq!(config.prefetch_for(100), 5);
    }

    #[test]
    fn debug_output_holds_no_password() {
        let url = "amqp://shop:hunter2@broker".parse().ok();
        let config = BackendConfig { url, ..BackendConfig::default() };
        assert!(!format!("{config:?}").contains("hunter2"));
        assert!(format!("{config:#?}").contains("amqp://shop:***@broker"));
    }
}
