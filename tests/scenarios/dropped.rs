//! Managers that are not shut down: what keeps them running, and what is left of them.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::SeqCst},
};

use aury_events::{Subscription, prelude::*};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::{
    dropping::fifty_dropped_managers_leave_nothing,
    support::{Log, in_time, manager_of, until},
};

#[test]
fn fifty_dropped_managers_leave_nothing_on_memory() {
    fifty_dropped_managers_leave_nothing(&[]);
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = "dropped.asked")]
struct Asked(u32);

#[derive(Serialize, Deserialize, Event)]
#[event(name = "dropped.answered")]
struct Answered(u32);

/// Alive as long as a handler of the manager can run.
#[derive(Clone)]
struct Sign(#[expect(dead_code, reason = "it is counted")] Arc<()>);

#[derive(Clone)]
struct Contexts(mpsc::UnboundedSender<Context>);

#[subscribe]
async fn answer(event: &Asked, context: Context, State(contexts): State<Contexts>) {
    aury_events::publish(Answered(event.0)).await.unwrap();
    // Whether somebody listens is the test's business.
    let _ = contexts.0.send(context);
}

#[subscribe]
async fn note(event: &Answered, State(log): State<Log>) {
    log.add(event.0.to_string());
}

struct Started {
    manager: EventBusManager,
    contexts: mpsc::UnboundedReceiver<Context>,
    log: Log,
    sign: std::sync::Weak<()>,
}

async fn start() -> Started {
    let (builder, log) = manager_of(module_path!());
    let (sender, contexts) = mpsc::unbounded_channel();
    let sign = Arc::new(());
    let weak = Arc::downgrade(&sign);
    let builder = builder.state(Contexts(sender)).state(Sign(sign));
    let manager = builder.start().await.unwrap();
    Started { manager, contexts, log, sign: weak }
}

async fn is_over(sign: &std::sync::Weak<()>) {
    in_time(until(|| sign.strong_count() == 0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_goes_on_while_there_is_a_bus() {
    let Started { manager, contexts, log, sign } = start().await;
    drop(contexts);
    let bus = manager.default_bus();
    drop(manager);
    bus.publish(Asked(1)).await.unwrap();
    in_time(until(|| log.entries() == ["1"])).await;
    drop(bus);
    is_over(&sign).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_goes_on_while_there_is_a_subscription() {
    let Started { manager, contexts, log, sign } = start().await;
    drop(contexts);
    let heard = Arc::new(AtomicU64::new(0));
    let counts = Arc::clone(&heard);
    let bus = manager.default_bus();
    let subscription: Subscription = bus
        .subscribe(move |_: Arc<Answered>| {
            counts.fetch_add(1, SeqCst);
            async {}
        })
        .await
        .unwrap();
    bus.publish(Asked(1)).await.unwrap();
    drop((bus, manager));
    in_time(until(|| log.entries() == ["1"] && heard.load(SeqCst) == 1)).await;
    assert_eq!(Arc::strong_count(&heard), 2, "the subscription lives");
    drop(subscription);
    is_over(&sign).await;
    in_time(until(|| Arc::strong_count(&heard) == 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_goes_on_while_there_is_a_context_and_it_publishes() {
    let Started { manager, mut contexts, log, sign } = start().await;
    manager.default_bus().publish(Asked(1)).await.unwrap();
    let context = in_time(contexts.recv()).await.unwrap();
    drop(manager);
    context.publish(Answered(2)).await.unwrap();
    in_time(until(|| log.entries().len() == 2)).await;
    drop((context, contexts));
    is_over(&sign).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_runs_when_the_last_handle_goes_is_ended_with_the_rest() {
    let Started { manager, contexts, sign, .. } = start().await;
    drop(contexts);
    let (running, mut runs) = mpsc::unbounded_channel();
    let held = Arc::new(());
    let holds = Arc::clone(&held);
    let bus = manager.default_bus();
    let subscribed = bus.subscribe(move |_: Arc<Asked>| {
        let (running, holds) = (running.clone(), Arc::clone(&holds));
        async move {
            running.send(()).unwrap();
            std::future::pending::<()>().await;
            drop(holds);
        }
    });
    let subscription = in_time(subscribed).await.unwrap();
    bus.publish(Asked(1)).await.unwrap();
    in_time(runs.recv()).await.unwrap();
    drop((bus, manager, subscription));
    is_over(&sign).await;
    in_time(until(|| Arc::strong_count(&held) == 1)).await;
}
