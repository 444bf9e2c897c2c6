//! Whole environments: what they set, and what is said about their mistakes.

use std::time::Duration;

use super::*;
use crate::config::testing::RETENTION;

fn environment(vars: &[(&str, &str)]) -> Environment {
    Environment::from_vars(vars.iter().map(|(name, value)| (name.into(), value.into())))
}

/// Of an environment that holds no mistake.
fn sound(vars: &[(&str, &str)]) -> Environment {
    let environment = environment(vars);
    assert_eq!(problems(&environment), [""; 0]);
    assert_eq!(environment.warnings, []);
    environment
}

/// Those of the variables, and then those of the buses.
fn problems(environment: &Environment) -> Vec<String> {
    let of_buses = environment.buses.iter().flat_map(|(name, bus)| bus.validate(name));
    environment.problems.iter().cloned().chain(of_buses).map(|it| it.to_string()).collect()
}

fn warnings(vars: &[(&str, &str)]) -> Vec<String> {
    environment(vars).warnings.iter().map(ToString::to_string).collect()
}

fn url(environment: &Environment, bus: &str) -> String {
    environment.buses[bus].backend_config().url.as_ref().unwrap().to_string()
}

#[test]
fn nothing_set_is_one_bus_in_memory() {
    let environment = sound(&[("PATH", "/bin"), ("event_url", "x"), ("EVENT_URL", "  ")]);
    assert_eq!(environment.buses.keys().collect::<Vec<_>>(), ["default"]);
    assert_eq!(environment.buses["default"].backend_name(), "memory");
    assert_eq!(environment.service, None);
    assert!(!environment.buses["default"].is_given());
}

#[test]
fn named_buses_stand_beside_the_default_one() {
    let environment = sound(&[
        ("EVENT_DOMAIN_URL", " amqps://broker/shop\n"),
        ("EVENT_MY_BUS_BACKEND", "redis-streams"),
        ("EVENT__MY_BUS__URL", "redis://host"),
    ]);
    let names: Vec<_> =
        environment.buses.iter().map(|(name, bus)| (name.as_str(), bus.backend_name())).collect();
    assert_eq!(names, [("default", "memory"), ("domain", "rabbitmq"), ("my_bus", "redis-streams")]);
    assert_eq!(url(&environment, "domain"), "amqps://broker/shop");
    assert!(environment.buses["domain"].is_given() && !environment.buses["default"].is_given());
}

#[test]
fn every_field_is_applied() {
    let environment = sound(&[
        ("EVENT_BACKEND", "nats"),
        ("EVENT_URL", "nats://host"),
        ("EVENT_RETENTION", "2h"),
        ("EVENT_FORMAT", "aury"),
        ("EVENT_QUEUE_CAPACITY", "8"),
        ("EVENT_MAX_PAYLOAD_BYTES", "9"),
        ("EVENT_CONNECT_TIMEOUT", "1s"),
        ("EVENT_PUBLISH_TIMEOUT", "2s"),
        ("EVENT_SHUTDOWN_TIMEOUT", "3s"),
        ("EVENT_SERVICE", "shop"),
        ("EVENT_SOURCE", "/shop"),
        ("EVENT_MAX_HOPS", "9"),
        ("EVENT_SUBSCRIBERS", "shop::*"),
    ]);
    let bus = &environment.buses["default"];
    let expected = BusConfig::backend("nats")
        .url("nats://host")
        .setting(&RETENTION, "2h")
        .format("aury".parse().unwrap())
        .queue_capacity(8)
        .max_payload_bytes(9)
        .connect_timeout(Duration::from_secs(1))
        .publish_timeout(Duration::from_secs(2))
        .shutdown_timeout(Duration::from_secs(3));
    assert_eq!(bus.backend_name(), "nats");
    assert_eq!(bus.backend_config(), expected.backend_config());
    assert_eq!(bus.backend_config().get(&RETENTION), Duration::from_secs(2 * 60 * 60));
    assert_eq!(environment.service.as_deref(), Some("shop"));
    assert_eq!(environment.source.as_deref(), Some("/shop"));
    assert_eq!(environment.max_hops, Some(9));
    assert_eq!(environment.subscribers.as_deref(), Some("shop::*"));
}

#[test]
fn the_scheme_decides_where_no_backend_is_named() {
    for (url, backend) in [
        ("redis://host", "redis"),
        ("rediss://host", "redis"),
        ("redis+unix:///run/redis.sock", "redis"),
        ("unix:///run/redis.sock", "redis"),
        ("amqp://host", "rabbitmq"),
        ("AMQPS://host", "rabbitmq"),
        ("nats://host", "nats"),
    ] {
        assert_eq!(sound(&[("EVENT_URL", url)]).buses["default"].backend_name(), backend);
    }
    sound(&[("EVENT_URL", "nats+tls://host")]);
    let refused = problems(&environment(&[("EVENT_URL", "natz://shop:pw@host")]));
    let [refused] = &refused[..] else { panic!("{refused:?}") };
    let start = "`EVENT_URL` is `natz://shop:***@host`, which says no backend: expected `amqp://`, `amqps://`";
    assert!(
        refused.starts_with(start) && refused.ends_with(", or `EVENT_BACKEND` beside it"),
        "{refused}"
    );
    sound(&[("EVENT_URL", "natz://host"), ("EVENT_BACKEND", "natz")]);
}

