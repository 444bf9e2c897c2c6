//! An acknowledgement that does not reach the broker.

use std::sync::Arc;

use aury_events::{QueueType, prelude::*};
use serde::{Deserialize, Serialize};
use tokio::task::block_in_place;

use crate::{
    brokers::{Proxy, RabbitServer},
    support::{Log, Place, SOON, until},
};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "lost.order")]
struct Order {
    number: u32,
}

/// Cuts the connection under the first one, and is done when the broker may have delivered it again.
#[subscribe(name = "lost_acks.order")]
async fn order(
    order: &Order,
    bus: EventBus,
    State(line): State<Arc<Proxy>>,
    State(log): State<Log>,
) {
    log.add(order.number.to_string());
    if order.number == 1 {
        line.cut();
        let is_live = || bus.health().subscriptions.iter().all(|it| it.is_live);
        until("the loss is noticed", SOON, || !is_live()).await;
        until("the subscription is back", SOON, is_live).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn an_event_whose_acknowledgement_was_lost_is_not_handled_again() {
    let server = block_in_place(RabbitServer::shared);
    for queue_type in [QueueType::Quorum, QueueType::Classic] {
        let line = Arc::new(Proxy::to(server.address()));
        let direct = Place::at(server.url());
        let place = direct.by(server.url_by(line.address()));
        let log = Log::default();
        let process = place.process_as("lost_acks.*", place.config().queue_type(queue_type));
        let events = process.state(line).state(log.clone()).start().await.unwrap();
        // By a connection of its own: what is published by one that is cut may be there twice.
        let till = direct.process("none").start().await.unwrap();
        for number in [1, 2, 3] {
            till.default_bus().publish(Order { number }).await.unwrap();
        }
        until("all are handled", SOON, || log.entries().contains(&"3".to_owned())).await;
        events.shutdown().await.unwrap();
        till.shutdown().await.unwrap();
        assert_eq!(log.entries(), ["1", "2", "3"], "{queue_type}");
    }
}
