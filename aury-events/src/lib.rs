#![doc = include_str!("docs/guide.md")]

mod any_event;
mod builder;
mod bus;
mod catalogue;
mod circuit_breaker;
mod config;
mod context;
mod dead_letters;
mod dispatch;
mod error;
mod event;
mod extract;
mod failure;
mod global;
mod location;
mod manager;
mod middleware;
mod publish;
mod receipt;
mod startup;
mod subscriber;
mod subscription;

#[doc(inline)]
pub use crate::{
    any_event::AnyEvent,
    builder::EventBusManagerBuilder,
    bus::{DEFAULT_BUS, EventBus},
    catalogue::{Catalogue, EventInfo, SubscriberInfo},
    circuit_breaker::CircuitBreaker,
    config::{BusConfig, ConfigProblem},
    context::{Context, trace_id},
    dead_letters::DeadLetters,
    error::{
        BackendFailure, BoxError, Error, PublishAllError, PublishError, ShutdownError,
        SubscribeError, UnknownBus,
    },
    event::{Event, EventData, EventKey, IntoEvent},
    extract::{FromContext, Needs, State},
    failure::Failure,
    global::{bus, default_bus, init_from_env, publish},
    location::Location,
    manager::EventBusManager,
    middleware::{Middleware, Next},
    publish::Publish,
    receipt::Receipt,
    startup::{Place, Problem, StartError},
    subscription::{EventHandler, Subscription},
};
#[cfg(feature = "redis")]
#[doc(inline)]
pub use aury_events_backends::redis::RedisIdempotency;
#[doc(inline)]
pub use aury_events_backends::{
    BackendError, BoxFuture, DeadLetter, EventId, EventName, Health, IdempotencyStore, Metadata,
    SubscriptionHealth,
    config::{ExchangeType, Format, QueueType, Unroutable},
    envelope::{DecodeError, EncodeError, TraceContext, TraceId},
    idempotency::{IdempotencyKey, MemoryIdempotency},
};
#[doc(inline)]
pub use aury_events_macros::{Event, subscribe};

/// What a service imports: `use aury_events::prelude::*;`.
pub mod prelude {
    #[doc(no_inline)]
    pub use crate::{
        AnyEvent, BusConfig, Context, Event, EventBus, EventBusManager, State, TraceId, subscribe,
    };
}

/// The interface of a backend, for those who write one.
#[doc(inline)]
pub use aury_events_backends as backends;

/// What the macros' output refers to. No part of the public interface.
#[doc(hidden)]
pub mod __private {
    use std::sync::Arc;

    pub use inventory;

    pub use crate::{
        dispatch::{FromEnvelope, HandlerResult, IntoHandlerResult, Retry, retry_if},
        event::EventEntry,
        extract::{Extractor, extractor},
        location::Location,
        subscriber::{Options, StaticTopic, Subscriber, SubscriberEntry},
    };

    /// What a subscriber can take by value.
    #[diagnostic::on_unimplemented(
        message = "the event `{Self}` is taken by value but is not `Clone`",
        label = "an event is shared by its subscribers",
        note = "take `&{Self}` or `Arc<{Self}>`, or derive `Clone`"
    )]
    pub trait TakenByValue: Clone {}

    #[diagnostic::do_not_recommend]
    impl<T: Clone> TakenByValue for T {}

    /// An event of one's own: the shared one if nobody else holds it, else a copy.
    pub fn owned<E: TakenByValue>(event: Arc<E>) -> E {
        Arc::unwrap_or_clone(event)
    }
}

/// The README's programs compile and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
