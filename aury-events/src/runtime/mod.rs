//! What runs: the event that is being handled, subscriptions, and what is around handlers.

pub(crate) mod circuit_breaker;
pub(crate) mod context;
pub(crate) mod middleware;
pub(crate) mod subscription;
