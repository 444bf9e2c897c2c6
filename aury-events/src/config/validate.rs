//! What makes the configuration of a bus unusable, wherever it comes from.

use aury_events_backends::{BackendFactory, config::Common};

use super::{
    BusConfig, ConfigProblem,
    bus::{BACKEND, Given, URL},
    declared::{declaration, meant_by, owners, schemes},
    spelling::Spelling,
    values,
    warning::ConfigWarning,
};

impl BusConfig {
    /// All that is wrong with the configuration of the bus of that name. Whether the backend exists is not asked here.
    pub(crate) fn validate(&self, bus: &str) -> Vec<ConfigProblem> {
        let mut problems: Vec<_> = self.check_url(bus).into_iter().collect();
        for (&field, Given { text, .. }) in &self.given {
            let setting = declaration(self.backend_name(), field);
            let checked = match (field, setting) {
                (BACKEND, _) => values::backend(text).map(drop),
                (_, Some(setting)) => setting.check(text),
                // A malformed URL was found above. A setting that nobody declares is worth a warning.
                (_, None) => Ok(()),
            };
            if let Err(expected) = checked {
                let is_secret = setting.is_some_and(|it| it.is_secret());
                let spelling = self.spelling(bus, field);
                problems.push(ConfigProblem::value(spelling, text, is_secret, expected));
            }
        }
        let told = self.backend_config();
        problems.extend(told.contradictions().into_iter().map(|(field, missing)| {
            let missing = self.spelling(bus, missing);
            ConfigProblem::incomplete(self.spelling(bus, field), missing)
        }));
        problems
    }

    /// What is set and changes nothing.
    pub(crate) fn warnings(&self, bus: &str) -> Vec<ConfigWarning> {
        let Some(backend) = BackendFactory::find(self.backend_name()) else {
            return Vec::new();
        };
        let matters = |field| match Common::find(field) {
            Some(common) => common.matters_to(backend.capabilities()),
            None => backend.own_setting(field).is_some(),
        };
        let idle = self.given.keys().filter(|field| ![BACKEND, URL].contains(field));
        let idle = idle.filter(|field| !matters(field));
        idle.map(|field| ConfigWarning::NoEffect {
            setting: self.spelling(bus, field),
            bus: bus.to_owned(),
            backend: backend.name(),
            owners: owners(field),
        })
        .collect()
    }

