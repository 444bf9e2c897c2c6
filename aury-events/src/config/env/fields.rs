//! The table of what the environment can set: one line for each field.

use super::{BusConfig, Environment};
use crate::config::values::{self, choice, duration, number};

/// A field of the environment: what follows `EVENT_` and the instance.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) scope: Scope,
}

/// What a field belongs to, and how a text is read into it. An `Err` says what was expected.
pub(super) enum Scope {
    Bus(fn(&mut BusConfig, &str) -> Result<(), String>),
    Manager(fn(&mut Environment, &str) -> Result<(), String>),
}

pub(super) static FIELDS: &[Field] = &[
    bus("BACKEND", |bus, text| set(&mut bus.backend, values::backend(text).map(Some))),
    // A malformed URL is found with all others, by `BusConfig::validate`.
    bus("URL", |bus, text| {
        bus.set_url(text);
        Ok(())
    }),
    bus("KEY_PREFIX", |bus, text| set(&mut bus.transport.key_prefix, Ok(text.to_owned()))),
    bus("EXCHANGE_NAME", |bus, text| set(&mut bus.transport.exchange_name, values::exchange(text))),
    bus("EXCHANGE_TYPE", |bus, text| set(&mut bus.transport.exchange_type, choice(text))),
    bus("QUEUE_TYPE", |bus, text| set(&mut bus.transport.queue_type, choice(text))),
    bus("UNROUTABLE", |bus, text| set(&mut bus.transport.unroutable, choice(text))),
    bus("FORMAT", |bus, text| set(&mut bus.transport.format, choice(text))),
    bus("PREFETCH", |bus, text| {
        set(&mut bus.transport.prefetch, number(text, &values::PREFETCH).map(Some))
    }),
    bus("QUEUE_CAPACITY", |bus, text| {
        set(&mut bus.transport.queue_capacity, number(text, &values::QUEUE_CAPACITY))
    }),
    bus("MAX_PAYLOAD_BYTES", |bus, text| {
        set(&mut bus.transport.max_payload_bytes, number(text, &values::MAX_PAYLOAD_BYTES))
    }),
    bus("QUEUE_BYTES", |bus, text| {
        set(&mut bus.transport.queue_bytes, number(text, &values::BYTES))
    }),
    bus("DEAD_LETTER_MAX_COUNT", |bus, text| {
        set(&mut bus.transport.dead_letter_max_count, number(text, &values::DEAD_LETTERS))
    }),
    bus("DEAD_LETTER_MAX_BYTES", |bus, text| {
        set(&mut bus.transport.dead_letter_max_bytes, number(text, &values::BYTES))
    }),
    bus("MAX_INTERRUPTIONS", |bus, text| {
        set(&mut bus.transport.max_interruptions, number(text, &values::MAX_INTERRUPTIONS))
    }),
    bus("TLS_CA_FILE", |bus, text| set(&mut bus.transport.tls_ca_file, Ok(Some(text.into())))),
    bus("TLS_CERT_FILE", |bus, text| set(&mut bus.transport.tls_cert_file, Ok(Some(text.into())))),
    bus("TLS_KEY_FILE", |bus, text| set(&mut bus.transport.tls_key_file, Ok(Some(text.into())))),
    bus("STRICT", |bus, text| set(&mut bus.transport.strict, values::flag(text))),
    bus("CONNECT_TIMEOUT", |bus, text| set(&mut bus.transport.connect_timeout, duration(text))),
    bus("PUBLISH_TIMEOUT", |bus, text| set(&mut bus.transport.publish_timeout, duration(text))),
    bus("SHUTDOWN_TIMEOUT", |bus, text| set(&mut bus.shutdown_timeout, duration(text))),
    manager("SERVICE", |all, text| set(&mut all.service, values::service(text).map(Some))),
    manager("SOURCE", |all, text| set(&mut all.source, values::source(text).map(Some))),
    manager("MAX_HOPS", |all, text| {
        set(&mut all.max_hops, number(text, &values::MAX_HOPS).map(Some))
    }),
    manager("SUBSCRIBERS", |all, text| {
        set(&mut all.subscribers, values::subscribers(text).map(Some))
    }),
];

const fn bus(name: &'static str, read: fn(&mut BusConfig, &str) -> Result<(), String>) -> Field {
    Field { name, scope: Scope::Bus(read) }
}

const fn manager(
    name: &'static str,
    read: fn(&mut Environment, &str) -> Result<(), String>,
) -> Field {
    Field { name, scope: Scope::Manager(read) }
}

fn set<T>(place: &mut T, value: Result<T, String>) -> Result<(), String> {
    *place = value?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_in_the_manual() {
        let manual = include_str!("../environment.md");
        for Field { name, .. } in FIELDS {
            assert!(manual.contains(&format!("\n| `{name}` |")), "{name}");
        }
    }
}
