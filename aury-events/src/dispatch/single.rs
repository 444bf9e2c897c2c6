//! Events that are handled one by one, by one loop or by several.

use std::{future::pending, pin::pin, sync::Arc, time::Duration};

use aury_events_backends::{BoxFuture, Consumer, Delivery, Settlement, kit::supervise};
use tokio::time;

use super::{
    SHORT_WAIT, all_of,
    around::{self, Around},
    attempt::{self, Failed},
    closing::Closing,
    handler::{Handler, Taken},
    lanes::{InLanes, Lanes},
    panic,
    report::report,
    retry::{self, Verdict},
    settling::Settling,
    source::{Alone, Shared, Source},
};
use crate::{
    declared::Options,
    extract::FromEnvelope,
    runtime::{
        Current, SubscriptionInfo,
        observe::{MessageSpan, is_listening},
    },
};

/// How many deliveries a loop takes before it lets others have the thread: a queue that never runs empty would keep it
/// for ever.
const TURN: u32 = 64;

/// An event at a time.
impl<I: Send + 'static> Taken<I> for I {
    /// Where the options are constants, so is the way: what a subscriber does not ask for is not compiled for it.
    fn serve<H: Handler<Input = I, Taken = Self>>(
        handler: H,
        consumer: Box<dyn Consumer>,
        info: Arc<SubscriptionInfo>,
    ) -> BoxFuture<'static, ()>
    where
        I: FromEnvelope,
    {
        let concurrency = handler.options().concurrency;
        if const { matches!(H::KNOWN, Some(Options { concurrency: 1, .. })) } {
            supervised(Arc::new(handler), Alone(consumer), info)
        } else if const { matches!(H::KNOWN, Some(Options { ordered: Some(_), .. })) } {
            let lanes = Lanes::new(consumer, concurrency);
            serve_at_once(handler, info, || InLanes::<H::Input>::new(&lanes))
        } else if const { H::KNOWN.is_some() } || concurrency > 1 {
            let shared = Shared::new(consumer);
            serve_at_once(handler, info, || shared.clone())
        } else {
            supervised(Arc::new(handler), Alone(consumer), info)
        }
    }
}

/// A handler that takes one event at a time.
trait Single: Handler<Taken = <Self as Handler>::Input> {}

impl<H: Handler<Taken = <H as Handler>::Input>> Single for H {}

/// Serves a subscription by several loops at a time, each with a source of its own.
fn serve_at_once<H: Single, S: Source + 'static>(
    handler: H,
    info: Arc<SubscriptionInfo>,
    source: impl Fn() -> S,
) -> BoxFuture<'static, ()> {
    let handler = Arc::new(handler);
    let serve = |_| supervised::<H>(Arc::clone(&handler), source(), Arc::clone(&info));
    all_of((0..handler.options().concurrency).map(serve).collect())
}

/// A loop that is run again when it panics outside of its handler, as when an event's `Drop` does.
fn supervised<H: Single>(
    handler: Arc<H>,
    source: impl Source + 'static,
    info: Arc<SubscriptionInfo>,
) -> BoxFuture<'static, ()> {
    let name = info.task_name();
    Box::pin(supervise(name, (handler, source, info), |(handler, source, info)| {
        Box::pin(serve(handler, source, info))
    }))
}

