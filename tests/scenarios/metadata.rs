//! What goes along with an event.

use std::time::SystemTime;

use aury_events::{BoxError, FromContext, prelude::*};
use serde::{Deserialize, Serialize};

use crate::support::{Log, in_time, manager_of};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "metadata.order_created", version = 3)]
struct OrderCreated {
    #[event(key)]
    order_id: u64,
}

struct Tenant(String);

impl FromContext for Tenant {
    type Parts = Context;

    async fn from_context(context: Context) -> Result<Self, BoxError> {
        Ok(Self(context.header("tenant").ok_or("no header `tenant`")?.to_owned()))
    }
}

#[subscribe]
async fn note(_: &OrderCreated, Tenant(tenant): Tenant, context: Context, State(log): State<Log>) {
    assert_eq!(context.event_name().as_str(), OrderCreated::NAME);
    assert_eq!(context.metadata().version(), 3);
    assert_eq!(context.metadata().source(), "/tests");
    assert_eq!(context.subscriber(), concat!(module_path!(), "::note"));
    assert_eq!((context.attempt(), context.bus().name()), (1, "default"));
    assert!(context.time() <= SystemTime::now());
    log.add(format!("{tenant} {:?}", context.metadata().key()));
}

#[tokio::test]
async fn headers_and_key_reach_the_subscriber() {
    let (builder, log) = manager_of(module_path!());
    let bus = builder.start().await.unwrap().default_bus();
    bus.publish(OrderCreated { order_id: 7 })
        .header("tenant", "wrong")
        .header("tenant", "acme")
        .key("k")
        .await
        .unwrap();
    in_time(bus.settled()).await;
    assert_eq!(log.entries(), ["acme Some(\"k\")"]);
}

#[tokio::test]
async fn a_parameter_that_cannot_be_made_is_a_failure() {
    let (builder, log) = manager_of(module_path!());
    let bus = builder.start().await.unwrap().default_bus();
    bus.publish(OrderCreated { order_id: 7 }).await.unwrap();
    in_time(bus.settled()).await;
    assert!(log.entries().is_empty());
    let letters = bus.dead_letters().list().await.unwrap();
    assert_eq!(letters[0].reason, "the handler failed: no header `tenant`");
}

#[test]
fn the_key_is_taken_from_the_marked_field() {
    assert_eq!(OrderCreated { order_id: 7 }.key().as_deref(), Some("7"));
}
