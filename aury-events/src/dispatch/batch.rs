//! `batch`: events that are gathered, handled in one call, and settled together.
//!
//! An event that cannot be decoded, or that the condition turns down, is settled by itself and spoils no batch. When the
//! call fails, each event is judged by its own number of attempts.

use std::{error::Error, future::pending, pin::pin, sync::Arc, time::Duration};

use aury_events_backends::{
    BoxFuture, Consumer, DeadLetterReason, Delivery, Settlement, kit::supervise,
};
use tokio::{
    sync::{Mutex, watch},
    time,
};

use super::{
    SHORT_WAIT, all_of,
    around::{self, Around},
    attempt::{self, Failed},
    closing::Closing,
    handler::{Handler, Taken},
    panic,
    report::report,
    retry::{self, Verdict},
    settling::Settling,
    source::{Alone, Source},
};
use crate::{
    declared::{Batch, Options},
    extract::FromEnvelope,
    runtime::{
        Current, SubscriptionInfo,
        observe::{MessageSpan, is_listening},
    },
};

/// A batch at a time.
impl<I: Send + 'static> Taken<I> for Vec<I> {
    fn serve<H: Handler<Input = I, Taken = Self>>(
        handler: H,
        consumer: Box<dyn Consumer>,
        info: Arc<SubscriptionInfo>,
    ) -> BoxFuture<'static, ()>
    where
        I: FromEnvelope,
    {
        let batch = handler.options().batch.expect("the macro writes the two together");
        let (handler, source) = (Arc::new(handler), Arc::new(Mutex::new(Alone(consumer))));
        let serve = |_| -> BoxFuture<'static, ()> {
            let (handler, source, info) =
                (Arc::clone(&handler), Arc::clone(&source), Arc::clone(&info));
            let draining = info.core().ending.draining();
            let gatherer = Gatherer { source, batch, draining };
            let parts = (handler, gatherer, Arc::clone(&info));
            Box::pin(supervise(info.task_name(), parts, |(handler, gatherer, info)| {
                let current = Arc::clone(info);
                Box::pin(Current::scope(current, serve(handler, gatherer, info)))
            }))
        };
        all_of((0..handler.options().concurrency).map(serve).collect())
    }
}

/// A handler that takes batches.
trait BatchHandler: Handler<Taken = Vec<<Self as Handler>::Input>> {}

impl<H: Handler<Taken = Vec<<H as Handler>::Input>>> BatchHandler for H {}

/// Where a loop gets its batches from.
struct Gatherer {
    source: Arc<Mutex<Alone>>,
    batch: Batch,
    /// Whether the manager is shutting down.
    draining: watch::Receiver<bool>,
}

impl Gatherer {
    /// As many events as there may be, or as have come until the wait for more is over. Empty at the end.
    async fn next(&mut self) -> Vec<Delivery> {
        // One loop gathers, the others wait for their turn.
        let mut source = self.source.lock().await;
        let Some(first) = source.next().await else { return Vec::new() };
        let mut batch = vec![first];
        let mut over = pin!(time::sleep(self.batch.wait));
        while batch.len() < self.batch.max {
            // What is there is taken before anything else is looked at.
            tokio::select! {
                biased;
                next = source.next() => match next {
                    Some(delivery) => batch.push(delivery),
                    None => break,
                },
                () = &mut over => break,
                // Nothing more is to come, and shutdown waits for this batch.
                _ = self.draining.wait_for(|&is_draining| is_draining) => break,
            }
        }
        batch
    }
}

async fn serve<H: BatchHandler>(
    handler: &Arc<H>,
    gatherer: &mut Gatherer,
    info: &Arc<SubscriptionInfo>,
) {
    let options = handler.options();
    let around = Around::of(info, options);
    loop {
        let mut deliveries = gatherer.next().await;
        if deliveries.is_empty() {
            return;
        }
        let mut settling = Settling::new(info);
        loop {
            let inputs = take(&**handler, &mut deliveries, &mut settling, info);
            let Some(leading) = leading(&deliveries) else {
                if let Some(around) = &around {
                    around.pass();
                }
                break;
            };
            let lead = deliveries.remove(leading);
            let span = observed(info, &lead, &deliveries);
            let handling = Box::pin(attempt::call_shared(Arc::clone(handler), inputs));
            let handling = around::call(around.as_ref(), span.as_ref(), handling);
            let (lead, handled) = Current::during(lead, handling).await;
            deliveries.insert(leading, lead);
            let Err(failed) = handled else {
                settling.extend(deliveries.drain(..).map(|delivery| (delivery, Settlement::Ack)));
                break;
            };
            if let Some(span) = span {
                span.fail(failed.reason.kind());
            }
            match Closing::of(&failed, info.core()).await {
                Closing::Failed => {}
                Closing::Again => continue,
                Closing::Leave => {
                    deliveries.into_iter().for_each(Delivery::leave);
                    break;
                }
                Closing::GiveBack => {
                    drop(deliveries);
                    // This task is about to be aborted.
                    return pending().await;
                }
            }
            match after_failure(failed, &deliveries, options, info) {
                Next::Again { after } => {
                    time::sleep(after).await;
                    deliveries.iter_mut().for_each(Delivery::count_attempt);
                }
                Next::Settled(settlements) => {
                    settling.extend(deliveries.drain(..).zip(settlements));
                    break;
                }
            }
        }
        settling.done().await;
    }
}

