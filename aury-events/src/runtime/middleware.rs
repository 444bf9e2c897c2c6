//! What is done around every handler.

use std::{fmt, sync::Arc};

use aury_events_backends::BoxFuture;

use super::Context;
use crate::error::BoxError;

/// Something done around every handler of a manager: to measure, to log, to refuse, to hold a lock.
///
/// It is given to the manager by [`middleware`](crate::EventBusManagerBuilder::middleware) and runs around each attempt
/// of each subscriber, closures subscribed at run time included; the one that was added first is the outermost. An event
/// that a subscriber's `when` turns down, or that cannot be decoded, does not come here.
///
/// - It calls the handler by [`Next::run`], once or not at all. What it returns is what the attempt has come to: an
///   error is a failure of the subscriber, treated as its options say, and `Ok` without having called the handler means
///   that the event is done with.
/// - The handler's error comes as it is, to be looked at or wrapped. Its panic, and the end of its `timeout`, come as
///   errors too, and the log and the dead letter still say which of them it was. The time limit is the handler's alone.
/// - A panic in the middleware itself is a failure of that subscriber.
///
/// ```standalone_crate
/// use std::time::Instant;
///
/// use aury_events::{BoxError, BoxFuture, Middleware, Next, prelude::*};
/// use serde::{Deserialize, Serialize};
///
/// /// Says how long each attempt took.
/// struct Timing;
///
/// impl Middleware for Timing {
///     fn handle<'a>(
///         &'a self,
///         context: &'a Context,
///         next: Next<'a>,
///     ) -> BoxFuture<'a, Result<(), BoxError>> {
///         Box::pin(async move {
///             let start = Instant::now();
///             let result = next.run().await;
///             println!("{} took {:?}: {result:?}", context.subscriber(), start.elapsed());
///             result
///         })
///     }
/// }
///
/// /// Handles the events of known tenants alone.
/// struct KnownTenants;
///
/// impl Middleware for KnownTenants {
///     fn handle<'a>(
///         &'a self,
///         context: &'a Context,
///         next: Next<'a>,
///     ) -> BoxFuture<'a, Result<(), BoxError>> {
///         match context.header("tenant") {
///             Some("acme") => next.run(),
///             _ => Box::pin(async { Err("the tenant is not known".into()) }),
///         }
///     }
/// }
///
/// #[derive(Serialize, Deserialize, Event)]
/// #[event(name = "order.created")]
/// struct OrderCreated;
///
/// #[subscribe]
/// async fn confirm(_event: &OrderCreated) {}
///
/// #[tokio::main]
/// async fn main() -> Result<(), aury_events::Error> {
///     let events =
///         EventBusManager::builder().middleware(Timing).middleware(KnownTenants).start().await?;
///     let bus = events.default_bus();
///     bus.publish(OrderCreated).header("tenant", "acme").await?;
///     events.shutdown().await?;
///     Ok(())
/// }
/// ```
pub trait Middleware: Send + Sync + 'static {
    /// Handles an event by what comes [`next`](Next::run), and does what is to be done around that.
    ///
    /// # Errors
    ///
    /// An error is a failure of the subscriber.
    fn handle<'a>(
        &'a self,
        context: &'a Context,
        next: Next<'a>,
    ) -> BoxFuture<'a, Result<(), BoxError>>;
}

/// What a [`Middleware`] is around: the next one, and the handler in the end.
///
/// Dropping it skips all of that.
#[must_use = "the handler runs when `run` is called and awaited"]
pub struct Next<'a> {
    context: &'a Context,
    middleware: &'a [Arc<dyn Middleware>],
    handler: BoxFuture<'a, Result<(), BoxError>>,
}

impl<'a> Next<'a> {
    pub(crate) fn new(
        context: &'a Context,
        middleware: &'a [Arc<dyn Middleware>],
        handler: BoxFuture<'a, Result<(), BoxError>>,
    ) -> Self {
        Self { context, middleware, handler }
    }

    /// Runs it.
    ///
    /// # Errors
    ///
    /// What the handler or a middleware around it returned, the handler's panic, and the end of its time.
    pub fn run(self) -> BoxFuture<'a, Result<(), BoxError>> {
        match self.middleware.split_first() {
            Some((first, middleware)) => first.handle(self.context, Self { middleware, ..self }),
            None => self.handler,
        }
    }
}

impl fmt::Debug for Next<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Next")
            .field("context", &self.context)
            .field("further_middleware", &self.middleware.len())
            .finish_non_exhaustive()
    }
}
