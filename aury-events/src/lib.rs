#![doc = include_str!("docs/guide.md")]

// Each imports only from those above it.
mod declared;

mod config;

mod error;

mod runtime;

mod extract;

mod dispatch;

mod bus;

mod manager;

#[doc(inline)]
pub use crate::{
    bus::{DeadLetters, EventBus, Publish, Subscribe},
    config::{BusConfig, ConfigProblem},
    declared::{
        Catalogue, DEFAULT_BUS, Event, EventData, EventExt, EventInfo, EventKey, IntoEvent,
        Location, Retry, SubscriberInfo,
    },
    dispatch::{EventHandler, EventInput},
    error::{
        BackendFailure, BoxError, Error, Failure, Place, Problem, PublishAllError, PublishError,
        ShutdownError, StartError, SubscribeError, UnknownBus,
    },
    extract::{AnyEvent, Extractor, FromContext, OptionalFromContext, Receipt, State, StateValue},
    manager::{EventBusManager, EventBusManagerBuilder, bus, default_bus, init_from_env, publish},
    runtime::{CircuitBreaker, Context, Subscription, trace_id},
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
    pub use crate::EventExt as _;
    #[doc(no_inline)]
    pub use crate::{
        AnyEvent, BusConfig, Context, Event, EventBus, EventBusManager, Failure, FromContext,
        PublishError, Receipt, State, TraceId, subscribe,
    };
}

/// What is done around every handler of a manager.
pub mod middleware {
    #[doc(inline)]
    pub use crate::runtime::{FromFn, Middleware, Next, from_fn};
}

/// The chapters of the guide.
pub mod guide {
    #[doc = include_str!("docs/observability.md")]
    pub mod observability {}
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
        declared::{Batch, EventEntry, Location, Needs, Options, Order, StaticTopic, displayed},
        dispatch::{
            HandlerResult, IntoHandlerResult, Subscriber, SubscriberEntry, holds, retry_if,
        },
        extract::{FromEnvelope, NoParameter, Parameter, context, needs_of},
        runtime::Received,
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
