//! The transports of [aury-events](https://docs.rs/aury-events): what travels, and how.
//!
//! Applications depend on `aury-events`, which re-exports what they need from here. This crate is for those who
//! write a backend of their own, and it reads in this order:
//!
//! - [`envelope`]: an [`Envelope`] is [`Metadata`] and a [`Payload`];
//! - [`backend`]: the [`Backend`] trait, with what a backend is told ([`SubscriptionSpec`], [`Outgoing`]) and what it
//!   promises ([`Capabilities`]);
//! - [`delivery`]: a [`Consumer`] yields one [`Delivery`] after another, each settled once;
//! - [`dead_letters`]: what could not be handled is a [`DeadLetter`], which can be read, replayed and purged;
//! - [`in_flight`]: the count of what was accepted and is not settled yet, by which a bus knows that it is idle;
//! - [`idempotency`]: the memory of subscribers that handle an event once only;
//! - [`registry`]: [`register_backend!`] makes a backend selectable by name, from any linked crate; its
//!   [`BackendFactory`] declares its URLs and its [settings](config::Setting);
//! - [`kit`]: what every backend needs, written once;
//! - [`memory`]: the backend inside one process, and the model for the others;
//! - `conformance` (with the feature of that name): the suite that every backend passes.

pub mod backend;
mod capabilities;
pub mod config;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod dead_letters;
pub mod delivery;
mod destination;
pub mod envelope;
pub mod error;
pub mod idempotency;
pub mod in_flight;
pub mod kit;
pub mod maybe_ready;
pub mod memory;
#[cfg(feature = "rabbitmq")]
pub mod rabbitmq;
mod reason;
#[cfg(feature = "redis")]
pub mod redis;
pub mod registry;
mod strict;
mod sync;

#[doc(inline)]
pub use crate::{
    backend::{
        Backend, Capabilities, Health, Origin, Outgoing, ReadyPublisher, ServiceSubscriber,
        SubscriptionHealth, SubscriptionSpec,
    },
    config::BackendConfig,
    dead_letters::{DeadLetter, DeadLetterReader, DeadLetterStore},
    delivery::{Cancel, Consumer, Delivery, Settle, Settlement},
    destination::{Destination, Server},
    envelope::{Envelope, EventId, EventName, Metadata, Payload, Topic},
    error::BackendError,
    idempotency::IdempotencyStore,
    in_flight::InFlight,
    maybe_ready::{BoxFuture, MaybeReady},
    reason::DeadLetterReason,
    registry::BackendFactory,
    strict::Strict,
};

/// For the macros of this crate.
#[doc(hidden)]
pub mod __private {
    pub use inventory;
}
