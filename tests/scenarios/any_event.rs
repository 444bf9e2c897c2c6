//! Subscribers to patterns.

use aury_events::{DecodeError, prelude::*};
use serde::{Deserialize, Serialize};

use crate::support::{Log, in_time, manager_of};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "any_event.order.created")]
struct OrderCreated {
    order_id: u32,
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = "any_event.order.line.added")]
struct LineAdded {
    sku: String,
}

#[subscribe(pattern = "any_event.order.*")]
async fn one_segment(event: &AnyEvent, State(log): State<Log>) -> Result<(), DecodeError> {
    let order = event.event::<OrderCreated>()?.expect("no other event matches");
    log.add(format!("one segment: {} {}", event.name(), order.order_id));
    Ok(())
}

#[subscribe(pattern = "any_event.#", when = |event| event.name().as_str().ends_with("added"))]
async fn any_number(event: &AnyEvent, State(log): State<Log>) -> Result<(), DecodeError> {
    assert!(event.event::<OrderCreated>()?.is_none());
    let value: serde_json::Value = event.decode()?;
    let json = event.json().expect("it came from JSON's subset");
    log.add(format!("any number: {} {json}", value["sku"]));
    Ok(())
}

#[tokio::test]
async fn a_pattern_collects_events_of_many_types() {
    let (builder, log) = manager_of(module_path!());
    let bus = builder.start().await.unwrap().default_bus();
    bus.publish(OrderCreated { order_id: 7 }).await.unwrap();
    bus.publish(LineAdded { sku: "cd-1".into() }).await.unwrap();
    in_time(bus.settled()).await;
    assert_eq!(
        log.sorted(),
        [r#"any number: "cd-1" {"sku":"cd-1"}"#, "one segment: any_event.order.created 7"]
    );
    assert!(bus.dead_letters().list().await.unwrap().is_empty());
}
