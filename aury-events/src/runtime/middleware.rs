//! What is done around every handler.

use std::{any::type_name, fmt};

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
/// Mostly it is an async function or closure, by [`from_fn`]:
///
/// ```standalone_crate
/// use std::time::Instant;
///
/// use aury_events::{BoxError, middleware::{self, Next}, prelude::*};
/// use serde::{Deserialize, Serialize};
///
/// /// Says how long each attempt took.
/// async fn timing(context: Context, next: Next) -> Result<(), BoxError> {
///     let start = Instant::now();
///     let result = next.run().await;
///     println!("{} took {:?}: {result:?}", context.subscriber(), start.elapsed());
///     result
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
///     let known_tenants = middleware::from_fn(async |context, next| {
///         match context.header("tenant") {
///             Some("acme") => next.run().await,
///             _ => Err("the tenant is not known".into()),
///         }
///     });
///     let builder = EventBusManager::builder();
///     let events =
///         builder.middleware(middleware::from_fn(timing)).middleware(known_tenants).start().await?;
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
        next: Next,
    ) -> BoxFuture<'a, Result<(), BoxError>>;
}

/// A middleware made of an async function or closure over the [`Context`] and the [`Next`], which it owns.
///
/// A closure that uses what it has captured across an `await` clones it first:
///
/// ```
/// use std::sync::Arc;
///
/// use aury_events::{EventBusManager, middleware};
/// use tokio::sync::Semaphore;
///
/// let at_most_ten = Arc::new(Semaphore::new(10));
/// let limited = middleware::from_fn(move |_context, next| {
///     let at_most_ten = Arc::clone(&at_most_ten);
///     async move {
///         let _permit = at_most_ten.acquire().await?;
///         next.run().await
///     }
/// });
/// let builder = EventBusManager::builder().middleware(limited);
/// ```
pub fn from_fn<F, Fut>(function: F) -> FromFn<F>
where
    F: Fn(Context, Next) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), BoxError>> + Send,
{
    FromFn(function)
}

/// A [`Middleware`] made by [`from_fn`].
#[derive(Clone, Copy)]
pub struct FromFn<F>(F);

impl<F, Fut> Middleware for FromFn<F>
where
    F: Fn(Context, Next) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), BoxError>> + Send,
{
    fn handle<'a>(
        &'a self,
        context: &'a Context,
        next: Next,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        let FromFn(function) = self;
        Box::pin(async move { function(context.clone(), next).await })
    }
}

impl<F> fmt::Debug for FromFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FromFn").field(&type_name::<F>()).finish()
    }
}

/// What a [`Middleware`] is around: the next one, and the handler in the end.
///
/// Dropping it skips all of that.
#[must_use = "the handler runs when `run` is called and awaited"]
pub struct Next {
    context: Context,
    /// How many middleware have been called.
    called: usize,
    handler: BoxFuture<'static, Result<(), BoxError>>,
}

impl Next {
    pub(crate) fn new(context: Context, handler: BoxFuture<'static, Result<(), BoxError>>) -> Self {
        Self { context, called: 0, handler }
    }

    /// Runs it, in the task that awaits it. In another one than that in which the middleware was called, the handler
    /// has no context, unless it is by [`Context::spawn`] or [`Context::scope`]; and the event is settled when the
    /// middleware returns, not when the handler does.
    ///
    /// Dropped before it is done, it ends the handler where it is.
    ///
    /// # Errors
    ///
    /// What the handler or a middleware around it returned, the handler's panic, and the end of its time.
    pub async fn run(mut self) -> Result<(), BoxError> {
        let context = self.context.clone();
        match context.handle().middleware.get(self.called) {
            Some(middleware) => {
                self.called += 1;
                middleware.handle(&context, self).await
            }
            None => self.handler.await,
        }
    }
}

impl fmt::Debug for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Next")
            .field("context", &self.context)
            .field("called_middleware", &self.called)
            .finish_non_exhaustive()
    }
}
