//! What can go wrong, for those who call the framework: one file for each error that they meet.

mod any;
mod backend;
mod failure;
mod problem;
mod publish;
mod publish_all;
mod shutdown;
mod start;
mod subscribe;
mod unknown_bus;

use std::fmt;

pub use self::{
    any::{BoxError, Error},
    backend::BackendFailure,
    failure::Failure,
    problem::{Place, Problem},
    publish::PublishError,
    publish_all::PublishAllError,
    shutdown::ShutdownError,
    start::StartError,
    subscribe::SubscribeError,
    unknown_bus::UnknownBus,
};
pub(crate) use self::{failure::Decision, publish::BusCloses};

/// Names in backticks, separated by commas.
pub(crate) fn quoted<T: fmt::Display>(names: impl IntoIterator<Item = T>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
