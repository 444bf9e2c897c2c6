//! The configuration of one bus, as its backend sees it.

use std::{
    collections::BTreeMap,
    fmt::{self, Display},
    path::PathBuf,
    time::Duration,
};

use super::{AnySetting, BusUrl, Format, Setting, Unroutable, read};
use crate::capabilities::Capabilities;

/// Declares the settings that every backend has: each is a field of `BackendConfig`, its default, and an entry of the
/// table by which variables and setters reach it. Its documentation, a sentence without its period, is its meaning.
macro_rules! common_settings {
    ($(
        $(#[doc = $meaning:literal])+
        $field:ident: $type:ty = $name:literal, $default:literal, $read:expr, $matters:expr;
    )+) => {
        /// The configuration of one bus, as its backend sees it.
        ///
        /// The fields are the settings that every backend has, which are checked before a backend is made; a backend
        /// ignores those that mean nothing to it. Its own [`Setting`]s are read by [`get`](Self::get) and
        /// [`given`](Self::given).
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct BackendConfig {
            /// Where the broker is. Default: none.
            pub url: Option<BusUrl>,
            $(
                #[doc = concat!($($meaning,)+ ". `EVENT_", $name, "`.")]
                pub $field: $type,
            )+
            pub(crate) own: BTreeMap<&'static str, Value>,
        }

        impl Default for BackendConfig {
            fn default() -> Self {
                Self {
                    url: None,
                    $($field: {
                        let read: fn(&str) -> Result<$type, String> = $read;
                        read($default).expect("the default of a setting is one of its values")
                    },)+
                    own: BTreeMap::new(),
                }
            }
        }

        /// The settings that every backend has.
        pub static COMMON: &[Common] = &[$(
            Common {
                setting: {
                    static SETTING: Setting<$type> =
                        Setting::new($name, concat!($($meaning,)+), $default, $read);
                    &SETTING
                },
                apply: |config, text| {
                    let read: fn(&str) -> Result<$type, String> = $read;
                    config.$field = read(text)?;
                    Ok(())
                },
                matters: $matters,
            },
        )+];
    };
}

const ALWAYS: fn(Capabilities) -> bool = |_| true;
const REMOTE: fn(Capabilities) -> bool = |backend| backend.remote;
const AT_LEAST_ONCE: fn(Capabilities) -> bool = |backend| backend.at_least_once;

common_settings! {
    /// How an envelope is written to a broker: `cloudevents`, `aury`. Every form is understood on receipt
    format: Format = "FORMAT", "cloudevents", read::choice, REMOTE;

    /// What becomes of an event that nobody has ever subscribed to: `ignore`, `warn`, `error`
    unroutable: Unroutable = "UNROUTABLE", "warn", read::choice, ALWAYS;

    /// Deliveries that one subscriber's local queue holds before the side that fills it has to wait
    queue_capacity: usize = "QUEUE_CAPACITY", "1024", |text| read::number(text, 1..=1 << 28), ALWAYS;

    /// Bytes of payload that one subscriber's local queue holds between broker and handlers; one event always fits
    queue_bytes: usize = "QUEUE_BYTES", "67108864", bytes, REMOTE;

    /// Bytes of the largest payload, on publish as on receipt
    max_payload_bytes: usize =
        "MAX_PAYLOAD_BYTES", "8388608", |text| read::number(text, 1..=512 << 20), ALWAYS;

    /// Dead letters that are kept for each subscriber; a further one drops the oldest, which is counted
    dead_letter_max_count: usize =
        "DEAD_LETTER_MAX_COUNT", "10000", |text| read::number(text, 1..=1 << 28), ALWAYS;

    /// Bytes that the dead letters of each subscriber may take; a further one drops the oldest, which is counted
    dead_letter_max_bytes: usize = "DEAD_LETTER_MAX_BYTES", "67108864", bytes, ALWAYS;

    /// Processes that may die over one delivery, after its handler had begun, before it is a dead letter
    max_interruptions: u32 =
        "MAX_INTERRUPTIONS", "5", |text| read::number(text, 1..=1_000), AT_LEAST_ONCE;

    /// A file of certificates in PEM: authorities that are trusted besides those of the system
    tls_ca_file: Option<PathBuf> = "TLS_CA_FILE", "", read::path, REMOTE;

    /// A file with the client's certificate chain in PEM
    tls_cert_file: Option<PathBuf> = "TLS_CERT_FILE", "", read::path, REMOTE;

    /// A file with the private key of that certificate, in PEM
    tls_key_file: Option<PathBuf> = "TLS_KEY_FILE", "", read::path, REMOTE;

    /// Whether the memory backend, too, refuses an event that a broker could not carry unchanged: `true`, `false`
    strict: bool = "STRICT", "false", read::flag, ALWAYS;

    /// How long start-up waits for a broker that is late
    connect_timeout: Duration = "CONNECT_TIMEOUT", "30s", read::duration, REMOTE;

    /// How long a publish may take until the broker has confirmed it
    publish_timeout: Duration = "PUBLISH_TIMEOUT", "10s", read::duration, ALWAYS;

    /// How long shutdown waits for what is in flight
    shutdown_timeout: Duration = "SHUTDOWN_TIMEOUT", "30s", read::duration, ALWAYS;
}

/// A bound in bytes. Brokers count in 63 bits.
fn bytes(text: &str) -> Result<usize, String> {
    read::number(text, 1..=isize::MAX as usize)
}

/// How many deliveries a subscriber may hold unacknowledged; none leaves that to
/// [`prefetch_for`](BackendConfig::prefetch_for). For backends with a broker that counts them.
// AMQP 0-9-1 carries it in 16 bits (`basic.qos`).
pub static PREFETCH: Setting<Option<u32>> =
    Setting::new("PREFETCH", "Deliveries that one subscriber holds unacknowledged", "", |text| {
        read::optional(text, |text| read::number(text, 1..=65_535))
    })
    .default_is("max(32, 2 × concurrency); redis-streams: max(256, 2 × concurrency)");

/// A setting that every backend has.
#[derive(Debug)]
pub struct Common {
    setting: &'static dyn AnySetting,
    apply: fn(&mut BackendConfig, &str) -> Result<(), String>,
    matters: fn(Capabilities) -> bool,
}

impl Common {
    /// The setting of that name.
    pub fn find(name: &str) -> Option<&'static Self> {
        COMMON.iter().find(|common| common.setting.name() == name)
    }

    /// Its declaration.
    pub fn setting(&self) -> &'static dyn AnySetting {
        self.setting
    }

    /// Sets it.
    ///
    /// # Errors
    ///
    /// What was expected in place of that text.
    pub fn apply(&self, config: &mut BackendConfig, text: &str) -> Result<(), String> {
        (self.apply)(config, text)
    }

    /// Whether it changes anything for a backend of these capabilities.
    pub fn matters_to(&self, backend: Capabilities) -> bool {
        (self.matters)(backend)
    }
}

