//! Events without a subscriber: `EVENT_UNROUTABLE` says what becomes of them.

use std::time::Duration;

use aury_events::{Unroutable, prelude::*};
use serde::{Deserialize, Serialize};

use crate::{
    seen_spans::{Lines, listen},
    support::{in_time, manager_of},
};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "nobody.order_created")]
struct OrderCreated;

#[derive(Serialize, Deserialize, Event)]
#[event(name = "nobody.order_paid")]
struct OrderPaid;

async fn bus(unroutable: Option<Unroutable>) -> EventBus {
    let (builder, _) = manager_of("nobody");
    let config = BusConfig::memory();
    let config = match unroutable {
        None => config,
        Some(unroutable) => config.unroutable(unroutable),
    };
    builder.bus("default", config).start().await.unwrap().default_bus()
}

const WARNING: &str = "nobody listens to this event, and it is lost";

#[tokio::test]
async fn it_is_warned_of_once_for_each_name() {
    let lines = Lines::default();
    let _listening = listen(&lines.subscriber());
    let bus = bus(None).await;
    for _ in 0..3 {
        bus.publish(OrderCreated).await.unwrap();
        bus.publish_all([OrderPaid, OrderPaid]).await.unwrap();
    }
    let warnings = lines.with(WARNING);
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("WARN") && warnings[0].contains(OrderCreated::NAME));
    assert!(warnings[1].contains(OrderPaid::NAME));
}

#[tokio::test]
async fn it_is_warned_of_when_a_delay_is_over() {
    let lines = Lines::default();
    let _listening = listen(&lines.subscriber());
    let bus = bus(None).await;
    bus.publish(OrderCreated).delay(Duration::from_millis(1)).await.unwrap();
    assert!(lines.with(WARNING).is_empty());
    in_time(bus.settled()).await;
    assert_eq!(lines.with(WARNING).len(), 1);
}

#[tokio::test]
async fn it_is_an_error_or_nothing_if_the_setting_says_so() {
    let strict = bus(Some(Unroutable::Error)).await;
    for _ in 0..2 {
        let error = strict.publish(OrderCreated).await.unwrap_err();
        assert!(error.is_unroutable());
        assert_eq!(
            error.to_string(),
            "could not publish on the bus `default`: nobody listens to nobody.order_created: no subscriber to it runs in \
             this process"
        );
    }
    // From the first subscriber on it is none.
    let subscription = strict.subscribe(|_: std::sync::Arc<OrderCreated>| async {}).await.unwrap();
    strict.publish(OrderCreated).await.unwrap();
    in_time(subscription.unsubscribe()).await;

    let lines = Lines::default();
    let _listening = listen(&lines.subscriber());
    bus(Some(Unroutable::Ignore)).await.publish(OrderCreated).await.unwrap();
    assert!(lines.with(WARNING).is_empty());
}
