//! From a delivery to its settlement: decode, condition, handler, outcome, settle.
//!
//! Every subscription runs one loop of its own, compiled for its handler and boxed once at start. Nothing is
//! allocated per delivery, and nothing that a handler does reaches another subscription: its error and its panic end
//! here.

mod handler;
mod panic;

use std::{future::poll_fn, sync::Arc};

use aury_events_backends::{BackendError, Consumer, DeadLetterReason, Delivery, Settlement};

pub(crate) use self::handler::Handler;
pub use self::handler::{FromEnvelope, HandlerResult, IntoHandlerResult};
use crate::{context::Current, subscription::SubscriptionInfo};

/// How many deliveries a loop takes before it lets others have the thread: a queue that never runs empty would keep it
/// for ever.
const TURN: u32 = 64;

/// Serves a subscription until its consumer ends.
pub(crate) async fn run<H: Handler>(
    handler: H,
    mut consumer: Box<dyn Consumer>,
    info: Arc<SubscriptionInfo>,
) {
    let dispatch = async {
        let mut taken = 0;
        while let Some(delivery) = poll_fn(|cx| consumer.poll_next(cx)).await {
            // Decoding may run code of the application, and so may panic, as a handler may.
            let input = panic::catch(|| decode::<H>(&delivery));
            Current::begin(delivery);
            let handled = match input {
                Ok(input) => panic::catch_in(handle(&handler, input)).await,
                Err(reason) => Err(reason),
            };
            let settlement = match handled {
                Ok(()) => Settlement::Ack,
                Err(reason) => Settlement::DeadLetter(reason),
            };
            let delivery = Current::end();
            if let Settlement::DeadLetter(reason) = &settlement {
                report(&delivery, &info, reason);
            }
            let settled = match delivery.settle(settlement).now() {
                Ok(settled) => settled,
                Err(pending) => pending.await,
            };
            if let Err(error) = settled {
                warn_unsettled(&info, &error);
            }
            taken = (taken + 1) % TURN;
            if taken == 0 {
                tokio::task::yield_now().await;
            }
        }
    };
    Current::scope(Arc::clone(&info), dispatch).await;
}

#[inline]
fn decode<H: Handler>(delivery: &Delivery) -> Result<H::Input, DeadLetterReason> {
    H::Input::from_envelope(delivery.envelope()).map_err(DeadLetterReason::Undecodable)
}

/// Calls the handler. An event that its condition turns down is done with.
async fn handle<H: Handler>(handler: &H, input: H::Input) -> Result<(), DeadLetterReason> {
    if handler.accepts(&input) {
        handler.call(input).await.map_err(DeadLetterReason::Failed)?;
    }
    Ok(())
}

#[cold]
fn report(delivery: &Delivery, info: &SubscriptionInfo, reason: &DeadLetterReason) {
    let metadata = delivery.metadata();
    tracing::error!(
        subscriber = info.id(),
        event = %metadata.name(),
        event_id = %metadata.id(),
        trace_id = %metadata.trace().trace_id(),
        attempt = delivery.attempt(),
        "{reason}; the event is kept as a dead letter"
    );
}

#[cold]
fn warn_unsettled(info: &SubscriptionInfo, error: &BackendError) {
    tracing::warn!(
        subscriber = info.id(),
        error = error as &dyn std::error::Error,
        "the outcome of an event could not be recorded; it may be delivered again"
    );
}