/// The text of a setting, which was checked.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Value {
    text: String,
    is_secret: bool,
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_secret { f.write_str("***") } else { fmt::Debug::fmt(&self.text, f) }
    }
}

impl BackendConfig {
    /// The value of a backend's own setting: as given, else its default.
    ///
    /// # Panics
    ///
    /// If the default is no value of the setting, or if another setting of that name was set.
    pub fn get<T>(&self, setting: &Setting<T>) -> T {
        let default = || setting.read(setting.default_text());
        let value = match self.own.get(setting.name()) {
            Some(value) => setting.read(&value.text),
            None => default(),
        };
        value.unwrap_or_else(|expected| {
            panic!("{setting:?} holds a value that it refuses: {expected}")
        })
    }

    /// The value of a backend's own setting, if anybody has set it.
    ///
    /// # Panics
    ///
    /// As [`get`](Self::get).
    pub fn given<T>(&self, setting: &Setting<T>) -> Option<T> {
        self.own.contains_key(setting.name()).then(|| self.get(setting))
    }

    /// Sets a backend's own setting.
    ///
    /// # Errors
    ///
    /// What was expected in place of that text; nothing is set then.
    pub fn set(&mut self, setting: &dyn AnySetting, value: impl Display) -> Result<(), String> {
        let text = value.to_string();
        setting.check(&text)?;
        self.own.insert(setting.name(), Value { text, is_secret: setting.is_secret() });
        Ok(())
    }

    /// How many deliveries a subscriber of this concurrency may hold unacknowledged: as [`PREFETCH`] says, else twice
    /// its concurrency and at least `least`, so that no handler waits for a round trip to the broker; and no more than
    /// the 65,535 that AMQP 0-9-1 can count.
    pub fn prefetch_for(&self, concurrency: usize, least: u32) -> u32 {
        let twice = u32::try_from(concurrency.saturating_mul(2)).unwrap_or(u32::MAX);
        self.get(&PREFETCH).unwrap_or(twice.max(least)).min(65_535)
    }

    /// The common settings that do not go together: the name of one of them, and what is missing.
    pub fn contradictions(&self) -> Vec<(&'static str, &'static str)> {
        match (&self.tls_cert_file, &self.tls_key_file) {
            (Some(_), None) => vec![("TLS_CERT_FILE", "TLS_KEY_FILE")],
            (None, Some(_)) => vec![("TLS_KEY_FILE", "TLS_CERT_FILE")],
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static TOKEN: Setting<String> = Setting::new("TOKEN", "a secret", "", read::text).secret();

    #[test]
    fn every_default_is_a_value() {
        for common in COMMON {
            let setting = common.setting();
            assert_eq!(setting.check(setting.default_text()), Ok(()), "{setting:?}");
            assert_eq!(Common::find(setting.name()).unwrap().setting().name(), setting.name());
        }
    }

    #[test]
    fn prefetch_keeps_every_handler_busy_unless_it_is_configured() {
        let mut config = BackendConfig::default();
        assert_eq!(config.prefetch_for(1, 32), 32);
        assert_eq!(config.prefetch_for(100, 32), 200);
        assert_eq!(config.prefetch_for(usize::MAX, 32), 65_535);
        config.set(&PREFETCH, 5).unwrap();
        assert_eq!(config.prefetch_for(100, 256), 5);
    }

    #[test]
    fn a_setting_is_given_only_when_somebody_has_set_it() {
        let mut config = BackendConfig::default();
        assert_eq!(config.given(&PREFETCH), None);
        assert!(config.set(&PREFETCH, "many").is_err());
        assert_eq!(config.given(&PREFETCH), None);
        config.set(&PREFETCH, 7).unwrap();
        assert_eq!(config.given(&PREFETCH), Some(Some(7)));
    }

    #[test]
    fn debug_output_holds_no_password_and_no_secret() {
        let url = "amqp://shop:hunter2@broker".parse().ok();
        let mut config = BackendConfig { url, ..BackendConfig::default() };
        config.set(&TOKEN, "hunter3").unwrap();
        assert!(!format!("{config:?}").contains("hunter"), "{config:?}");
        assert!(format!("{config:#?}").contains("amqp://shop:***@broker"));
    }
}
