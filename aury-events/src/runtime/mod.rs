//! What runs: the buses of a manager, their subscriptions, and the event that a task is handling.

mod async_runtime;
mod bus;
mod circuit_breaker;
mod claims;
mod context;
mod core;
mod current;
mod ending;
mod middleware;
pub(crate) mod observe;
mod states;
mod subscription;

pub(crate) use self::{
    async_runtime::AsyncRuntime,
    bus::{BusCore, DYNAMIC, DynamicId, Running},
    circuit_breaker::{Breaker, Breakers, Guarded, Sign},
    claims::Claims,
    core::{Core, Handle},
    current::{Current, Elsewhere},
    ending::Ending,
    states::States,
    subscription::SubscriptionInfo,
};
pub use self::{
    circuit_breaker::CircuitBreaker,
    context::{Context, Received, trace_id},
    middleware::{FromFn, Middleware, Next, from_fn},
    subscription::Subscription,
};