/// Serves what a source gives, one delivery after the other.
async fn serve<H: Single>(
    handler: &Arc<H>,
    source: &mut impl Source,
    info: &Arc<SubscriptionInfo>,
) {
    let single = &**handler;
    let options = single.options();
    let around = Around::of(info, options);
    let dispatch = async {
        let (mut taken, mut settling) = (0, Settling::new(info));
        'deliveries: while let Some(mut delivery) = source.next().await {
            let settlement = loop {
                // Few have anything around them, and mostly nobody listens.
                let handled = if around.is_none() && !is_listening() {
                    // Decoding and the condition are code of the application, and may panic as a handler may.
                    let input = panic::catch(|| attempt::input(single, &delivery, info));
                    Current::begin(delivery);
                    let handled = match input {
                        Ok(Some(input)) => {
                            panic::catch_in(pin!(attempt::call(single, input))).await
                        }
                        not_called => not_called.map(drop),
                    };
                    delivery = Current::end();
                    handled
                } else {
                    let attempt = attempt_within(handler, around.as_ref(), info, delivery);
                    let (given_back, handled) = attempt.await;
                    delivery = given_back;
                    handled
                };
                let Err(failed) = handled else { break Settlement::Ack };
                match Box::pin(after_failure(failed, &mut delivery, options, info)).await {
                    Next::Again => {}
                    Next::Settle(settlement) => break settlement,
                    Next::Leave => {
                        delivery.leave();
                        continue 'deliveries;
                    }
                }
            };
            if !settling.add(delivery, settlement) {
                settling.room().await;
            }
            taken = (taken + 1) % TURN;
            if taken == 0 {
                tokio::task::yield_now().await;
            }
        }
        settling.done().await;
    };
    Current::scope(Arc::clone(info), dispatch).await;
}

/// An attempt within all that is around the handler, in a span if somebody listens.
#[cold]
fn attempt_within<'a, H: Single>(
    handler: &'a Arc<H>,
    around: Option<&'a Around<'_>>,
    info: &'a Arc<SubscriptionInfo>,
    delivery: Delivery,
) -> BoxFuture<'a, (Delivery, Result<(), Failed>)> {
    Box::pin(async move {
        let span = MessageSpan::process(info, delivery.metadata(), delivery.attempt());
        let input = panic::catch(|| {
            let input = || attempt::input(&**handler, &delivery, info);
            span.as_ref().map_or_else(input, |span| span.enter(input))
        });
        let handling = async {
            match input {
                Ok(Some(input)) => {
                    let handling = Box::pin(attempt::call_shared(Arc::clone(handler), input));
                    around::call(around, span.as_ref(), handling).await
                }
                not_called => {
                    if let Some(around) = around {
                        around.pass();
                    }
                    // Its condition turns the event down, or there was none to be asked for.
                    not_called.map(drop)
                }
            }
        };
        let (delivery, handled) = Current::during(delivery, handling).await;
        if let (Some(span), Err(failed)) = (&span, &handled) {
            span.fail(failed.reason.kind());
        }
        (delivery, handled)
    })
}

/// What comes after an attempt that failed.
enum Next {
    /// Another one right here; the wait for it is over.
    Again,
    Settle(Settlement),
    /// The delivery is left over.
    Leave,
}

async fn after_failure(
    failed: Failed,
    delivery: &mut Delivery,
    options: &Options,
    info: &SubscriptionInfo,
) -> Next {
    match Closing::of(&failed, info.core()).await {
        Closing::Failed => {}
        Closing::Again => return Next::Again,
        Closing::Leave => return Next::Leave,
        Closing::GiveBack => {
            delivery.give_back();
            // This task is about to be aborted.
            return pending().await;
        }
    }
    let verdict = if Current::is_taken() {
        Verdict::Taken
    } else {
        retry::judge(options.retry.as_ref(), delivery.attempt(), &failed)
    };
    let failed = failed.printable();
    report(delivery, info, &failed.reason, &verdict);
    match verdict {
        // Where order is kept, what comes later has to wait too.
        Verdict::Retry { after } if after <= SHORT_WAIT || options.ordered.is_some() => {
            time::sleep(after).await;
            if delivery.is_lost() {
                // Others may be handling it by now. If it comes back here, it is tried at once.
                return Next::Settle(Settlement::Retry { after: Duration::ZERO });
            }
            delivery.count_attempt();
            Next::Again
        }
        verdict => Next::Settle(verdict.settlement(failed.reason)),
    }
}
