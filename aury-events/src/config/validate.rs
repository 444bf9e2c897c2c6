//! What makes the configuration of a bus unusable, wherever it comes from.

use super::{BusConfig, ConfigProblem, setting::Setting, values};

/// A backend of this project.
struct Known {
    name: &'static str,
    /// The schemes of the URLs it takes; none for one that needs no URL.
    schemes: &'static [&'static str],
    example: &'static str,
}

const REDIS_SCHEMES: &[&str] = &["redis", "rediss", "redis+unix", "unix"];

/// The first that takes a scheme is what a URL means that stands alone.
static KNOWN: [Known; 4] = [
    Known { name: "memory", schemes: &[], example: "" },
    Known { name: "redis", schemes: REDIS_SCHEMES, example: "redis://localhost:6379" },
    Known { name: "redis-streams", schemes: REDIS_SCHEMES, example: "redis://localhost:6379" },
    Known { name: "rabbitmq", schemes: &["amqp", "amqps"], example: "amqp://localhost:5672" },
];

/// The backend that a URL of that scheme means by itself.
pub(super) fn backend_for(scheme: &str) -> Option<&'static str> {
    KNOWN.iter().find(|known| known.schemes.contains(&scheme)).map(|known| known.name)
}

/// The names of this project's backends, whether this build contains them or not.
pub(crate) fn known_backends() -> impl Iterator<Item = &'static str> {
    KNOWN.iter().map(|known| known.name)
}

/// All schemes that mean a backend by themselves.
fn schemes() -> Vec<&'static str> {
    let meant = |known: &'static Known| {
        known.schemes.iter().copied().filter(|scheme| backend_for(scheme) == Some(known.name))
    };
    KNOWN.iter().flat_map(meant).collect()
}

impl BusConfig {
    /// All that is wrong with the configuration of the bus of that name. Whether the backend exists is not asked here.
    pub(crate) fn validate(&self, bus: &str) -> Vec<ConfigProblem> {
        let mut problems: Vec<_> = self.check_url(bus).into_iter().collect();
        let backend = &self.transport;
        let mut check = |field, value: String, checked: Result<(), String>| {
            if let Err(expected) = checked {
                let setting = self.origin.setting(bus, field);
                problems.push(ConfigProblem::value(setting, &value, expected));
            }
        };
        if let Some(name) = &self.backend {
            check("BACKEND", name.clone(), values::backend(name).map(drop));
        }
        let exchange = &backend.exchange_name;
        check("EXCHANGE_NAME", exchange.clone(), values::exchange(exchange).map(drop));
        if let Some(prefetch) = backend.prefetch {
            check("PREFETCH", prefetch.to_string(), values::within(&prefetch, &values::PREFETCH));
        }
        for (field, number, range) in [
            ("QUEUE_CAPACITY", backend.queue_capacity, values::QUEUE_CAPACITY),
            ("QUEUE_BYTES", backend.queue_bytes, values::BYTES),
            ("MAX_PAYLOAD_BYTES", backend.max_payload_bytes, values::MAX_PAYLOAD_BYTES),
            ("DEAD_LETTER_MAX_COUNT", backend.dead_letter_max_count, values::DEAD_LETTERS),
            ("DEAD_LETTER_MAX_BYTES", backend.dead_letter_max_bytes, values::BYTES),
        ] {
            check(field, number.to_string(), values::within(&number, &range));
        }
        let interruptions = &backend.max_interruptions;
        check(
            "MAX_INTERRUPTIONS",
            interruptions.to_string(),
            values::within(interruptions, &values::MAX_INTERRUPTIONS),
        );
        for (field, timeout) in [
            ("CONNECT_TIMEOUT", backend.connect_timeout),
            ("PUBLISH_TIMEOUT", backend.publish_timeout),
            ("SHUTDOWN_TIMEOUT", self.shutdown_timeout),
        ] {
            check(field, format!("{timeout:?}"), values::timeout(timeout).map(drop));
        }
        problems
    }

    /// Whether there is a URL where one is needed, and none where it would be ignored.
    fn check_url(&self, bus: &str) -> Option<ConfigProblem> {
        let setting = self.origin.setting(bus, "URL");
        if let Some(refused) = self.refused_url {
            return Some(ConfigProblem::refused_url(setting, refused));
        }
        let url = self.transport.url.as_ref();
        if let (None, Some(url)) = (&self.backend, url)
            && backend_for(url.scheme()).is_none()
        {
            let backend = self.origin.setting(bus, "BACKEND");
            return Some(ConfigProblem::unknown_scheme(setting, url.clone(), backend, schemes()));
        }
        let known = KNOWN.iter().find(|known| known.name == self.backend_name())?;
        match url {
            None if known.schemes.is_empty() => None,
            None => Some(ConfigProblem::no_url(setting, known.name, known.example)),
            Some(url) if known.schemes.contains(&url.scheme()) => None,
            Some(url) => {
                Some(ConfigProblem::unfit_url(setting, url.clone(), known.name, known.schemes))
            }
        }
    }
}

