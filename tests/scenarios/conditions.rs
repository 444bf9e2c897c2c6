//! Subscribers that want some events only.

// None of them awaits anything: that they are `async` is no fault of theirs.
#![deny(clippy::unused_async)]

use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

use crate::support::{Log, in_time, manager_of};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "conditions.order_created")]
struct OrderCreated {
    amount: f64,
}

#[subscribe(when = |event| event.amount >= 10_000.0)]
async fn by_closure(event: &OrderCreated, State(log): State<Log>) {
    log.add(format!("high: {}", event.amount));
}

fn is_small(event: &OrderCreated) -> bool {
    event.amount < 10.0
}

#[subscribe(when = is_small)]
async fn by_function(event: &OrderCreated, State(log): State<Log>) {
    log.add(format!("small: {}", event.amount));
}

#[subscribe(when = |event, context| event.amount > 1.0 && context.header("tenant") == Some("acme"))]
async fn by_closure_over_the_context(event: &OrderCreated, State(log): State<Log>) {
    log.add(format!("of acme: {}", event.amount));
}

fn is_first_attempt(_: &OrderCreated, context: &Context) -> bool {
    context.header("tenant").is_some() && context.attempt() == 1
}

#[subscribe(when = is_first_attempt, retry(attempts = 2, delay = "0s"))]
async fn by_function_over_the_context(
    event: &OrderCreated,
    State(log): State<Log>,
) -> Result<(), &'static str> {
    log.add(format!("once: {}", event.amount));
    Err("not now")
}

#[subscribe(when = |event| { assert!(event.amount != 13.0, "unlucky"); false })]
async fn by_broken_condition(event: &OrderCreated, State(log): State<Log>) {
    log.add(format!("never: {}", event.amount));
}

#[tokio::test]
async fn a_subscriber_gets_only_the_events_that_meet_its_condition() {
    let (builder, log) = manager_of(module_path!());
    let bus = builder.start().await.unwrap().default_bus();
    for amount in [5.0, 500.0, 50_000.0] {
        bus.publish(OrderCreated { amount }).await.unwrap();
    }
    in_time(bus.settled()).await;
    assert_eq!(log.sorted(), ["high: 50000", "small: 5"]);
    assert!(bus.dead_letters().list().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_condition_that_panics_is_a_failure_of_its_subscriber_alone() {
    let (builder, log) = manager_of(module_path!());
    let bus = builder.start().await.unwrap().default_bus();
    for amount in [13.0, 5.0] {
        bus.publish(OrderCreated { amount }).await.unwrap();
    }
    in_time(bus.settled()).await;
    assert_eq!(log.sorted(), ["small: 5"]);
    let letters = bus.dead_letters().list().await.unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].reason, "the handler panicked: unlucky");
}

#[tokio::test]
async fn a_condition_may_look_at_the_context() {
    let (builder, log) = manager_of(module_path!());
    let bus = builder.start().await.unwrap().default_bus();
    for (tenant, amount) in [("acme", 0.5), ("acme", 100.0), ("other", 200.0)] {
        bus.publish(OrderCreated { amount }).header("tenant", tenant).await.unwrap();
    }
    in_time(bus.settled()).await;
    assert_eq!(
        log.sorted(),
        ["of acme: 100", "once: 0.5", "once: 100", "once: 200", "small: 0.5"],
        "the second attempt is turned down"
    );
}
