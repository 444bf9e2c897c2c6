//! What is around a handler, for those who ask for that.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use aury_events_backends::{BoxFuture, DeadLetterReason};

use super::{attempt::Failed, panic};
use crate::{
    context::Context,
    error::BoxError,
    middleware::{Middleware, Next},
    subscription::SubscriptionInfo,
};

/// What is around the handler of a subscription.
pub(super) struct Around<'a> {
    middleware: &'a [Arc<dyn Middleware>],
}

impl<'a> Around<'a> {
    /// `None` when there is nothing around it.
    pub(super) fn of(info: &'a SubscriptionInfo) -> Option<Self> {
        let middleware = info.bus().manager().middleware();
        (!middleware.is_empty()).then_some(Self { middleware })
    }

    /// Calls the handler from within all that is around it.
    pub(super) fn call<'b>(
        &'b self,
        handling: BoxFuture<'b, Result<(), Failed>>,
    ) -> BoxFuture<'b, Result<(), Failed>> {
        Box::pin(panic::catch_in(self.within_middleware(handling)))
    }

    async fn within_middleware(
        &self,
        handling: BoxFuture<'_, Result<(), Failed>>,
    ) -> Result<(), Failed> {
        let context = Context::current().expect("an event is being handled");
        let is_final = AtomicBool::new(false);
        let handler = async {
            handling.await.map_err(|failed| {
                is_final.store(failed.is_final, Relaxed);
                Ended::error_of(failed.reason)
            })
        };
        let handled = Next::new(&context, self.middleware, Box::pin(handler)).run().await;
        handled.map_err(|error| Failed {
            reason: Ended::reason_of(error),
            is_final: is_final.load(Relaxed),
        })
    }
}

/// How a handler ended without an error of its own, as the error that a middleware sees.
#[derive(Debug)]
struct Ended(DeadLetterReason);

impl Ended {
    fn error_of(reason: DeadLetterReason) -> BoxError {
        match reason {
            DeadLetterReason::Failed(error) => error,
            other => Box::new(Self(other)),
        }
    }

    /// The way back, where no middleware has put an error of its own in its place.
    fn reason_of(error: BoxError) -> DeadLetterReason {
        match error.downcast::<Self>() {
            Ok(ended) => ended.0,
            Err(error) => DeadLetterReason::Failed(error),
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl std::error::Error for Ended {}