/// Whether a service may be called that, when code names it; the environment's is checked as it is read.
pub(crate) fn check_service(name: &str) -> Result<(), ConfigProblem> {
    check_setter("SERVICE", name, values::service(name))
}

/// Whether events may carry that as their source, when code says so.
pub(crate) fn check_source(uri: &str) -> Result<(), ConfigProblem> {
    check_setter("SOURCE", uri, values::source(uri))
}

/// Whether that can select subscribers, when code says so.
pub(crate) fn check_subscribers(globs: &str) -> Result<(), ConfigProblem> {
    check_setter("SUBSCRIBERS", globs, values::subscribers(globs))
}

/// Whether a bus may be called that, when code names it: only such names can stand on an event, and in a variable.
pub(crate) fn check_bus(name: &str) -> Result<(), ConfigProblem> {
    check_setter("BUS", name, values::bus(name))
}

fn check_setter(
    field: &'static str,
    value: &str,
    checked: Result<String, String>,
) -> Result<(), ConfigProblem> {
    checked.map(drop).map_err(|expected| {
        ConfigProblem::value(Setting::Setter { bus: None, field }, value, expected)
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn problems(bus: &BusConfig) -> Vec<String> {
        bus.validate("orders").iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_the_constructors_make_is_valid() {
        for bus in [
            BusConfig::memory(),
            BusConfig::redis("rediss://host"),
            BusConfig::redis("unix:///run/redis.sock"),
            BusConfig::redis_streams("redis://host"),
            BusConfig::rabbitmq("amqps://host/vhost"),
            BusConfig::backend("nats"),
            BusConfig::backend("nats").url("nats://host"),
        ] {
            assert_eq!(problems(&bus), [""; 0]);
        }
    }

    #[test]
    fn a_url_has_to_fit_the_backend() {
        for (bus, problem) in [
            (
                BusConfig::redis("amqp://shop:pw@host"),
                "`.url(..)` of bus `orders` is `amqp://shop:***@host`, but backend `redis` expects a URL that begins \
                 with `redis://`, `rediss://`, `redis+unix://` or `unix://`",
            ),
            (
                BusConfig::rabbitmq("redis://host"),
                "`.url(..)` of bus `orders` is `redis://host`, but backend `rabbitmq` expects a URL that begins with \
                 `amqp://` or `amqps://`",
            ),
            (
                BusConfig::memory().url("redis://host"),
                "`.url(..)` of bus `orders` is `redis://host`, but backend `memory` takes no URL: remove it, or \
                 choose another backend",
            ),
            (
                BusConfig::backend("redis-streams"),
                "`.url(..)` of bus `orders` is not set: backend `redis-streams` needs a URL such as \
                 `redis://localhost:6379`",
            ),
            (
                BusConfig::rabbitmq("shop:pw@host"),
                "`.url(..)` of bus `orders` (12 characters, not shown) is no usable URL: it does not begin with \
                 a scheme and `://`, as in `redis://localhost:6379`",
            ),
        ] {
            assert_eq!(problems(&bus), [problem]);
        }
    }

    #[test]
    fn every_value_out_of_range_is_reported() {
        let bus = BusConfig::backend("my backend")
            .exchange_name("")
            .prefetch(0)
            .queue_capacity(0)
            .max_payload_bytes(0)
            .connect_timeout(Duration::ZERO)
            .publish_timeout(Duration::ZERO)
            .shutdown_timeout(Duration::MAX);
        let problems = problems(&bus);
        let fields = [
            "backend",
            "exchange_name",
            "prefetch",
            "queue_capacity",
            "max_payload_bytes",
            "connect_timeout",
            "publish_timeout",
            "shutdown_timeout",
        ];
        assert_eq!(problems.len(), fields.len());
        for (problem, field) in problems.iter().zip(fields) {
            assert!(
                problem.starts_with(&format!("`.{field}(..)` of bus `orders` is ")),
                "{problem}"
            );
        }
        assert_eq!(
            problems[2],
            "`.prefetch(..)` of bus `orders` is `0`: expected a whole number from 1 to 65535"
        );
    }

    #[test]
    fn a_service_is_named_in_letters_digits_and_a_few_signs() {
        assert!(check_service("shop-2.eu_west").is_ok());
        assert_eq!(
            check_service("my shop").unwrap_err().to_string(),
            "`.service(..)` is `my shop`: expected letters, digits, `_`, `-` and `.`"
        );
    }
}