    /// Whether there is a URL where one is needed, and none where it would be ignored.
    fn check_url(&self, bus: &str) -> Option<ConfigProblem> {
        let spelling = self.spelling(bus, URL);
        let url = match (self.parsed_url(), self.given.get(URL)) {
            (Some(Err(reason)), Some(Given { text, .. })) => {
                let length = text.chars().count();
                return Some(ConfigProblem::refused_url(spelling, length, reason));
            }
            (url, _) => url.and_then(Result::ok),
        };
        if let (None, Some(url)) = (self.given.get(BACKEND), &url) {
            let backend = self.spelling(bus, BACKEND);
            match meant_by(url.scheme())[..] {
                [_] => {}
                [] => {
                    let url = url.clone();
                    return Some(ConfigProblem::unknown_scheme(spelling, url, backend, schemes()));
                }
                ref several => {
                    let (url, several) = (url.clone(), several.to_vec());
                    return Some(ConfigProblem::ambiguous(spelling, url, backend, several));
                }
            }
        }
        let backend = BackendFactory::find(self.backend_name())?;
        match url {
            None if backend.schemes().is_empty() => None,
            None => Some(ConfigProblem::no_url(spelling, backend)),
            Some(url) if backend.schemes().contains(&url.scheme()) => None,
            Some(url) => Some(ConfigProblem::unfit_url(spelling, url, backend)),
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
        ConfigProblem::value(Spelling::Setter { bus: None, field }, value, false, expected)
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{
        bus::{By, Origin},
        testing::{RETENTION, TOKEN},
    };

    fn problems(bus: &BusConfig) -> Vec<String> {
        bus.validate("orders").iter().map(ToString::to_string).collect()
    }

    fn warnings(bus: &BusConfig) -> Vec<String> {
        bus.warnings("orders").iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_the_constructors_make_is_valid() {
        for bus in [
            BusConfig::memory(),
            BusConfig::redis("rediss://host"),
            BusConfig::redis("unix:///run/redis.sock"),
            BusConfig::redis_streams("redis://host"),
            BusConfig::rabbitmq("amqps://host/vhost"),
            BusConfig::backend("nats").url("nats://host"),
            BusConfig::backend("unheard_of"),
            BusConfig::backend("unheard_of").url("unheard-of://host"),
        ] {
            assert_eq!(problems(&bus), [""; 0]);
            assert_eq!(warnings(&bus), [""; 0]);
        }
    }

    #[test]
    fn a_url_has_to_fit_the_backend() {
        for (bus, problem) in [
            (
                BusConfig::backend("nats").url("amqp://shop:pw@host"),
                "`.url(..)` of bus `orders` is `amqp://shop:***@host`, but backend `nats` expects a URL that begins \
                 with `nats://` or `nats+tls://`",
            ),
            (
                BusConfig::memory().url("redis://host"),
                "`.url(..)` of bus `orders` is `redis://host`, but backend `memory` takes no URL: remove it, or \
                 choose another backend",
            ),
            (
                BusConfig::backend("nats"),
                "`.url(..)` of bus `orders` is not set: backend `nats` needs a URL such as `nats://localhost:4222`",
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

    #[cfg(all(feature = "redis", feature = "rabbitmq"))]
    #[test]
    fn this_projects_backends_say_which_urls_they_take() {
        for (bus, problem) in [
            (
                BusConfig::rabbitmq("redis://host"),
                "`.url(..)` of bus `orders` is `redis://host`, but backend `rabbitmq` expects a URL that begins with \
                 `amqp://` or `amqps://`",
            ),
            (
                BusConfig::backend("redis-streams"),
                "`.url(..)` of bus `orders` is not set: backend `redis-streams` needs a URL such as \
                 `redis://localhost:6379`",
            ),
        ] {
            assert_eq!(problems(&bus), [problem]);
        }
    }

    #[test]
    fn every_value_out_of_range_is_reported() {
        let bus = BusConfig::backend("my backend")
            .queue_capacity(0)
            .max_payload_bytes(0)
            .connect_timeout(Duration::ZERO)
            .publish_timeout(Duration::ZERO)
            .shutdown_timeout(Duration::MAX);
        let problems = problems(&bus);
        let fields = [
            "backend",
            "connect_timeout",
            "max_payload_bytes",
            "publish_timeout",
            "queue_capacity",
            "shutdown_timeout",
        ];
        assert_eq!(problems.len(), fields.len(), "{problems:?}");
        for (problem, field) in problems.iter().zip(fields) {
            assert!(
                problem.starts_with(&format!("`.{field}(..)` of bus `orders` is ")),
                "{problem}"
            );
        }
        assert_eq!(
            problems[4],
            "`.queue_capacity(..)` of bus `orders` is `0`: expected a whole number from 1 to 268435456"
        );
    }

    #[test]
    fn a_secret_value_is_refused_without_being_shown() {
        let bus = BusConfig::backend("nats").url("nats://host").setting(&TOKEN, "wrong");
        assert_eq!(
            problems(&bus),
            [
                "the setting `TOKEN` of bus `orders` is a text of 5 characters (not shown): expected a token"
            ]
        );
    }

    #[test]
    fn a_certificate_without_its_key_is_refused() {
        let bus = BusConfig::backend("nats").url("nats://host");
        assert_eq!(
            problems(&bus.clone().tls_cert_file("cert.pem")),
            [
                "`.tls_cert_file(..)` of bus `orders` needs `.tls_key_file(..)` of bus `orders` beside it"
            ]
        );
        assert_eq!(problems(&bus.tls_cert_file("cert.pem").tls_key_file("key.pem")), [""; 0]);
    }

    #[test]
    fn a_scheme_that_two_crates_take_means_none_of_them() {
        let mut bus = BusConfig::new(Origin::Environment);
        bus.give(URL, "shared://host".to_owned(), By::Variable("EVENT_URL".to_owned()));
        assert_eq!(
            problems(&bus),
            [
                "`EVENT_URL` is `shared://host`, which means the backend `one` as well as `other`: choose one by \
              `EVENT_ORDERS_BACKEND`"
            ]
        );
    }

    #[test]
    fn what_another_backend_would_read_is_set_without_effect() {
        let bus =
            BusConfig::memory().setting(&RETENTION, "1h").tls_ca_file("ca.pem").queue_capacity(1);
        assert_eq!(
            warnings(&bus),
            [
                "the setting `RETENTION` of bus `orders` has no effect: it is a setting of the backend `nats`, and the backend \
                 of the bus `orders` is `memory`",
                "`.tls_ca_file(..)` of bus `orders` has no effect on the backend `memory` of the bus `orders`",
            ]
        );
        assert_eq!(warnings(&BusConfig::backend("nats").setting(&RETENTION, "1h")), [""; 0]);
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
