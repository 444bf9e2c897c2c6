//! From a delivery to its settlement: decode, condition, handler, outcome, settle.
//!
//! Every subscription runs one loop of its own, compiled for its handler and boxed once at start. Nothing is
//! allocated per delivery, and nothing that a handler does reaches another subscription: its error and its panic end
//! here.

mod handler;
mod panic;

use std::{future::poll_fn, sync::Arc};

use aury_events_backends::{BackendError, Consumer, DeadLetterReason, Delivery, Settlement};
use tokio::task::coop::cooperative;

pub(crate) use self::handler::Handler;
pub use self::handler::{FromDelivery, HandlerResult, IntoHandlerResult};
use crate::{
    context::{self, Context},
    subscription::SubscriptionInfo,
};

/// Serves a subscription until its consumer ends.
pub(crate) async fn run<H: Handler>(
    handler: H,
    mut consumer: Box<dyn Consumer>,
    info: Arc<SubscriptionInfo>,
) {
    context::scope(async {
        // Cooperative, so that a queue which never runs empty leaves the thread to others from time to time.
        while let Some(delivery) = cooperative(poll_fn(|cx| consumer.poll_next(cx))).await {
            Context::of(&delivery, &info).set_current();
            let settlement = match panic::catch(handle(&handler, &delivery)).await {
                Ok(()) => Settlement::Ack,
                Err(reason) => {
                    report(&delivery, &info, &reason);
                    Settlement::DeadLetter(reason)
                }
            };
            if let Err(error) = delivery.settle(settlement).await {
                warn_unsettled(&error);
            }
        }
    })
    .await;
}

/// Hands a delivery to the handler. An event that the condition turns down is done with.
async fn handle<H: Handler>(handler: &H, delivery: &Delivery) -> Result<(), DeadLetterReason> {
    let input = H::Input::from_delivery(delivery).map_err(DeadLetterReason::Undecodable)?;
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
fn warn_unsettled(error: &BackendError) {
    Context::with_current(|context| {
        tracing::warn!(
            subscriber = context.subscriber(),
            event_id = %context.event_id(),
            error = error as &dyn std::error::Error,
            "the outcome could not be recorded; the event may be delivered again"
        );
    });
}
