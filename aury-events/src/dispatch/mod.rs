//! From a delivery to its settlement: decode, condition, handler, verdict, settle.
//!
//! Every subscription runs one loop of its own, or as many as it has handlers at a time, compiled for its handler and
//! boxed once at start. Nothing is allocated per delivery, and nothing that a handler does reaches another
//! subscription: its error and its panic end here.

mod around;
mod attempt;
mod batch;
mod handler;
mod lanes;
mod once;
mod panic;
mod retry;
mod source;
pub(crate) mod subscriber;

use std::{pin::pin, sync::Arc, time::Duration};

use aury_events_backends::{
    BackendError, BoxFuture, Consumer, DeadLetterReason, Delivery, Settlement,
};
use tokio::{task::JoinSet, time};

use self::{
    around::Around,
    attempt::Failed,
    lanes::{InLanes, Lanes},
    retry::Verdict,
    source::{Alone, Shared, Source},
};
pub(crate) use self::{
    batch::{BatchHandler, run as run_batches},
    handler::Handler,
    once::Claims,
};
pub use self::{
    handler::{FromEnvelope, HandlerResult, IntoHandlerResult, retry_if},
    retry::Retry,
};
use crate::{
    dispatch::subscriber::Options, runtime::context::Current,
    runtime::subscription::SubscriptionInfo,
};

/// How many deliveries a loop takes before it lets others have the thread: a queue that never runs empty would keep it
/// for ever.
const TURN: u32 = 64;

/// Up to this, a wait before the next attempt is spent in the loop. A longer one is left to the backend, where it holds
/// up no other event.
const SHORT_WAIT: Duration = Duration::from_millis(500);

/// Serves a subscription until its consumer ends.
///
/// The options are constants, and so is the way: what a subscriber does not ask for is not compiled for it.
pub(crate) fn run<H: Handler>(
    handler: H,
    consumer: Box<dyn Consumer>,
    info: Arc<SubscriptionInfo>,
) -> BoxFuture<'static, ()> {
    if const { H::OPTIONS.concurrency == 1 } {
        Box::pin(async move { serve(&handler, Alone(consumer), &info).await })
    } else if const { H::OPTIONS.ordered } {
        let lanes = Lanes::new(consumer, H::OPTIONS.concurrency);
        serve_at_once(handler, info, || InLanes::<H::Input>::new(&lanes))
    } else {
        let shared = Shared::new(consumer);
        serve_at_once(handler, info, || shared.clone())
    }
}

/// Serves a subscription by several loops at a time, each with a source of its own.
fn serve_at_once<H: Handler, S: Source + 'static>(
    handler: H,
    info: Arc<SubscriptionInfo>,
    source: impl Fn() -> S,
) -> BoxFuture<'static, ()> {
    let handler = Arc::new(handler);
    let serve = |_| -> BoxFuture<'static, ()> {
        let (handler, source, info) = (Arc::clone(&handler), source(), Arc::clone(&info));
        Box::pin(async move { serve(&*handler, source, &info).await })
    };
    all_of((0..H::OPTIONS.concurrency).map(serve).collect())
}

/// Runs loops until all have ended.
fn all_of(loops: Vec<BoxFuture<'static, ()>>) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        // Dropped with this future, it takes the loops along.
        let mut loops: JoinSet<()> = loops.into_iter().collect();
        while loops.join_next().await.is_some() {}
    })
}

/// Serves what a source gives, one delivery after the other.
async fn serve<H: Handler>(handler: &H, mut source: impl Source, info: &Arc<SubscriptionInfo>) {
    let options = H::OPTIONS;
    let around = Around::of(info, &options);
    let dispatch = async {
        let mut taken = 0;
        while let Some(mut delivery) = source.next().await {
            let settlement = loop {
                // Decoding and the condition are code of the application, and may panic as a handler may.
                let input =
                    panic::catch(|| attempt::input(|input| handler.accepts(input), &delivery));
                Current::begin(delivery);
                let handled = match input {
                    Ok(Some(input)) => match &around {
                        None => panic::catch_in(pin!(attempt::call(handler, input))).await,
                        Some(around) => around.call(Box::pin(attempt::call(handler, input))).await,
                    },
                    not_called => {
                        if let Some(around) = &around {
                            around.pass();
                        }
                        // Its condition turns the event down, or there was none to be asked for.
                        not_called.map(drop)
                    }
                };
                delivery = Current::end();
                let Err(failed) = handled else { break Settlement::Ack };
                let failed = Box::pin(after_failure(failed, &mut delivery, &options, info));
                if let Some(settlement) = failed.await {
                    break settlement;
                }
            };
            let settled = match delivery.settle(settlement).now() {
                Ok(settled) => settled,
                Err(pending) => pending.await,
            };
            if let Err(error) = settled {
                warn_unsettled(info, &error);
            }
            taken = (taken + 1) % TURN;
            if taken == 0 {
                tokio::task::yield_now().await;
            }
        }
    };
    Current::scope(Arc::clone(info), dispatch).await;
}

/// What becomes of a delivery after an attempt has failed: its settlement, or `None` for another attempt right here,
/// when the wait for it is over.
async fn after_failure(
    failed: Failed,
    delivery: &mut Delivery,
    options: &Options,
    info: &SubscriptionInfo,
) -> Option<Settlement> {
    let verdict = if Current::is_taken() {
        Verdict::Taken
    } else {
        retry::judge(options.retry.as_ref(), delivery.attempt(), &failed)
    };
    report(delivery, info, &failed.reason, &verdict);
    match verdict {
        // Where order is kept, what comes later has to wait too.
        Verdict::Retry { after } if after <= SHORT_WAIT || options.ordered => {
            time::sleep(after).await;
            delivery.count_attempt();
            None
        }
        verdict => Some(verdict.settlement(failed.reason)),
    }
}

fn report(
    delivery: &Delivery,
    info: &SubscriptionInfo,
    reason: &DeadLetterReason,
    verdict: &Verdict,
) {
    let metadata = delivery.metadata();
    macro_rules! log {
        ($level:ident) => {
            tracing::$level!(
                subscriber = info.id(),
                event = %metadata.name(),
                event_id = %metadata.id(),
                trace_id = %metadata.trace().trace_id(),
                attempt = delivery.attempt(),
                "{reason}; {verdict}"
            )
        };
    }
    match verdict {
        Verdict::Retry { .. } | Verdict::Discard | Verdict::Taken => log!(warn),
        Verdict::DeadLetter => log!(error),
    }
}

#[cold]
fn warn_unsettled(info: &SubscriptionInfo, error: &BackendError) {
    tracing::warn!(
        subscriber = info.id(),
        error = error as &dyn std::error::Error,
        "the outcome of an event could not be recorded; it may be delivered again"
    );
}
