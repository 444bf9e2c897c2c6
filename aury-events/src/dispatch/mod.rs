//! From a delivery to its settlement: decode, condition, handler, verdict, settle.
//!
//! Every subscription runs one loop of its own, or as many as it has handlers at a time, compiled for its handler and
//! boxed once at start. Nothing is allocated per delivery, and nothing that a handler does reaches another
//! subscription: its error and its panic end here.

mod around;
mod attempt;
mod batch;
mod closing;
mod closure;
mod condition;
mod handler;
mod lanes;
mod once;
mod panic;
mod report;
mod retry;
mod settling;
mod single;
mod source;
mod subscriber;

use std::time::Duration;

use aury_events_backends::BoxFuture;
use tokio::task::JoinSet;

pub(crate) use self::{closure::Closure, handler::Handler};
pub use self::{
    closure::{EventHandler, EventInput},
    condition::holds,
    handler::{HandlerResult, IntoHandlerResult, retry_if},
    subscriber::{Subscriber, SubscriberEntry},
};

/// Up to this, a wait before the next attempt is spent in the loop. A longer one is left to the backend, where it holds
/// up no other event.
const SHORT_WAIT: Duration = Duration::from_millis(500);

/// Runs loops until all have ended.
fn all_of(loops: Vec<BoxFuture<'static, ()>>) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        // Dropped with this future, it takes the loops along.
        let mut loops: JoinSet<()> = loops.into_iter().collect();
        while loops.join_next().await.is_some() {}
    })
}
