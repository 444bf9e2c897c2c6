//! One attempt at an event: decoding, condition, and the handler with its time limit.

use std::{sync::Arc, time::Duration};

use aury_events_backends::{DeadLetterReason, Delivery};
use tokio::time;

use super::{
    handler::{Handler, HandlerError, HandlerResult},
    panic,
};
use crate::{
    extract::FromEnvelope,
    runtime::{Received, SubscriptionInfo},
};

/// Why an attempt failed.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) reason: DeadLetterReason,
    /// Trying again would not help, so says the subscriber.
    pub(super) is_final: bool,
}

impl Failed {
    /// The same failure, with a reason that can be printed: the `Display` of an error is code of the application.
    #[cold]
    pub(super) fn printable(mut self) -> Self {
        let printing = panic::catch(|| Ok(self.reason.to_string()));
        if let Err(panicked) = printing {
            let text = format!("the error cannot be printed: {}", panicked.reason);
            self.reason = DeadLetterReason::Failed(text.into());
        }
        self
    }
}

impl From<DeadLetterReason> for Failed {
    fn from(reason: DeadLetterReason) -> Self {
        Self { reason, is_final: false }
    }
}

impl From<HandlerError> for Failed {
    fn from(HandlerError { source, is_final }: HandlerError) -> Self {
        Self { reason: DeadLetterReason::Failed(source), is_final }
    }
}

/// What the handler takes, if it wants the event.
// For each delivery: a call of its own costs more than what it does.
#[inline(always)]
pub(super) fn input<I: FromEnvelope>(
    handler: &impl Handler<Input = I>,
    delivery: &Delivery,
    info: &Arc<SubscriptionInfo>,
) -> Result<Option<I>, Failed> {
    match I::from_envelope(delivery.envelope()) {
        Ok(input) => match handler.accepts(&input, &Received { delivery, info }) {
            Ok(accepts) => Ok(accepts.then_some(input)),
            Err(error) => Err(DeadLetterReason::Failed(error).into()),
        },
        Err(error) => Err(DeadLetterReason::Undecodable(error).into()),
    }
}

/// Calls the handler, for as long as it may take.
pub(super) async fn call<H: Handler>(handler: &H, taken: H::Taken) -> Result<(), Failed> {
    match handler.options().timeout {
        None => Ok(handler.call(taken).await?),
        Some(limit) => in_time(limit, handler.call(taken)).await,
    }
}

/// The same as a future that borrows nothing, as middleware takes it.
pub(super) async fn call_shared<H: Handler>(
    handler: Arc<H>,
    taken: H::Taken,
) -> Result<(), Failed> {
    call(&*handler, taken).await
}

/// Waits for a handler, that long.
async fn in_time(limit: Duration, call: impl Future<Output = HandlerResult>) -> Result<(), Failed> {
    match time::timeout(limit, call).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(DeadLetterReason::TimedOut(limit).into()),
    }
}
