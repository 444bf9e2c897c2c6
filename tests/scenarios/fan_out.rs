//! Several subscribers to one event.

use aury_events::prelude::*;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

use crate::support::{Log, in_time, manager_of};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Event)]
#[event(name = "fan_out.order_created")]
struct OrderCreated {
    order_id: String,
    amount: f64,
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = "fan_out.nobody_listens")]
struct NobodyListens;

#[subscribe]
async fn by_reference(event: &OrderCreated, State(log): State<Log>) {
    log.add(format!("by reference: {}", event.order_id));
}

#[subscribe]
async fn shared(event: Arc<OrderCreated>, State(log): State<Log>) {
    log.add(format!("shared: {}", event.order_id));
}

#[subscribe]
async fn by_value(mut event: OrderCreated, State(log): State<Log>) {
    event.order_id.push('!');
    log.add(format!("by value: {}", event.order_id));
}

fn order() -> OrderCreated {
    OrderCreated { order_id: "o-1".into(), amount: 99.0 }
}

#[tokio::test]
async fn every_subscriber_gets_every_event_of_its_type() {
    let (builder, log) = manager_of(module_path!());
    let events = builder.start().await.unwrap();
    events.default_bus().publish(order()).await.unwrap();
    in_time(events.default_bus().settled()).await;
    assert_eq!(log.sorted(), ["by reference: o-1", "by value: o-1!", "shared: o-1"]);
}

#[tokio::test]
async fn an_event_published_as_arc_is_handed_on_and_not_copied() {
    let (builder, _) = manager_of(module_path!());
    let events = builder.start().await.unwrap();
    let bus = events.default_bus();
    let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
    bus.subscribe(move |event: Arc<OrderCreated>| {
        let sender = sender.clone();
        async move { sender.send(event).await }
    })
    .await
    .unwrap();

    let event = Arc::new(order());
    bus.publish(Arc::clone(&event)).await.unwrap();
    let received = in_time(receiver.recv()).await.unwrap();
    assert!(Arc::ptr_eq(&received, &event));
}

#[tokio::test]
async fn an_event_that_nobody_listens_to_is_published_all_the_same() {
    let (builder, log) = manager_of(module_path!());
    let events = builder.start().await.unwrap();
    events.default_bus().publish(NobodyListens).await.unwrap();
    in_time(events.default_bus().settled()).await;
    assert!(log.entries().is_empty());
}

#[tokio::test]
async fn a_subscriber_is_still_an_ordinary_function() {
    let log = Log::default();
    by_reference(&order(), State(log.clone())).await;
    assert_eq!(log.entries(), ["by reference: o-1"]);
}

#[tokio::test]
async fn many_events_are_published_by_one_call_and_their_ids_come_back_in_order() {
    let (builder, log) = manager_of(module_path!());
    let events = builder.start().await.unwrap();
    let orders = (0..3).map(|n| OrderCreated { order_id: format!("o-{n}"), amount: 1.0 });
    let ids = events.default_bus().publish_all(orders).await.unwrap();
    in_time(events.default_bus().settled()).await;
    assert_eq!(ids.len(), 3);
    let of_one: Vec<_> = log.entries().into_iter().filter(|it| it.starts_with("shared")).collect();
    assert_eq!(of_one, ["shared: o-0", "shared: o-1", "shared: o-2"]);
}