/// Decodes the events of a batch. Those that are none, or not wanted, leave it.
fn take<H: BatchHandler>(
    handler: &H,
    deliveries: &mut Vec<Delivery>,
    settling: &mut Settling<'_>,
    info: &Arc<SubscriptionInfo>,
) -> Vec<H::Input> {
    let mut inputs = Vec::with_capacity(deliveries.len());
    for delivery in std::mem::take(deliveries) {
        match panic::catch(|| attempt::input(handler, &delivery, info)) {
            Ok(Some(input)) => {
                inputs.push(input);
                deliveries.push(delivery);
            }
            Ok(None) => {
                settling.add(delivery, Settlement::Ack);
            }
            Err(failed) => {
                let verdict =
                    retry::judge(handler.options().retry.as_ref(), delivery.attempt(), &failed);
                let failed = failed.printable();
                report(&delivery, info, &failed.reason, &verdict);
                settling.add(delivery, verdict.settlement(failed.reason));
            }
        }
    }
    inputs
}

/// The event in whose context a batch is handled: the one with the most events before it in its chain, so that chains
/// which never end are noticed; the first of several.
fn leading(deliveries: &[Delivery]) -> Option<usize> {
    let hops = |at: &usize| std::cmp::Reverse(deliveries[*at].metadata().hops());
    (0..deliveries.len()).min_by_key(hops)
}

/// The span of an attempt at a batch: of `leading` and the others. `None` when nobody listens.
fn observed(
    info: &SubscriptionInfo,
    leading: &Delivery,
    others: &[Delivery],
) -> Option<MessageSpan> {
    if !is_listening() {
        return None;
    }
    let events: Vec<_> = [leading].into_iter().chain(others).map(Delivery::metadata).collect();
    MessageSpan::process_batch(info, leading.metadata(), leading.attempt(), events.into_iter())
}

/// What comes after a call that failed.
enum Next {
    /// Another attempt right here.
    Again { after: Duration },
    /// For each event, in their order.
    Settled(Vec<Settlement>),
}

fn after_failure(
    failed: Failed,
    deliveries: &[Delivery],
    options: &Options,
    info: &SubscriptionInfo,
) -> Next {
    let judge =
        |delivery: &Delivery| retry::judge(options.retry.as_ref(), delivery.attempt(), &failed);
    let verdicts: Vec<_> = deliveries.iter().map(judge).collect();
    let failed = failed.printable();
    for (delivery, verdict) in deliveries.iter().zip(&verdicts) {
        report(delivery, info, &failed.reason, verdict);
    }
    let short = |verdict: &Verdict| match verdict {
        Verdict::Retry { after } if *after <= SHORT_WAIT => Some(*after),
        _ => None,
    };
    let waits: Option<Vec<_>> = verdicts.iter().map(short).collect();
    if let Some(after) = waits.and_then(|waits| waits.into_iter().max()) {
        return Next::Again { after };
    }
    let reasons = for_each(failed.reason);
    Next::Settled(verdicts.into_iter().map(|verdict| verdict.settlement(reasons())).collect())
}

/// One reason for many dead letters.
fn for_each(reason: DeadLetterReason) -> Box<dyn Fn() -> DeadLetterReason + Send> {
    match reason {
        DeadLetterReason::Failed(error) => {
            let error: Arc<dyn Error + Send + Sync> = error.into();
            Box::new(move || DeadLetterReason::Failed(Box::new(Arc::clone(&error))))
        }
        DeadLetterReason::TimedOut(limit) => Box::new(move || DeadLetterReason::TimedOut(limit)),
        DeadLetterReason::Panicked(message) => {
            Box::new(move || DeadLetterReason::Panicked(message.clone()))
        }
        // No call fails for another reason.
        other => {
            let text = other.to_string();
            Box::new(move || DeadLetterReason::Failed(text.clone().into()))
        }
    }
}
