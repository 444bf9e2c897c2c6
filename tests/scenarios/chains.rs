//! Events that lead to events.

use std::sync::{Arc, Mutex};

use aury_events::{EventId, Metadata, PublishError, prelude::*, trace_id};
use serde::{Deserialize, Serialize};

use crate::support::{Log, in_time, manager_of};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "chains.ordered")]
struct Ordered;

#[derive(Serialize, Deserialize, Event)]
#[event(name = "chains.paid")]
struct Paid;

#[derive(Serialize, Deserialize, Event)]
#[event(name = "chains.shipped")]
struct Shipped;

/// The metadata of the events that came by.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Metadata>>>);

/// Publishes by the free function: the chain is kept by itself.
#[subscribe(name = "chains.three.pay")]
async fn pay(
    _: &Ordered,
    context: Context,
    trace: TraceId,
    State(seen): State<Seen>,
) -> Result<(), PublishError> {
    assert_eq!(trace_id(), Some(trace));
    seen.0.lock().unwrap().push(context.metadata().clone());
    aury_events::publish(Paid).await.map(drop)
}

/// Publishes by the bus.
#[subscribe(name = "chains.three.ship")]
async fn ship(
    _: &Paid,
    context: Context,
    bus: EventBus,
    State(seen): State<Seen>,
) -> Result<(), PublishError> {
    seen.0.lock().unwrap().push(context.metadata().clone());
    bus.publish(Shipped).await.map(drop)
}

#[subscribe(name = "chains.three.done")]
async fn done(_: &Shipped, context: Context, State(seen): State<Seen>) {
    seen.0.lock().unwrap().push(context.metadata().clone());
}

#[tokio::test]
async fn a_chain_carries_causation_correlation_and_trace_along() {
    let seen = Seen::default();
    let (builder, _) = manager_of("chains");
    let events = builder.subscribers("chains.three.*").state(seen.clone()).start().await.unwrap();
    let id: EventId = events.default_bus().publish(Ordered).await.unwrap();
    in_time(events.default_bus().settled()).await;

    let seen = seen.0.lock().unwrap();
    let names: Vec<_> = seen.iter().map(|metadata| metadata.name().as_str()).collect();
    assert_eq!(names, ["chains.ordered", "chains.paid", "chains.shipped"]);
    let [first, second, third] = &seen[..] else { panic!("three events") };
    assert_eq!(first.id(), id);
    assert_eq!(
        [first, second, third].map(|m| m.causation_id()),
        [None, Some(first.id()), Some(second.id())]
    );
    assert!([first, second, third].iter().all(|m| m.correlation_id() == first.id()));
    assert!(
        [first, second, third].iter().all(|m| m.trace().trace_id() == first.trace().trace_id())
    );
    assert_eq!([first, second, third].map(|m| m.hops()), [0, 1, 2]);
    assert_eq!(trace_id(), None);
}

#[subscribe(name = "chains.spawned.ordered")]
async fn hand_over(_: &Ordered, context: Context) {
    tokio::spawn(async move { context.publish(Paid).await.unwrap() }).await.unwrap();
}

#[subscribe(name = "chains.spawned.paid")]
async fn take_over(_: &Paid, context: Context, State(log): State<Log>) {
    log.add(format!("caused by {}", context.causation_id().unwrap()));
}

#[tokio::test]
async fn a_context_keeps_the_chain_in_a_task_of_its_own() {
    let (builder, log) = manager_of("chains");
    let events = builder.subscribers("chains.spawned.*").start().await.unwrap();
    let id = events.default_bus().publish(Ordered).await.unwrap();
    in_time(events.default_bus().settled()).await;
    assert_eq!(log.entries(), [format!("caused by {id}")]);
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = "chains.ping")]
struct Ping;

#[derive(Serialize, Deserialize, Event)]
#[event(name = "chains.pong")]
struct Pong;

#[subscribe(name = "chains.loop.ping")]
async fn ping(_: &Ping, State(log): State<Log>) -> Result<(), PublishError> {
    log.add("ping");
    aury_events::publish(Pong).await.map(drop)
}

#[subscribe(name = "chains.loop.pong")]
async fn pong(_: &Pong, State(log): State<Log>) -> Result<(), PublishError> {
    log.add("pong");
    aury_events::publish(Ping).await.map(drop)
}

#[tokio::test]
async fn two_subscribers_that_publish_each_others_events_are_stopped_by_the_loop_guard() {
    let (builder, log) = manager_of("chains");
    let events = builder.subscribers("chains.loop.*").max_hops(10).start().await.unwrap();
    let bus = events.default_bus();
    bus.publish(Ping).await.unwrap();
    in_time(bus.settled()).await;

    assert_eq!(log.entries().len(), 11, "the first event and ten hops");
    let letters = bus.dead_letters().list().await.unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].subscriber.as_ref(), "chains.loop.ping");
    let reason = &letters[0].reason;
    let expected = "event loop: `chains.pong`, published by the subscriber `chains.loop.ping`, has 11 events before it \
                    in its chain; EVENT_MAX_HOPS allows 10";
    assert!(reason.ends_with(expected), "{reason}");
}
