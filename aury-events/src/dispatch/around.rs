//! What is around a handler, for those who ask for that.

use std::{
    fmt,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use aury_events_backends::{BoxFuture, DeadLetterReason, idempotency::IdempotencyKey};

use super::{
    attempt::Failed,
    once::{Done, once},
    panic,
};
use crate::{
    declared::Options,
    error::BoxError,
    runtime::{Breaker, Context, Next, Sign, SubscriptionInfo, observe::MessageSpan},
};

/// Calls the handler of a subscription from within all that is around it, in a span if somebody listens.
pub(super) async fn call(
    around: Option<&Around<'_>>,
    span: Option<&MessageSpan>,
    handling: BoxFuture<'static, Result<(), Failed>>,
) -> Result<(), Failed> {
    let mut handling: BoxFuture<'_, _> = match around {
        None => handling,
        Some(around) => around.call(handling),
    };
    let handling = panic::catch_in(handling.as_mut());
    match span {
        None => handling.await,
        Some(span) => span.around(handling).await,
    }
}

/// What is around the handler of a subscription.
pub(super) struct Around<'a> {
    info: &'a SubscriptionInfo,
    is_idempotent: bool,
    breaker: Option<&'a Breaker>,
}

impl<'a> Around<'a> {
    /// `None` when there is nothing around it.
    pub(super) fn of(info: &'a SubscriptionInfo, options: &Options) -> Option<Self> {
        let has_middleware = !info.core().middleware.is_empty();
        let is_idempotent = options.idempotent;
        let breaker = info.breaker();
        let is_some = is_idempotent || breaker.is_some() || has_middleware;
        is_some.then_some(Self { info, is_idempotent, breaker })
    }

    /// Takes note that the handler is not called.
    pub(super) fn pass(&self) {
        self.note(Sign::None);
    }

    fn note(&self, sign: Sign) {
        if let Some(breaker) = self.breaker {
            breaker.note(sign);
        }
    }

    /// Calls the handler from within all that is around it.
    pub(super) fn call<'b>(
        &'b self,
        handling: BoxFuture<'static, Result<(), Failed>>,
    ) -> BoxFuture<'b, Result<(), Failed>> {
        Box::pin(async {
            let done = panic::catch_in(pin!(self.call_once(handling))).await;
            self.note(match done {
                Ok(Done::Handled) => Sign::Success,
                Ok(Done::Before) => Sign::None,
                Err(_) => Sign::Failure,
            });
            done.map(drop)
        })
    }

    async fn call_once(
        &self,
        handling: BoxFuture<'static, Result<(), Failed>>,
    ) -> Result<Done, Failed> {
        let Some(context) = Context::current() else {
            // The application has let go of the buses, and this task is about to be aborted.
            return std::future::pending().await;
        };
        let key = self.is_idempotent.then(|| {
            let core = self.info.core();
            IdempotencyKey::new(&core.service, self.info.id(), context.metadata())
        });
        let handling = within(context, handling);
        if let Some(key) = key {
            let core = self.info.core();
            once(&key, &*core.idempotency, self.info.claims(), handling).await
        } else {
            handling.await?;
            Ok(Done::Handled)
        }
    }
}

/// Calls a handler from within the middleware, if there is any. For that, too, a panic of the handler is an error.
async fn within(
    context: Context,
    mut handling: BoxFuture<'static, Result<(), Failed>>,
) -> Result<(), Failed> {
    if context.handle().middleware.is_empty() {
        return panic::catch_in(handling.as_mut()).await;
    }
    let is_final = Arc::new(AtomicBool::new(false));
    let noted = Arc::clone(&is_final);
    let handler = async move {
        panic::catch_in(handling.as_mut()).await.map_err(|failed| {
            noted.store(failed.is_final, Relaxed);
            Ended::error_of(failed.reason)
        })
    };
    let handled = Next::new(context, Box::pin(handler)).run().await;
    handled.map_err(|error| Failed {
        reason: Ended::reason_of(error),
        is_final: is_final.load(Relaxed),
    })
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