#[test]
fn the_explicit_default_wins() {
    let environment = sound(&[
        ("EVENT_URL", "redis://plain"),
        ("EVENT__DEFAULT__URL", "redis://explicit"),
        ("EVENT_DEFAULT_URL", "redis://explicit"),
    ]);
    assert_eq!(url(&environment, "default"), "redis://explicit");
}

#[test]
fn two_spellings_have_to_agree() {
    sound(&[("EVENT_A_URL", "redis://a"), ("EVENT__A__URL", "redis://a")]);
    assert_eq!(
        problems(&environment(&[
            ("EVENT__A__URL", "redis://:pw@b"),
            ("EVENT_A_URL", "redis://:pw@a")
        ])),
        ["`EVENT_A_URL` and `EVENT__A__URL` set one thing to different values: keep one of them"]
    );
}

#[test]
fn every_bad_variable_is_reported_by_the_name_it_was_spelled_with() {
    let environment = environment(&[
        ("EVENT_QUEUE_CAPACITY", "many"),
        ("EVENT_CONNECT_TIMEOUT", "30"),
        ("EVENT_SERVICE", "redis://shop:pw@host"),
        ("EVENT_A_BACKEND", "nats"),
        ("EVENT_A_RETENTION", "soon"),
        ("EVENT__B__URL", "redis://user:p/w@host"),
        ("EVENT_C_BACKEND", "memory"),
        ("EVENT__C_URL", "redis://host"),
    ]);
    assert_eq!(
        problems(&environment),
        [
            "`EVENT_SERVICE` is `redis://shop:***@host`: expected letters, digits, `_`, `-` and `.`",
            "`EVENT_A_URL` is not set: backend `nats` needs a URL such as `nats://localhost:4222`",
            "`EVENT_A_RETENTION` is `soon`: expected a whole number with `ms`, `s`, `m` or `h`, such as `30s`",
            "`EVENT__B__URL` (21 characters, not shown) is no usable URL: it holds a `#`, or an `@` after the first `/` \
             or `?`; in a password, write `@` as `%40`, `/` as `%2F`, `?` as `%3F` and `#` as `%23`",
            "`EVENT__C_URL` is `redis://host`, but backend `memory` takes no URL: remove it, or choose another \
             backend",
            "`EVENT_CONNECT_TIMEOUT` is `30`: expected a unit after the number, such as `30s` for seconds",
            "`EVENT_QUEUE_CAPACITY` is `many`: expected a whole number from 1 to 268435456",
        ]
    );
}

#[test]
fn a_misspelt_variable_is_named_with_the_nearest_one() {
    assert_eq!(
        warnings(&[
            ("EVENT_BACKND", "redis"),
            ("EVENT_ID", "1"),
            ("EVENT_A_SERVICE", "shop"),
            ("EVENT_RETENTOIN", "1h")
        ]),
        [
            "`EVENT_BACKND` sets nothing; did you mean `EVENT_BACKEND`?",
            "`EVENT_ID` sets nothing: no such setting is known",
            "`EVENT_A_SERVICE` sets nothing: `SERVICE` holds for the whole manager; write `EVENT_SERVICE`",
            "`EVENT_RETENTOIN` sets nothing; did you mean `EVENT_RETENTION`?",
        ]
    );
}

#[test]
fn a_bus_by_mistake_is_named() {
    assert_eq!(
        warnings(&[
            ("EVENT_DOMAIN_URL", "redis://host"),
            ("EVENT_DOMIAN_STRICT", "true"),
            ("EVENT_X_STRICT", "true"),
            ("EVENT_DEFAUT_URL", "redis://host"),
        ]),
        [
            "`EVENT_DEFAUT_URL` sets up a bus named `defaut`; did you mean `default`?",
            "`EVENT_DOMIAN_STRICT` sets up a bus named `domian`; did you mean `domain`?",
            "`EVENT_X_STRICT` sets up a bus named `x`, on the memory backend as neither `EVENT_X_BACKEND` nor \
             `EVENT_X_URL` is set",
        ]
    );
}

#[cfg(unix)]
#[test]
fn what_is_not_unicode_is_reported_only_where_it_is_ours() {
    use std::os::unix::ffi::OsStringExt;

    let junk = || OsString::from_vec(vec![0xff]);
    let environment = Environment::from_vars([
        ("EVENT_URL".into(), junk()),
        ("PATH".into(), junk()),
        (junk(), junk()),
    ]);
    assert_eq!(problems(&environment), ["`EVENT_URL` is not valid Unicode: expected UTF-8 text"]);
    assert_eq!(environment.warnings, []);
}
