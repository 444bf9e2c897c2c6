//! The table of what the environment can set.

use once_cell::sync::Lazy;

use super::Environment;
use crate::config::{
    bus::{BACKEND, URL},
    declared, values,
};
use aury_events_backends::config::read;

/// A field of the environment: what follows `EVENT_` and the instance.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) scope: Scope,
}

/// What a field belongs to.
pub(super) enum Scope {
    /// A bus, which checks its values when it starts, as code's.
    Bus,
    /// The whole manager, with how a text is read. An `Err` says what was expected.
    Manager(fn(&mut Environment, &str) -> Result<(), String>),
}

/// All fields: those of each bus, as far as a linked backend declares them, and those of the manager.
pub(super) static FIELDS: Lazy<Vec<Field>> = Lazy::new(|| {
    let of_bus = [BACKEND, URL].into_iter().chain(declared::settings());
    let of_bus = of_bus.map(|name| Field { name, scope: Scope::Bus });
    of_bus.chain(of_manager()).collect()
});

fn of_manager() -> [Field; 5] {
    [
        manager("SERVICE", |all, text| set(&mut all.service, values::service(text))),
        manager("SOURCE", |all, text| set(&mut all.source, values::source(text))),
        manager("MAX_HOPS", |all, text| set(&mut all.max_hops, values::max_hops(text))),
        manager("CONTINUE_TRACES", |all, text| set(&mut all.continue_traces, read::flag(text))),
        manager("SUBSCRIBERS", |all, text| set(&mut all.subscribers, values::subscribers(text))),
    ]
}

fn manager(name: &'static str, read: fn(&mut Environment, &str) -> Result<(), String>) -> Field {
    Field { name, scope: Scope::Manager(read) }
}

fn set<T>(place: &mut Option<T>, value: Result<T, String>) -> Result<(), String> {
    *place = Some(value?);
    Ok(())
}
